# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a node has room for a container that is to come."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.moves import room
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

MEMINFO = """MemTotal:        4028528 kB
MemFree:           91144 kB
MemAvailable:     102400 kB
SwapFree:          20480 kB
HugePages_Total:       0
"""


def test_memory_that_is_not_there() -> None:
    assert room.lacks_memory(120 << 20, meminfo=MEMINFO) == []
    assert room.lacks_memory((120 << 20) + 1, meminfo=MEMINFO) == [
        "there is no room in memory: it needs 121M, and 120M are left"
    ]


def test_memory_that_others_are_to_fill() -> None:
    assert room.lacks_memory(20 << 20, 100 << 20, MEMINFO) == []
    assert room.lacks_memory(21 << 20, 100 << 20, MEMINFO) == [
        "there is no room in memory: it needs 21M, and 20M are left"
    ]
    assert room.lacks_memory(1 << 20, 1 << 40, MEMINFO) == ["there is no room in memory: it needs 1M, and 0 are left"]


def test_this_node_has_some() -> None:
    assert room.lacks_memory(1) == []
    assert room.lacks_memory(1 << 60) != []


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    left = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert room.lacks_disk(host, left // 2) == []
    (lack,) = room.lacks_disk(host, left * 2)
    assert lack.startswith("there is no room on the disk: it needs ")
