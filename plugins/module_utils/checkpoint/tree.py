# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's control groups (cgroup-v2.rst), written down before a checkpoint and made again before a restore.

CRIU leaves out groups without processes and gives controllers to the others only after it has opened the files in them
that systemd watches; so they have to be there before it begins, with the owners and modes that it compares.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

from .. import files

# What a group is held to. io.max is not among them: it names disks by numbers that are others on another node.
_KNOBS = (
    "cgroup.max.depth", "cgroup.max.descendants", "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.weight", "cpuset.cpus",
    "cpuset.mems", "io.weight", "memory.high", "memory.low", "memory.max", "memory.min", "memory.oom.group",
    "memory.swap.high", "memory.swap.max", "memory.zswap.max", "pids.max",
)  # fmt: skip
Group = dict[str, Any]


def save(top: str) -> list[Group]:
    """The group at ``top`` and all below it, each before those that it contains."""
    return [_group(top, directory) for directory, _children, _files in files.walk(top)]


def _group(top: str, directory: str) -> Group:
    files = {}
    for name in sorted(os.listdir(directory)):
        found = os.lstat(f"{directory}/{name}")
        if stat.S_ISREG(found.st_mode):
            files[name] = [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]
    own = os.lstat(directory)
    return {
        "path": os.path.relpath(directory, top),
        "owner": [stat.S_IMODE(own.st_mode), own.st_uid, own.st_gid],
        "files": files,
        "controllers": _read(f"{directory}/cgroup.subtree_control").split(),
        "knobs": {name: value for name in _KNOBS if (value := _read(f"{directory}/{name}"))},
    }


def make(top: str, groups: list[Group]) -> None:
    """Make the groups below ``top`` again, with what each was held to. ``top`` itself may have no processes then."""
    for group in groups:
        directory = os.path.normpath(f"{top}/{group['path']}")
        if os.path.commonpath([top, directory]) != top:
            raise OSError(f"{group['path']} is no group of the container's")
        os.makedirs(directory, exist_ok=True)
        for name, value in group["knobs"].items():
            # This kernel may have no such knob, or no such processor.
            with contextlib.suppress(OSError):
                _write(f"{directory}/{name}", value)
        allow(directory, group["controllers"])
    for group in groups:
        directory = os.path.normpath(f"{top}/{group['path']}")
        for name, owner in {"": group["owner"], **group["files"]}.items():
            with contextlib.suppress(FileNotFoundError):
                _own(os.path.join(directory, name), *owner)


def allow(directory: str, controllers: list[str]) -> None:
    """Let the groups in ``directory`` be held to what these controllers control, as far as the kernel has them."""
    offered = _read(f"{directory}/cgroup.controllers").split()
    for name in controllers:
        if name in offered:
            _write(f"{directory}/cgroup.subtree_control", f"+{name}")


def _own(path: str, mode: int, uid: int, gid: int) -> None:
    os.chown(path, uid, gid, follow_symlinks=False)
    os.chmod(path, mode)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as handle:
        handle.write(value)
