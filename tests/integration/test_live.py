# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live is live: what can change while a container runs changes then, and is the same after every kind of restart."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    addresses,
    booted,
    brief,
    host,
    inside,
    limits,
    pid,
    start_time,
    wait_for,
)

BEFORE: dict[str, Any] = {
    "ram": "192M", "swap": "64M", "cpus": 1, "cpu_weight": 100, "cpu_set": "0-1", "processes": 300,
    "network": {"eth0": {"on": "public", "ip": ["198.18.113.10", "fd00:113::10"]},
                "eth1": {"on": "lan", "ip": ["10.213.0.10", "fd00:213::10"]}},
}  # fmt: skip
AFTER: dict[str, Any] = {
    "ram": "256M", "swap": "0", "cpus": 0.5, "cpu_weight": 250, "cpu_set": "1", "processes": 200,
    "network": {"eth0": {"on": "public", "ip": ["198.18.113.11", "fd00:113::10", "fd00:113::11"]},
                "eth1": {"on": "lan", "ip": ["10.213.0.10", "10.213.0.11"]}},
}  # fmt: skip
MIB = 1 << 20


def _expected(ram: int, swap: int, cpus: float, weight: int, cpu_set: str, pids: int) -> dict[str, str]:
    if host().cgroup.version == 2:
        return {
            "ram": str(ram),
            "swap": str(swap),
            "cpus": f"{round(cpus * 100000)} 100000",
            "weight": str(weight),
            "set": cpu_set,
            "pids": str(pids),
        }
    return {
        "ram": str(ram),
        "memsw": str(ram + swap),
        "cpus": str(round(cpus * 100000)),
        "weight": str(round(weight * 10.24)),
        "set": cpu_set,
        "pids": str(pids),
    }


def _check_after(name: str) -> None:
    assert limits(name) == _expected(256 * MIB, 0, 0.5, 250, "1", 200)
    assert addresses(name, "eth0") == {"198.18.113.11/32", "fd00:113::10/128", "fd00:113::11/128"}
    assert addresses(name, "eth1") == {"10.213.0.10/24", "10.213.0.11/24"}
    assert "via 169.254.1.1 dev eth0" in inside(name, "ip", "route", "show", "default")
    assert "via fe80::1 dev eth0" in inside(name, "ip", "-6", "route", "show", "default")
    assert inside(name, "nproc") == "1"
    assert inside(name, "free", "--mebi").splitlines()[1].split()[1] == "256"


def test_changes_are_live_and_last(fleet: Fleet) -> None:
    fleet.declare("t-live", **BEFORE)
    fleet.apply()
    booted("t-live")
    assert limits("t-live") == _expected(192 * MIB, 64 * MIB, 1, 100, "0-1", 300)
    born = start_time("t-live")

    fleet.declare("t-live", **AFTER)
    result = fleet.apply()
    assert {step["reach"] for step in result["steps"]} == {"live"}
    assert start_time("t-live") == born
    _check_after("t-live")

    # Stopped and started by the operator.
    fleet.declare("t-live", **AFTER, state="stopped")
    assert brief(fleet.apply()) == ["stop t-live power"]
    fleet.declare("t-live", **AFTER)
    fleet.apply()
    booted("t-live")
    _check_after("t-live")


def test_changes_outlive_a_reboot_typed_inside(fleet: Fleet) -> None:
    fleet.declare("t-live", **BEFORE)
    fleet.apply()
    booted("t-live")
    fleet.declare("t-live", **AFTER)
    fleet.apply()
    before = pid("t-live")
    inside("t-live", "systemctl", "reboot", "--no-block", check=False)
    wait_for("the container to reboot", lambda: _another_pid("t-live", before), 120)
    booted("t-live")
    _check_after("t-live")
    assert fleet.check()["steps"] == []


def _another_pid(name: str, before: int) -> bool:
    from ansible_collections.carve.vps.plugins.module_utils.engines import lxc

    return lxc.init_pid(host(), name) not in (None, before)


def test_what_is_no_longer_declared_is_unlimited_again(fleet: Fleet) -> None:
    fleet.declare("t-live", **BEFORE)
    fleet.apply()
    born = start_time("t-live")
    fleet.declare("t-live", network=BEFORE["network"])
    result = fleet.apply()
    removed = {change["field"] for step in result["steps"] for change in step["changes"] if change["after"] is None}
    assert removed == {"ram", "swap", "cpus", "cpu_weight", "cpu_set", "processes"}
    assert start_time("t-live") == born
    found = limits("t-live")
    assert found["pids"] == "max"
    assert found["ram"] in ("max", str((1 << 63) - 4096))


def test_ram_below_use_is_refused_with_the_figures(fleet: Fleet) -> None:
    fleet.declare("t-live", ram="256M")
    fleet.apply()
    booted("t-live")
    # 60 MiB in a tmpfs are charged to the container and cannot be reclaimed.
    inside("t-live", "dd", "if=/dev/zero", "of=/dev/shm/ballast", "bs=1M", "count=60")
    held_at = limits("t-live")
    fleet.declare("t-live", ram="48M")
    for result in (fleet.check(), fleet.run()):
        assert result["failed"]
        assert "ram 48M is less than the" in result["msg"]
        assert "M in use" in result["msg"]
    assert limits("t-live") == held_at
    inside("t-live", "rm", "/dev/shm/ballast")
    fleet.apply()
    assert limits("t-live")["ram"] == str(48 * MIB)


@pytest.mark.parametrize("shrinks_first", [True, False])
def test_shares_are_given_back_before_others_take_them(fleet: Fleet, shrinks_first: bool) -> None:
    small, large = ("t-a", "t-b") if shrinks_first else ("t-b", "t-a")
    fleet.declare(large, ram="96M")
    fleet.declare(small, ram="192M")
    fleet.apply()
    fleet.declare(large, ram="192M")
    fleet.declare(small, ram="96M")
    assert brief(fleet.apply()) == [f"change {small} memory", f"change {large} memory"]
