# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers use, as people read it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import beancounters
from ansible_collections.carve.vps.plugins.plugin_utils import usagetext

LEVELS = {
    "physpages": {"held": 54272, "limit": 131072},
    "swappages": {"held": 0, "limit": beancounters.UNLIMITED},
    "numproc": {"held": 23, "limit": 400},
    "kmemsize": {"held": 5242880},
}
TOTALS = {"fail.numproc": 12, "fail.oomguarpages": 0, "fail.physpages": 99}


def container(fleet: str = "acme", **more: Any) -> dict[str, Any]:
    return {
        "managed": True,
        "fleet": fleet,
        "state": "running",
        "usage": {
            "beancounters": beancounters.rows(LEVELS, TOTALS, {"numproc": 61}),
            "cpu": {"cpu_us": 11_520_000_000, "throttled_us": 1_500_000, "throttled_times": 3},
            "disk_traffic": {"read_bytes": 1 << 30, "written_bytes": 310 << 20, "reads": 5, "writes": 6},
            "network_traffic": {
                "eth0": {"in_bytes": 1000, "in_packets": 10, "out_bytes": 2048, "out_packets": 5},
                "eth1": {"in_bytes": 24, "in_packets": 1, "out_bytes": 0, "out_packets": 0},
            },
            "network_buffers": 12288,
        },
        **more,
    }


def stopped() -> dict[str, Any]:
    found = container(state="stopped")
    found["usage"] = copy.deepcopy(found["usage"])
    found["usage"]["beancounters"] = beancounters.rows({}, TOTALS, {"numproc": 61})
    found["usage"]["network_buffers"] = None
    return found


def test_a_line_for_each_container_of_the_fleet_as_people_sort_them() -> None:
    nodes = {
        "node2": {
            "web-10": container(disk_in_use=1 << 30, declared={"disk": "5G"}),
            "strange": {"managed": False},
            "other": container("another"),
        },
        "node1": {"web-2": stopped()},
    }
    assert usagetext.table(nodes, "acme").splitlines() == [
        "container  node            ram  swap  processes      disk  cpu time  read  written  net in  out  failures",
        "web-2      node1       stopped     -          -         -    3h 12m    1G     310M      1K   2K  numproc 12",
        "web-10     node2  212M of 512M     0  23 of 400  1G of 5G    3h 12m    1G     310M      1K   2K  numproc 12",
    ]
    assert usagetext.table(nodes, "nobody") == "There is no container of fleet nobody."


def test_all_of_one_container() -> None:
    lines = usagetext.single({"node1": {"web": container()}}, "acme", "web").splitlines()
    assert lines[0] == "web on node1, running"
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["numproc"] == ["23", "61", "-", "400", "12"]
    assert rows["physpages"] == ["212M", "-", "-", "512M", "99"]
    assert rows["swappages"][3] == "unlimited"
    assert rows["numfile"] == ["not", "tracked", "-", "-", "-", "-"]
    assert lines[-5:] == [
        "  cpu time 3h 12m, held back 1.5s",
        "  disk: -, read 1G, written 310M",
        "  eth0: in 0.98K (10 packets), out 2K (5 packets)",
        "  eth1: in 24 (1 packets), out 0 (0 packets)",
        "  network buffers of all kinds: 12K",
    ]


def test_of_a_stopped_one_nothing_is_held_and_nothing_is_said_to_be_untracked() -> None:
    text = usagetext.single({"node1": {"web": stopped()}}, "acme", "web")
    assert "stopped" in text and "not tracked" not in text and "buffers" not in text


def test_one_that_is_not_there() -> None:
    with pytest.raises(usagetext.NoSuchContainer, match="there is no container 'wbe' of fleet acme"):
        usagetext.single({"node1": {"web": container()}}, "acme", "wbe")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (999, "999"), (1000, "0.98K"), (1024, "1K"), (1280, "1.25K"), (10 << 20, "10M"),
     (104_333_312, "99.5M"), (104_857_600, "100M"), (1_047_527_424, "999M"), (1_049_000_000, "0.98G"), (1 << 62, "4E")],
)  # fmt: skip
def test_sizes_have_three_digits(value: int | None, text: str) -> None:
    assert usagetext.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0.0s"), (59_940_000, "59.9s"), (60_000_000, "1m 0s"), (3_599_000_000, "59m 59s"),
     (11_520_000_000, "3h 12m"), (273_600_000_000, "3d 4h")],
)  # fmt: skip
def test_durations_have_two_units(value: int | None, text: str) -> None:
    assert usagetext.duration(value) == text


def test_users_and_groups_inside_have_a_line_each() -> None:
    found = container(
        disk_in_use=3 << 30,
        disk_users={
            "1000": {"disk_in_use": 500 << 20, "disk": 1 << 30, "inodes_in_use": 812, "inodes": 20000},
            "33": {"disk_in_use": 0, "disk": None, "inodes_in_use": 0, "inodes": 50},
        },
        disk_groups={"100": {"disk_in_use": 1 << 20, "disk": 3 << 30, "inodes_in_use": 7, "inodes": None}},
    )
    lines = usagetext.single({"node1": {"web": found}}, "acme", "web").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("  disk: 3G"))
    assert lines[begin + 1 : begin + 4] == [
        "    user 33: 0, inodes 0 of 50",
        "    user 1000: 500M of 1G, inodes 812 of 20000",
        "    group 100: 1M of 3G, inodes 7",
    ]
    nobody = usagetext.single({"node1": {"web": container(disk_users=None, disk_groups={})}}, "acme", "web")
    assert "inodes" not in nobody
