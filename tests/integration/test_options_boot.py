# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the node does with a container by itself: start and stop it, take snapshots of it, give it ids. A container that
runs has nothing of these options; each is read by letting the node do it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import boot, power
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.snapshots import scheduled, shelf
from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.snapshot_support import did
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    box,
    host,
    inside,
    pid,
    start_time,
    wait_for,
)

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(autouse=True)
def _of_the_test_alone(monkeypatch: pytest.MonkeyPatch, others_hidden: None) -> None:
    """Other fleets of this machine are not the test's to restart, nor to take snapshots of."""
    shelves = shelf.containers
    monkeypatch.setattr(shelf, "containers", lambda paths: [name for name in shelves(paths) if name.startswith("t-")])


def config(line: str, other: str) -> Callable[[str], None]:
    """Somebody who edits LXC's configuration."""

    def edit(name: str) -> None:
        path = Path(Paths().container(name), "config")
        text = path.read_text(encoding="utf-8")
        assert line in text
        path.write_text(text.replace(line, other), encoding="utf-8")

    return edit


def starts(name: str) -> bool:
    """Whether it starts with the node."""
    assert boot.stop(host()) == {} and boot.start(host()) == {}
    found = lxc.init_pid(host(), name) is not None
    if not found:
        power.start(host(), box(name))
    booted(name)
    return found


def test_who_starts_with_the_node(fleet: Fleet) -> None:
    autostart = Case(
        "autostart", {"autostart": False}, {"autostart": True}, starts, False, True,
        config("lxc.start.auto = 1", "lxc.start.auto = 0"), True, spoiled="config",
    )  # fmt: skip
    prove(fleet, "t-boot", [autostart])


class Order:
    """When a container starts among two others, and how long the node then waits: one start of all tells both."""

    def __init__(self) -> None:
        self.of: tuple[Any, ...] = ()
        self.told = ("", 0)

    def look(self, name: str) -> tuple[str, int]:
        if self.of != (start_time(name), box(name).record.fields):
            assert boot.stop(host()) == {} and boot.start(host()) == {}
            booted(name)
            born = {one: int(start_time(one)) for one in (name, "t-early", "t-late")}
            gap = (born["t-late"] - born[name]) / TICKS
            # A start takes a part of a second; the delays are 3 and 6.
            self.told = (" ".join(sorted(born, key=lambda one: born[one])), int(gap // 3 * 3))
            self.of = (start_time(name), box(name).record.fields)
        return self.told


def test_in_which_order_and_how_far_apart(fleet: Fleet) -> None:
    fleet.declare("t-early", start_order=20)
    fleet.declare("t-late", start_order=300)
    order = Order()
    cases = [
        Case(
            "start_order", {"start_order": 10}, {"start_order": 50}, lambda name: order.look(name)[0],
            "t-boot t-early t-late", "t-early t-boot t-late",
            config("lxc.start.order = 50", "lxc.start.order = 7"), spoiled="config",
        ),
        Case(
            "start_delay", {"start_delay": 6}, {"start_delay": 3}, lambda name: order.look(name)[1], 6, 3,
            config("lxc.start.delay = 3", "lxc.start.delay = 0"), spoiled="config",
        ),
    ]  # fmt: skip
    prove(fleet, "t-boot", cases)


def patience(name: str) -> int:
    """For how long, in steps of three seconds, a container is waited for whose init does nothing any more."""
    os.kill(pid(name), signal.SIGSTOP)
    began = time.monotonic()
    power.stop(host(), box(name))
    took = time.monotonic() - began
    power.start(host(), box(name))
    booted(name)
    return int(took // 3 * 3)


def test_how_long_a_container_may_take_to_end(fleet: Fleet) -> None:
    # It stands in the record and nowhere else: whoever changes that has declared something else.
    timeout = Case("stop_timeout", {"stop_timeout": 6}, {"stop_timeout": 3}, patience, 6, 3, None, 9)
    fleet.defaults["stop_timeout"] = 9
    prove(fleet, "t-boot", [timeout])


def taken(name: str) -> dict[str, int]:
    """How many snapshots there are of each schedule, when three days have been asked for."""
    paths = Paths()
    for old in shelf.listed(paths, name):
        shelf.remove(paths, name, old.name)
    now = datetime.now(UTC)
    for days in range(3):
        assert scheduled.keep(host(), now + timedelta(days=days)) == []
    return dict(Counter(str(one.about["schedule"]) for one in shelf.listed(paths, name)))


def test_which_snapshots_are_taken(fleet: Fleet) -> None:
    schedules = Case(
        "snapshots",
        {"snapshots": {"daily": {"every": "1d", "keep": 1}, "hourly": {"every": "1h", "keep": 3}}},
        {"snapshots": {"daily": {"every": "1d", "keep": 2}, "other": {"every": "1h", "keep": 1}}},
        taken,
        {"daily": 1, "hourly": 3},
        {"daily": 2, "other": 1},
        # It stands in the record and nowhere else.
        None,
        {},
    )
    prove(fleet, "t-kept", [schedules])
    # Nor is what was made by hand anybody's to remove.
    did(fleet, "by-hand", "t-kept")
    assert scheduled.keep(host(), datetime.now(UTC) + timedelta(days=400)) == []
    assert [one.name for one in shelf.listed(Paths(), "t-kept")] == ["by-hand"]


def ids(name: str) -> list[int]:
    """The node's id for root inside, and whose the files are."""
    text = Path(f"/proc/{pid(name)}/uid_map").read_text(encoding="ascii")
    return [int(re.split(r"\s+", text.strip())[1]), Path(f"/proc/{pid(name)}/root/etc/passwd").stat().st_uid]


def test_a_range_of_ids_is_given_once(fleet: Fleet) -> None:
    """A container that is there keeps it, whatever is declared, and the plan says so; made anew, it has the other."""
    fleet.declare("t-ids", id=4242)
    fleet.apply()
    booted("t-ids")
    first, second = [4242 * 65536] * 2, [4343 * 65536] * 2
    assert ids("t-ids") == first and inside("t-ids", "stat", "-c", "%u", "/etc/passwd") == "0"

    fleet.declare("t-ids", id=4343)
    found = fleet.check(ALL)
    assert found["steps"] == [] and "t-ids keeps uid range 4242; write id: 4242 to say so" in found["notes"]
    fleet.declare("t-ids", id=4343, state="stopped")
    fleet.apply()
    fleet.declare("t-ids", id=4343)
    fleet.apply()
    assert ids("t-ids") == first
    booted("t-ids")
    before = pid("t-ids")
    inside("t-ids", "systemctl", "reboot", "--no-block", check=False)
    wait_for("the container to reboot", lambda: lxc.init_pid(host(), "t-ids") not in (None, before), 120)
    assert ids("t-ids") == first

    fleet.declare("t-ids", state="absent")
    fleet.apply(ALL)
    fleet.declare("t-ids", id=4343)
    fleet.apply()
    assert ids("t-ids") == second
