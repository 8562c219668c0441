# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk in two levels: ``disk`` and ``inodes`` of a container, ``disk_users`` and ``disk_groups`` of ids inside it.

The first level is project quota, or the size of the container's own filesystem where the node's has none
(``store.py``). The second is user and group quota on the host ids that the container's ids are; both hold a user.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .. import images, slots, store
from ..fullness import Room
from ..host import Box, Host
from ..kernel import quota
from ..record import Record
from ..steps import Change, DiskSeen
from .base import Facet

_KINDS = {"disk_users": quota.USER, "disk_groups": quota.GROUP}
Limits = Mapping[str, Mapping[str, int]]
Used = dict[str, "dict[str, int | None]"]


class Disk(Facet):
    name = "disk"
    file_rows = ("disk", "inodes", "disk_users", "disk_groups")

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        return {box.name: _observe(host, box) for box in boxes}

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        fields = {**box.record.fields, **{change.field: change.after for change in changes}}
        touched = {change.field: change for change in changes}
        if store.image_of(box.directory) is not None:
            if "disk" in touched and fields.get("disk") is not None:
                store.grow(box.directory, fields["disk"])
        elif touched.keys() & {"disk", "inodes"}:
            _limit(box, {row: change.after for row, change in touched.items() if row in ("disk", "inodes")})
        for row, kind in _KINDS.items():
            if row in touched:
                before = {**(box.record.fields.get(row) or {}), **(touched[row].before or {})}
                _limit_ids(box, kind, touched[row].after or {}, before)


def _observe(host: Host, box: Box) -> dict[str, Any]:
    found: dict[str, Any] = {}
    recorded = box.record.fields
    image = store.image_of(box.directory)
    if image is not None:
        found["disk"] = os.stat(image).st_size
        if "inodes" in recorded:
            with contextlib.suppress(OSError):  # of an image that is damaged nothing is known
                found["inodes"] = _inodes(box.directory, recorded["inodes"], found["disk"])
    elif quota.PROJECT in host.quota and (project := store.project_of(box.directory)):
        limits = quota.get(box.directory, quota.PROJECT, project)
        found.update(disk=limits.space, inodes=limits.inodes)
    for row, kind in _KINDS.items():
        if kind in host.quota and image is None:
            found[row] = _ids(box, kind, recorded.get(row) or {})
    return found


def _inodes(directory: str, wanted: int, size: int) -> int:
    """The inodes of a container's own filesystem; as wanted, if ext4 has only rounded them up."""
    with store.opened(directory) as place:
        files = os.fstatvfs(place).f_files
    return wanted if wanted <= files <= wanted + images.rounded(wanted, size) else files


def _ids(box: Box, kind: str, known: Limits) -> dict[str, dict[str, int]] | None:
    found = {}
    for ident in known:
        limits = quota.get(box.directory, kind, box.record.base_id + int(ident))
        one = {"disk": limits.space, "inodes": limits.inodes}
        if any(one.values()):
            found[ident] = {name: value for name, value in one.items() if value is not None}
    return found or None


def look(host: Host, box: Box) -> DiskSeen:
    """What a container alone takes, and what holds it."""
    image = store.image_of(box.directory)
    if image is not None:
        return DiskSeen(store.kind_of(image), os.stat(image).st_blocks * 512, None)
    if quota.PROJECT in host.quota and (project := store.project_of(box.directory)):
        used = quota.get(box.directory, quota.PROJECT, project)
        return DiskSeen(None, used.space_used, used.inodes_used)
    return DiskSeen()


def used_by_ids(host: Host, box: Box) -> dict[str, Used | None]:
    """What the declared users and groups of a container take, by the names of the options and their ids inside it.

    Bytes and inodes beside the limits in force, of which ``None`` is none. An option is ``None`` where nobody counts
    that. Whatever has such an owner counts, wherever in the container it lies.
    """
    fields, counted = box.record.fields, host.quota if store.image_of(box.directory) is None else frozenset()
    return {
        row: _used(box, kind, sorted(fields.get(row) or {}, key=int)) if kind in counted else None
        for row, kind in _KINDS.items()
    }


def _used(box: Box, kind: str, ids: Iterable[str]) -> Used:
    found = {ident: quota.get(box.directory, kind, box.record.base_id + int(ident)) for ident in ids}
    return {
        ident: {
            "disk_in_use": one.space_used,
            "disk": one.space,
            "inodes_in_use": one.inodes_used,
            "inodes": one.inodes,
        }
        for ident, one in found.items()
    }


def room(host: Host, box: Box) -> Room | None:
    """What a container has left of a disk of its own; ``None`` where it has none, or where that cannot be read."""
    image = store.image_of(box.directory)
    with contextlib.suppress(OSError):
        if image is not None:
            with store.opened(box.directory) as place:
                return replace(room_at(place), space=os.stat(image).st_size)
        if quota.PROJECT in host.quota and (project := store.project_of(box.directory)):
            found = quota.get(box.directory, quota.PROJECT, project)
            left = (None if most is None else max(0, most - used) for most, used in
                    ((found.space, found.space_used), (found.inodes, found.inodes_used)))  # fmt: skip
            return Room(found.space, next(left), found.inodes, next(left))
    return None


def room_at(place: str | int) -> Room:
    """What the filesystem of a path or of a descriptor has left. Some, such as btrfs, count no inodes."""
    found = os.statvfs(place)
    inodes = (found.f_files, found.f_ffree) if found.f_files else (None, None)
    return Room(found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail, *inodes)


def establish(host: Host, box: Box) -> None:
    """Set every limit of a new container, and none that an earlier one of the same ids has left."""
    fields = box.record.fields
    if quota.PROJECT in host.quota and store.image_of(box.directory) is None:
        project = store.project_of(box.directory)
        quota.put(box.directory, quota.PROJECT, project, fields.get("disk"), fields.get("inodes"))
    for row, kind in _KINDS.items():
        if kind in host.quota:
            left = quota.limited(box.directory, kind, box.record.base_id, slots.RANGE)
            before: Limits = {str(ident - box.record.base_id): {} for ident in left}
            _limit_ids(box, kind, fields.get(row) or {}, before)


def release(host: Host, place: str, record: Record) -> None:
    """Take back the limits of a container that is gone. ``place`` is anything on the same filesystem."""
    if quota.PROJECT in host.quota:
        for project in store.projects(record.slot):
            if quota.get(place, quota.PROJECT, project)[:2] != (None, None):
                quota.put(place, quota.PROJECT, project, None, None)
    for kind in _KINDS.values():
        if kind in host.quota:
            for ident in quota.limited(place, kind, record.base_id, slots.RANGE):
                quota.put(place, kind, ident, None, None)


def _limit(box: Box, wanted: Mapping[str, int | None]) -> None:
    """Hold a container to limits of its project; one that is not named keeps what it has."""
    if quota.PROJECT not in quota.enforced(box.directory):
        if any(value is not None for value in wanted.values()):
            raise OSError("this filesystem has no project quota")
        return
    project = store.project_of(box.directory)
    if not project:
        # From before there were limits. Counted first, so that what it has is known when the limit comes.
        project = store.free_project(box.record.slot)
        store.count(box.directory, project)
    found = quota.get(box.directory, quota.PROJECT, project)
    space, inodes = wanted.get("disk", found.space), wanted.get("inodes", found.inodes)
    for what, limit, used in (("bytes", space, found.space_used), ("inodes", inodes, found.inodes_used)):
        if limit is not None and limit < used:
            raise OSError(f"{used} {what} are in use, more than the {limit} that it would have")
    quota.put(box.directory, quota.PROJECT, project, space, inodes)


def _limit_ids(box: Box, kind: str, wanted: Limits, before: Limits) -> None:
    for ident in sorted({*wanted, *before}, key=int):
        limits = wanted.get(ident) or {}
        quota.put(box.directory, kind, box.record.base_id + int(ident), limits.get("disk"), limits.get("inodes"))
