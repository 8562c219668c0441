# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift: what somebody changed on the node is named by the plan, and mended by applying it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    booted,
    host,
    inside,
    limits,
    pid,
    start_time,
    wait_for,
)

NAME = "t-drift"


def _edit_config() -> None:
    path = Path(Paths().container(NAME)) / "config"
    text = path.read_text(encoding="utf-8").replace("lxc.start.order = 100", "lxc.start.order = 7")
    path.write_text(text + "lxc.mount.entry = /srv srv none bind,create=dir 0 0\n", encoding="utf-8")


def _write_cgroup_value() -> None:
    group = host().cgroup
    file = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    group.write(NAME, "memory", file, 100 << 20)


def _remove_address() -> None:
    inside(NAME, "ip", "addr", "del", "198.18.113.20/32", "dev", "eth0")


def _remove_route() -> None:
    inside(NAME, "ip", "route", "del", "default")


def _change_hostname() -> None:
    inside(NAME, "hostname", "somebody-else")


def _change_hosts() -> None:
    inside(NAME, "sed", "-i", "s/10.0.0.9 db.internal/10.0.0.66 db.internal/", "/etc/hosts")


def _change_weight() -> None:
    group = host().cgroup
    group.write(NAME, "cpu", "cpu.weight" if group.version == 2 else "cpu.shares", 77)


def _change_period() -> None:
    """By which a container has as many processors as before, and stands still for longer."""
    group = host().cgroup
    if group.version == 2:
        group.write(NAME, "cpu", "cpu.max", "300000 200000")
    else:
        group.write(NAME, "cpu", "cpu.cfs_period_us", 200000)
        group.write(NAME, "cpu", "cpu.cfs_quota_us", 300000)


def _change_period_alone() -> None:
    group = host().cgroup
    if group.version == 2:
        group.write(NAME, "cpu", "cpu.max", "150000 50000")
    else:
        group.write(NAME, "cpu", "cpu.cfs_period_us", 50000)


LIVE: list[tuple[Callable[[], None], str, str, str]] = [
    (_edit_config, "config", "lxc.start.order = 7\nlxc.mount.entry = /srv srv none bind,create=dir 0 0",
     "lxc.start.order = 100"),
    (_write_cgroup_value, "ram", "100M", "192M"),
    (_remove_address, "network.eth0.ip", "fd00:113::20/128", "198.18.113.20/32, fd00:113::20/128"),
    (_remove_route, "network.eth0.gateway", "fe80::1", "169.254.1.1, fe80::1"),
    (_change_hostname, "hostname", "somebody-else", NAME),
    (_change_hosts, "hosts", "db.internal=10.0.0.66", "db.internal=10.0.0.9"),
    (_change_weight, "cpu_weight", "8", "200"),
    (_change_period, "cpus", "1.5 in periods of 200000 us", "1.5"),
    (_change_period_alone, "cpus", "3 in periods of 50000 us", "1.5"),
]  # fmt: skip


@pytest.fixture
def drifting(fleet: Fleet) -> Fleet:
    fleet.declare(
        NAME,
        ram="192M",
        cpus=1.5,
        cpu_weight=200,
        hosts={"db.internal": "10.0.0.9"},
        network={"eth0": {"on": "public", "ip": ["198.18.113.20", "fd00:113::20"]}},
    )
    fleet.apply()
    booted(NAME)
    return fleet


def test_every_live_drift_is_named_and_mended_without_a_restart(drifting: Fleet) -> None:
    born = start_time(NAME)
    config = Path(Paths().container(NAME), "config").read_text(encoding="utf-8")
    for meddle, field, before, after in LIVE:
        meddle()
        found = drifting.check()
        named = [(c["field"], c["before"], c["after"]) for step in found["steps"] for c in step["changes"]]
        assert (field, before, after) in named, meddle.__name__
        assert {step["reason"] for step in found["steps"]} == {"changed on the node"}, meddle.__name__
        drifting.apply()
    assert start_time(NAME) == born
    assert limits(NAME)["ram"] == str(192 << 20)
    assert Path(Paths().container(NAME), "config").read_text(encoding="utf-8") == config


def test_a_stopped_container_is_named_and_started(drifting: Fleet) -> None:
    subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", NAME, "-k"], check=True)
    (step,) = drifting.check()["steps"]
    assert (step["action"], step["reason"]) == ("start", "stopped on the node")
    drifting.apply()
    assert pid(NAME)


def test_a_killed_container_is_named_and_started(drifting: Fleet) -> None:
    init = pid(NAME)
    os.kill(init, signal.SIGKILL)
    wait_for("it to be gone", lambda: not lxc.is_alive(init))
    drifting.apply()
    assert limits(NAME)["ram"] == str(192 << 20)


def test_a_destroyed_container_is_named_and_made_anew(drifting: Fleet) -> None:
    subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", NAME, "-k"], check=True)
    shutil.rmtree(Paths().container(NAME))
    assert [step["action"] for step in drifting.check()["steps"]] == ["create", "start"]
    drifting.apply()
    assert pid(NAME)


def test_a_lost_configuration_is_written_again(drifting: Fleet) -> None:
    born = start_time(NAME)
    path = f"{Paths().container(NAME)}/config"
    before = files.read(path)
    Path(path).unlink()
    (step,) = drifting.check()["steps"]
    assert [change["field"] for change in step["changes"]] == ["config"]
    drifting.apply()
    assert files.read(path) == before
    assert start_time(NAME) == born
