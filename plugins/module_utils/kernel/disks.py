# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Block devices as the kernel's block layer sees them (sysfs, Documentation/ABI/stable/sysfs-block)."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from . import mountinfo

_SYSFS = "/sys/dev/block"


@dataclass(frozen=True)
class Disk:
    """A whole block device: ``MAJOR:MINOR``, and its name in ``/sys/block``."""

    number: str
    name: str

    def layers(self) -> list[Disk]:
        """The devices at the bottom of this one: those of a logical volume or a RAID, or itself."""
        try:
            names = sorted(os.listdir(f"/sys/block/{self.name}/slaves"))
        except FileNotFoundError:
            names = []
        below = [_whole(_read(f"/sys/block/{self.name}/slaves/{name}/dev")) for name in names]
        return [layer for disk in below if disk is not None for layer in disk.layers()] or [self]

    def scheduler(self) -> str:
        """The I/O scheduler in force (Documentation/block/switching-sched.rst)."""
        match = re.search(r"\[([^]]+)]", _read(f"/sys/block/{self.name}/queue/scheduler"))
        return match.group(1) if match else "none"


def holding(path: str) -> Disk | None:
    """The whole disk that a directory's filesystem is on, for no limit can be set on a partition; ``None`` where there
    is none, such as on a network filesystem."""
    number = os.stat(path).st_dev
    if os.major(number):
        return _whole(f"{os.major(number)}:{os.minor(number)}")
    # btrfs and others have a number of their own making; the device is the one that they were mounted from.
    try:
        source = os.stat(_source(path))
    except OSError:
        return None
    return _whole(f"{os.major(source.st_rdev)}:{os.minor(source.st_rdev)}") if stat.S_ISBLK(source.st_mode) else None


def _source(path: str) -> str:
    """What the filesystem of a directory was mounted from (proc(5), mountinfo): the innermost mount, the last one."""
    place, best, source = os.path.realpath(path), "", ""
    for mount in mountinfo.of():
        if (place + "/").startswith(mount.place.rstrip("/") + "/") and len(mount.place) >= len(best):
            best, source = mount.place, mount.source
    return source


def _whole(number: str) -> Disk | None:
    here = f"{_SYSFS}/{number.strip()}"
    if not number.strip() or not os.path.isdir(here):
        return None
    place = os.path.realpath(here)
    if os.path.exists(f"{place}/partition"):
        place = os.path.dirname(place)
    return Disk(_read(f"{place}/dev").strip(), os.path.basename(place))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except OSError:
        return ""
