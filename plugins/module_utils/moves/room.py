# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container that is to move takes, and whether a node has that much left. In bytes, and before anything stops:
others may fill the place meanwhile, and then it is the copying that fails."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .. import files
from ..facets import disk
from ..host import Box, Host
from ..kernel import cgroup
from ..units import show_size

_MEBI = 1 << 20
# Of a container's memory what CRIU writes, by the names of memory.stat (Documentation/admin-guide/cgroup-v2.rst).
_WRITTEN = ("anon", "shmem")


def taken(host: Host, box: Box) -> dict[str, int]:
    """``files``, where that is counted, and ``memory``, which is 0 for one that does not run.

    Files that it has from its template are not among them."""
    stat = cgroup.keyed(host.cgroup.read(box.name, "memory", "memory.stat")) if box.pid else {}
    swapped = (host.cgroup.read(box.name, "memory", "memory.swap.current") if box.pid else None) or "0"
    memory = sum(stat.get(key, 0) for key in _WRITTEN) + int(swapped)
    return {"files": disk.look(host, box).space or 0, "memory": memory}


def lacks_disk(host: Host, wanted: int) -> list[str]:
    """That so much cannot be written where containers lie."""
    place = os.statvfs(host.paths.base)
    left = place.f_bavail * place.f_frsize
    return [_lack("on the disk", wanted, left)] if wanted > left else []


def lacks_memory(wanted: int, promised: int = 0, meminfo: str | None = None) -> list[str]:
    """That so much memory cannot be filled again, by /proc/meminfo (proc_meminfo(5)).

    ``promised`` is that of others, who are on their way.
    """
    found = _meminfo(files.read("/proc/meminfo") or "" if meminfo is None else meminfo)
    left = max(0, found.get("MemAvailable", 0) + found.get("SwapFree", 0) - promised)
    return [_lack("in memory", wanted, left)] if wanted > left else []


def _lack(where: str, wanted: int, left: int) -> str:
    needs, has = show_size(-(-wanted // _MEBI) * _MEBI), show_size(left // _MEBI * _MEBI)
    return f"there is no room {where}: it needs {needs}, and {has} are left"


def _meminfo(text: str) -> Mapping[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows if len(row) == 3}
