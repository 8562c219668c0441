# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed at any instant of a snapshot leaves nothing half made, nobody frozen; the next one does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.kernel import freezer
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration import killed_snapshot
from ansible_collections.carve.vps.tests.integration.snapshot_support import being_made, did, kept, snapshot
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    host,
    inside,
    start_time,
    wait_for,
)

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
NAME = "x-snap"
# The points at which a test kills; all that there are with CARVE_TEST_ALL_POINTS.
MOST = 10


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """With one container."""
    fleet.declare(NAME, stop_timeout=0)
    fleet.apply()
    return fleet


def child(fleet: Fleet, point: str, name: str, **options: Any) -> subprocess.CompletedProcess[str]:
    params = {"name": name, "containers": [NAME], "fleet": fleet.name, "state": "present", "allow": ["restart"],
              "lock_timeout": 30, **options}  # fmt: skip
    return subprocess.run(
        [sys.executable, killed_snapshot.__file__, "snapshots", point],
        input=json.dumps(params), text=True, capture_output=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip


def points(fleet: Fleet, name: str, **options: Any) -> list[str]:
    result = child(fleet, "never", name, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    found: list[str] = json.loads(result.stdout)["points"]
    assert len(found) > MOST
    every = "CARVE_TEST_ALL_POINTS" in os.environ
    return found if every else [found[i * len(found) // MOST] for i in range(MOST)]


def assert_nobody_is_frozen() -> None:
    wait_for(f"{NAME} to be thawed", lambda: not freezer.is_frozen(host().cgroup, NAME), 10)


def test_taking(fleet: Fleet) -> None:
    born, reached = start_time(NAME), 0
    todo = points(fleet, "peace")
    for number, point in enumerate(todo):
        name = f"s{number}"
        result = child(fleet, point, name)
        reached += result.returncode == -signal.SIGKILL
        assert result.returncode in (0, -signal.SIGKILL), f"{point}: {result.stdout}{result.stderr}"
        assert_nobody_is_frozen()
        assert start_time(NAME) == born, point
        if name in kept(NAME):
            assert Path(Paths().snapshot(NAME, name), "upper/etc/hostname").exists(), point
        did(fleet, name, NAME)
        assert being_made() == set() and Paths().frozen_notes() == [], point
        did(fleet, name, NAME, state="absent")
    assert reached > len(todo) * 0.8, f"{reached} of {len(todo)} runs were killed"
    assert kept(NAME) == {"peace"}


def test_the_one_who_froze_and_the_one_who_watches_are_killed(fleet: Fleet) -> None:
    """As by whoever kills everything on a node: the next run of any kind thaws what it finds."""
    Path(Paths().frozen(NAME)).touch()
    group = host().cgroup
    file, word = ("cgroup.freeze", "1") if group.version == 2 else ("freezer.state", "FROZEN")
    group.write(NAME, "freezer", file, word)
    wait_for("it to be frozen", lambda: freezer.is_frozen(group, NAME))
    assert not fleet.run().get("failed")
    assert_nobody_is_frozen()
    assert Paths().frozen_notes() == []


def test_what_somebody_else_froze_stays_frozen(fleet: Fleet) -> None:
    subprocess.run(["lxc-freeze", "-P", Paths().containers, "-n", NAME], check=True)
    did(fleet, "s", NAME)
    assert freezer.is_frozen(host().cgroup, NAME)
    subprocess.run(["lxc-unfreeze", "-P", Paths().containers, "-n", NAME], check=True)
    assert_nobody_is_frozen()


def test_removing(fleet: Fleet) -> None:
    did(fleet, "peace", NAME)
    for point in points(fleet, "peace", state="absent"):
        did(fleet, "s", NAME)
        assert child(fleet, point, "s", state="absent").returncode in (0, -signal.SIGKILL)
        did(fleet, "s", NAME, state="absent")
        assert kept(NAME) == set(), point
    did(fleet, "last", NAME)
    assert being_made() == set()


def test_rolling_back(fleet: Fleet) -> None:
    """The container is as it was or as it shall be; rolling back again, or any run of the fleet, makes it run."""
    inside(NAME, "sh", "-c", "echo then >/root/state; sync")
    did(fleet, "then", NAME)
    todo = points(fleet, "then", state="rolled_back")
    reached = 0
    for number, point in enumerate(todo):
        inside(NAME, "sh", "-c", "echo now >/root/state; sync")
        result = child(fleet, point, "then", state="rolled_back")
        assert result.returncode in (0, -signal.SIGKILL), f"{point}: {result.stdout}{result.stderr}"
        reached += result.returncode != 0
        found = Path(Paths().container(NAME), "upper/root/state").read_text(encoding="ascii")
        assert found in ("then\n", "now\n"), point
        if number % 2:
            assert not fleet.run(ALL).get("failed"), point
            assert inside(NAME, "cat", "/root/state") == found.strip(), point
        again = snapshot(fleet, "then", NAME, state="rolled_back", allow=["restart"])
        assert not again.get("failed"), f"{point}: {again['msg']}"
        assert inside(NAME, "cat", "/root/state") == "then", point
        assert {path.name for path in Path(Paths().container(NAME)).iterdir()} == {
            "carve.json", "config", "root", "upper", "work",
        }, point  # fmt: skip
        assert list(Path(Paths().staging).iterdir()) == [], point
        assert lxc.init_pid(host(), NAME) and fleet.check()["steps"] == [], point
    assert reached > len(todo) * 0.8, f"{reached} of {len(todo)} runs were killed"
