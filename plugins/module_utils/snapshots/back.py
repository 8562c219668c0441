# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container goes back to a snapshot: its files are made anew aside, and change places with those that it has.

The files come back, and the template version below them. What is declared of the container stays as it is now, limits
and addresses, host name and keys: the manifest, not a snapshot, says what those are.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace

from .. import builder, files, power, remake, rootfs, trees, units
from ..engines import lxc
from ..host import Box, Host
from ..paths import RETURNING
from ..record import Record
from .shelf import Snapshot, SnapshotError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def why_not(host: Host, now: Record, snapshot: Snapshot, may_restart: bool) -> str | None:
    """What keeps a container from going back, and what to do about it."""
    name, old = now.name, snapshot.record
    if old.uuid != now.uuid:
        return f"{snapshot.name} is a snapshot of an earlier container {name}; delete it"
    if os.path.exists(f"{host.paths.kept}/{name}"):
        return f"the rebuild of {name} has not passed its gate yet; run carve.vps.apply first"
    template, version = old.fields["template"], old.template_version
    if old.backend == rootfs.OVERLAY and builder.build_of(host.paths, template, version) is None:
        return f"{snapshot.name} lies on {template}@{version}, which is not on this node any more"
    limit = now.fields.get("disk")
    if limit is not None and snapshot.about["bytes"] > limit:
        size, disk = snapshot.about["bytes"] / (1 << 20), units.show_size(limit)
        return f"{snapshot.name} of {name} has {size:.1f}M, and disk is {disk}; declare more first"
    most = now.fields.get("inodes")
    if most is not None and snapshot.about["files"] > most:
        return (
            f"{snapshot.name} of {name} has {snapshot.about['files']} files, and inodes is {most}; declare more first"
        )
    if not may_restart and lxc.init_pid(host, name):
        return f"{name} runs, and is restarted to be rolled back; allow: restart, or stop it first"
    return None


def roll_back(host: Host, now: Record, snapshot: Snapshot) -> None:
    """Make a container's files those of a snapshot. The caller has the node's lock, and ``why_not`` had nothing to say.

    Killed before the exchange, the run has changed nothing; after it, the container has its old files again, and a
    note says whether it is still to be started.
    """
    paths, name, old = host.paths, now.name, snapshot.record
    before = Box(now, paths.container(name), lxc.init_pid(host, name))
    running = before.pid is not None or os.path.exists(f"{before.directory}/{RETURNING}")
    fields = {**now.fields, "template": old.fields["template"]}
    made = replace(now, digest=old.digest, build=old.build, backend=old.backend, fields=fields)
    staged = remake.stage(host, made, lambda layer: _copy(snapshot, layer), running)
    if before.pid:
        power.stop(host, before)
    rootfs.unmount(before.directory)
    files.exchange(staged.directory, before.directory)
    files.sync([paths.containers])
    if running:
        power.start(host, Box(made, before.directory))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{before.directory}/{RETURNING}")
    aside = f"{paths.staging}/{name}.old"
    files.remove_tree(aside)
    os.rename(staged.directory, aside)
    files.remove_tree(aside)


def _copy(snapshot: Snapshot, layer: int) -> None:
    source = os.open(snapshot.layer, _DIRECTORY)
    try:
        trees.Replica(source, layer).finish()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and snapshot.record.fields.get("disk") is not None:
            what = f"the files of {snapshot.name} do not fit; declare more disk, or see whether the node's is full"
            raise SnapshotError(what) from error
        raise
    finally:
        os.close(source)
