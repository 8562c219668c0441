# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns disk limits: what a node cannot do, and what would not hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import images, model
from .steps import Change, ContainerSeen, NodeSeen

_PLACE = "the filesystem of /var/lib/carve"
_USERS = {"disk_users": ("user", "usrquota"), "disk_groups": ("group", "grpquota")}


def errors(name: str, wanted: Mapping[str, Any], seen: ContainerSeen | None, node: NodeSeen) -> list[str]:
    """What is declared of a container and cannot be had on this node."""
    found = []
    own = seen is not None and seen.disk.filesystem is not None
    for row, (kind, option) in _USERS.items():
        if wanted.get(row) is not None and own:
            found.append(f"{name}: {row} does not work in a filesystem of the container's own; delete {row}:")
        elif wanted.get(row) is not None and kind not in node.quota:
            found.append(f"{name}: {row} needs {kind} quota, and {_PLACE} has none; mount it with {option}, "
                         f"or delete {row}:")  # fmt: skip
    if "project" in node.quota or seen is not None:
        return found
    disk, inodes = wanted.get("disk"), wanted.get("inodes")
    if inodes is not None and disk is None:
        found.append(f"{name}: inodes needs disk: beside it here, as {_PLACE} has no project quota; write both")
    if disk is not None and images.choose(disk, inodes, node.makers) is None:
        found.append(f"{name}: disk cannot be limited here: {_PLACE} has no project quota, and a filesystem of the "
                     "container's own needs loop devices and mkfs.ext4 (e2fsprogs); mount it with prjquota, or "
                     "install them")  # fmt: skip
    return found


def refusal(changes: Iterable[Change], seen: ContainerSeen, node: NodeSeen) -> str | None:
    """Why a change of an existing container's limits would not hold, and what to do instead."""
    for change in changes:
        if change.field in ("disk", "inodes"):
            if seen.disk.filesystem is not None:
                why = _own(change, seen, node)
            elif "project" not in node.quota:
                why = _without(change)
            else:
                why = _below_use(change, seen)
            if why is not None:
                return f"refused: {why}"
    return None


def _below_use(change: Change, seen: ContainerSeen) -> str | None:
    used = seen.disk.space if change.field == "disk" else seen.disk.inodes
    if change.after is None or used is None or change.after >= used:
        return None
    shown = f"{used / (1 << 20):.1f}M" if change.field == "disk" else str(used)
    wanted = f"{change.field} {model.show(change.field, change.after)}"
    return f"{wanted} is less than the {shown} in use; delete files in the container, or declare more"


def _without(change: Change) -> str | None:
    if change.after is None:
        return None
    return (
        f"{change.field} cannot be limited: {_PLACE} has no project quota, and a container gets a filesystem of its "
        "own only when it is made; make it anew, or mount with prjquota"
    )


def _own(change: Change, seen: ContainerSeen, node: NodeSeen) -> str | None:
    found, used = seen.seen.get("disk"), seen.disk.space or 0
    size = model.show("disk", found)
    if change.after is None:
        now = size if change.field == "disk" else model.show("inodes", seen.seen.get("inodes"))
        return f"the container has a filesystem of its own, which stays limited; write {change.field}: {now}"
    if change.field == "inodes":
        return f"the inodes of a container's own filesystem are given when it is made; write {_was('inodes', seen)}"
    if found is not None and change.after < found:
        return (
            f"disk {model.show('disk', change.after)} is less than the {size} of the container's own filesystem, which "
            f"cannot shrink ({used / (1 << 20):.1f}M in use); write disk: {size}"
        )
    if seen.disk.filesystem == images.EXT4 and "inodes" in seen.recorded:
        return f"ext4 that grows gets more inodes, and inodes would not hold; write disk: {size}, or make it anew"
    if seen.disk.filesystem == images.EXT4 and not node.ext4_grows:
        return (
            f"ext4 does not grow here: Carve has no CAP_SYS_RESOURCE on this node; write disk: {size}, or make it anew"
        )
    return None


def _was(row: str, seen: ContainerSeen) -> str:
    value = seen.recorded.get(row)
    return f"inodes: {model.show(row, value)}" if value is not None else "no inodes:"
