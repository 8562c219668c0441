# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a container leaves a node: gone at one stroke, so that a run that is killed leaves none that is half there."""

from __future__ import annotations

import os

from . import files, power, rootfs, usage
from .checkpoint import suspend
from .engines import lxc
from .facets import disk
from .host import Box, Host
from .record import load


def destroy(host: Host, box: Box) -> None:
    """Stop a container and remove it. Nothing of it is to be kept, so nothing is gained by waiting for its services."""
    suspend.put_right(host, box.name)
    if box.pid:
        power.stop(host, box, timeout=0)
    remove(host, box.name, box.directory)


def remove(host: Host, name: str, directory: str) -> None:
    """Remove the files of a container that does not run, and what LXC keeps of it elsewhere."""
    gone = f"{host.paths.staging}/{name}.gone"
    record = load(directory)
    rootfs.unmount(directory)
    files.remove_tree(gone)
    os.rename(directory, gone)
    files.sync([os.path.dirname(directory)])
    lxc.forget(host, name)
    usage.forget(host.paths, name)
    files.remove_tree(gone)
    if record is not None:
        disk.release(host, host.paths.base, record)
