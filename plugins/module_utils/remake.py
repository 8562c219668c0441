# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's directory made around files that there are already, of a snapshot or of a backup.

The files come first and everything else after them: limits, identity, configuration and record are those of the record,
as for a new root filesystem.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from . import facets, files, rootfs, store
from .engines import lxc
from .facets import disk, identity
from .host import Box, Host
from .kernel import quota, syscalls
from .paths import ARRIVED, RETURNING
from .record import Record

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def stage(host: Host, made: Record, fill: Callable[[int], None], running: bool = False) -> Box:
    """A whole container, made aside; ``fill`` gets the directory of its own files, empty, as a descriptor.

    ``running`` is noted in it: it is to be started once it has its place, whoever comes to do that.
    """
    paths = host.paths
    staged = f"{paths.staging}/{made.name}.new"
    files.remove_tree(staged)
    os.mkdir(staged, 0o700)
    box = Box(made, staged)
    try:
        os.mkdir(f"{staged}/root", 0o711)
        rootfs.lay_out(box, _project(host, box))
        with store.opened(staged) as place:
            layer = os.open("copy" if made.backend == rootfs.COPY else "upper", _DIRECTORY, dir_fd=place)
            try:
                fill(layer)
            finally:
                os.close(layer)
        # Not before: until then a program with root's setuid bit may be the node's root's.
        os.chmod(staged, 0o711)
        disk.establish(host, box)
        identity.furnish(host, box)
        for facet in facets.ALL:
            facet.furnish(host, box)
        batch = files.Batch()
        lxc.write_config(host, box, batch, paths.container(made.name))
        made.save(staged, batch)
        if running:
            batch.write(f"{staged}/{RETURNING}", files.as_json({"running": True}), mode=0o600)
        if os.path.exists(f"{paths.container(made.name)}/{ARRIVED}"):
            batch.write(f"{staged}/{ARRIVED}", "")  # as the one whose place it takes
        batch.commit()
        with store.opened(staged) as place:
            whole = os.open(".", _DIRECTORY, dir_fd=place)
            try:
                syscalls.sync_filesystem(whole)
            finally:
                os.close(whole)
    except BaseException:
        files.remove_mounted_tree(staged)
        raise
    return box


def _project(host: Host, box: Box) -> int | None:
    """What the new files are counted for, apart from those of the same container that they replace."""
    if quota.PROJECT not in host.quota:
        return None
    beside = (host.paths.container(box.name), f"{host.paths.kept}/{box.name}")
    return store.free_project(box.record.slot, beside)
