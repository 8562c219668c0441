# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of the node in a container: ``devices``, and those that ``features`` stand for.

What the container gets is a device file of its own, mounted over an empty file in its /dev (``kernel/graft.py``). The
node's own file has an owner whom the container does not know. One that may be written belongs to the container's root;
one that may only be read belongs to the node's, so that nobody inside can change its mode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..host import Box, Host
from ..kernel import graft
from ..steps import Change
from .base import OneOption

# By feature: the device's path and number (Documentation/admin-guide/devices.txt).
FEATURES = {
    "fuse": ("/dev/fuse", os.makedev(10, 229)),
    "ppp": ("/dev/ppp", os.makedev(108, 0)),
    "tun": ("/dev/net/tun", os.makedev(10, 200)),
}
_BITS = {"rw": 0o660, "r": 0o440}


class File(NamedTuple):
    """A device file as a container is to have it. Ids are the node's."""

    kind: int
    number: int
    mode: int
    owner: int
    group: int


class Devices(OneOption):
    name = "devices"
    live_rows = ("devices",)
    late = True

    def found(self, box: Box) -> Any:
        return _rows(box)

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        return [f"devices: {reason}" for path in wanted.get("devices") or {} if (reason := missing(path))]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        for change in changes:
            before = {*(box.record.fields.get("devices") or {}), *(change.before or {})}
            bring(box, before, {path: _file(box, path, row) for path, row in (change.after or {}).items()})


class Features(OneOption):
    name = "features"
    live_rows = ("features",)
    late = True

    def found(self, box: Box) -> Any:
        return _features(box)

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        named = [(name, FEATURES[name][0]) for name in wanted.get("features") or [] if name in FEATURES]
        return [f"features: {name} needs {reason}" for name, path in named if (reason := missing(path))]

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        return list(_NESTING) if "nesting" in (box.record.fields.get("features") or []) else []

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        for change in changes:
            before = {*(box.record.fields.get("features") or []), *(change.before or [])}
            paths = {FEATURES[name][0] for name in before if name in FEATURES}
            wanted = [FEATURES[name] for name in change.after or [] if name in FEATURES]
            base = box.record.base_id
            bring(box, paths, {path: File(stat.S_IFCHR, number, 0o666, base, base) for path, number in wanted})


# Containers in a container mount proc and sysfs, which the kernel allows only where one of each is to be seen with
# nothing laid over it, as lxcfs does (mount_too_revealing in fs/namespace.c); as LXC's nesting.conf.
_NESTING = (
    ("lxc.mount.entry", "proc dev/.lxc/proc proc create=dir,optional 0 0"),
    ("lxc.mount.entry", "sys dev/.lxc/sys sysfs create=dir,optional 0 0"),
)
_NESTED_PROC = "/dev/.lxc/proc"


def missing(path: str) -> str | None:
    """Why a device cannot be given."""
    real = os.path.realpath(path)
    if not os.path.lexists(path):
        return f"{path}, and this node has none; load the driver, plug it in, or delete the entry"
    if not _is_device(os.stat(path).st_mode if os.path.exists(path) else 0):
        return f"{path}, which is no device on this node; write mounts: for a file or a directory"
    return f"{path}, a symbolic link to {real}; write that path" if real != path else None


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _file(box: Box, path: str, row: Mapping[str, Any]) -> File:
    found = os.stat(path, follow_symlinks=False)
    if not _is_device(found.st_mode):
        raise OSError(f"{path} is no device")
    base = box.record.base_id
    owner = base if row["mode"] == "rw" else 0
    return File(stat.S_IFMT(found.st_mode), found.st_rdev, _BITS[row["mode"]], owner, base + row["group"])


def bring(box: Box, before: Iterable[str], after: Mapping[str, File]) -> None:
    """Bring a running container's device files to what is wanted at these paths."""
    if not box.pid:
        return
    now = _found(box, {*before, *after})
    for path in sorted({*before, *after}):
        if path in now and now[path] == after.get(path):
            continue
        graft.detach(box.pid, path, empty_file=True)
        if path in after:
            wanted = after[path]
            tree = graft.of_device(wanted.kind, wanted.number, wanted.mode, wanted.owner, wanted.group)
            graft.attach(box.pid, tree, path, box.record.base_id)


def _found(box: Box, paths: Iterable[str]) -> dict[str, File]:
    """The device files that are mounted in a container at these paths."""
    try:
        mounted = graft.found(box.pid or 0, paths)
    except OSError:
        return {}
    stats = {path: mount.status for path, mount in mounted.items()}
    return {
        path: File(stat.S_IFMT(s.st_mode), s.st_rdev, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid)
        for path, s in stats.items()
        if _is_device(s.st_mode)
    }


def _rows(box: Box) -> dict[str, dict[str, Any]]:
    declared = box.record.fields["devices"]
    rows = {}
    for path, file in _found(box, declared).items():
        try:
            same = file == _file(box, path, declared[path])
        except OSError:
            same = False
        rows[path] = declared[path] if same else {"mode": "something else"}
    return rows


def _features(box: Box) -> list[str]:
    declared = box.record.fields["features"]
    found = _found(box, [FEATURES[name][0] for name in declared if name in FEATURES])
    base = box.record.base_id
    return [
        name
        for name in declared
        if (
            name in FEATURES
            and found.get(FEATURES[name][0]) == File(stat.S_IFCHR, FEATURES[name][1], 0o666, base, base)
        )
        or (name == "nesting" and _has_nested_proc(box))
    ]


def _has_nested_proc(box: Box) -> bool:
    try:
        return _NESTED_PROC in graft.found(box.pid or 0, [_NESTED_PROC])
    except OSError:
        return False
