# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan does about containers that are suspended, are to be, or are to run again."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.engines import memory

from unit.module_utils.worlds import drifted, lines, node, one, with_container

LAN = {"eth0": {"on": "lan", "ip": "10.20.0.5"}}
HELD = "[it is suspended; declare state: running first]"
RUNNING, SUSPENDED = one({"live_migration": True}), one({"live_migration": True, "state": "suspended"})


def test_to_sleep_and_back() -> None:
    world = node(RUNNING)
    made = plan.make(SUSPENDED, world)
    assert lines(made) == ["web suspend power: state running -> suspended (declared suspended)"]
    asleep = memory.carry_out(made, world, "acme")
    assert asleep.containers["web"].power == "suspended"
    assert lines(plan.make(SUSPENDED, asleep)) == []
    made = plan.make(RUNNING, asleep)
    assert lines(made) == ["web resume power: state suspended -> running (declared running)"]
    awake = memory.carry_out(made, asleep, "acme")
    assert awake.containers["web"].power == "running" and lines(plan.make(RUNNING, awake)) == []


def test_one_that_was_suspended_by_hand_is_resumed() -> None:
    asleep = with_container(node(RUNNING), "web", running=False, suspended=True)
    assert lines(plan.make(RUNNING, asleep)) == ["web resume power: state suspended -> running (suspended on the node)"]
    assert lines(plan.make(one({"live_migration": True, "state": "keep"}), asleep)) == [
        "web change power: state running -> keep (declared)"
    ]


def test_stopped_gives_the_memory_up() -> None:
    asleep = memory.carry_out(plan.make(SUSPENDED, node(RUNNING)), node(RUNNING), "acme")
    made = plan.make(one({"live_migration": True, "state": "stopped"}), asleep)
    assert lines(made) == ["web stop power: state suspended -> stopped (declared stopped)"]
    assert memory.carry_out(made, asleep, "acme").containers["web"].power == "stopped"


def test_what_is_unfit_is_refused_and_goes_on() -> None:
    world = with_container(node(one({})), "web", unfit=("its init watches memory pressure",))
    made = plan.make(one({"state": "suspended", "ram": "64M"}), world)
    refused = "[refused: it cannot be suspended: its init watches memory pressure]"
    assert lines(made) == [
        f"web suspend power: state running -> suspended (declared suspended) {refused}",
        "web change memory: ram - -> 64M (declared)",
    ]
    assert made.refusals == ["web: refused: it cannot be suspended: its init watches memory pressure"]


def test_nothing_else_is_done_to_one_that_sleeps() -> None:
    asleep = memory.carry_out(plan.make(SUSPENDED, node(RUNNING)), node(RUNNING), "acme")
    wanted = one({"live_migration": True, "state": "suspended", "ram": "64M"})
    assert lines(plan.make(wanted, asleep)) == [f"web change memory: ram - -> 64M (declared) {HELD}"]
    moved = drifted(asleep, "web", hostname="other")
    assert lines(plan.make(SUSPENDED, moved)) == [
        f"web change identity: hostname other -> web (changed on the node) {HELD}"
    ]
    made = plan.make(one({"live_migration": True, "ram": "64M"}), asleep)
    assert [(step.action, step.held is None) for step in made.steps] == [("change", False), ("resume", True)]


def test_one_that_is_created_suspended_is_not_started() -> None:
    world = node(SUSPENDED)
    assert world.containers["web"].power == "stopped" and lines(plan.make(SUSPENDED, world)) == []


def test_to_be_built_for_it_takes_a_restart() -> None:
    world = node(one({}))
    assert lines(plan.make(one({"live_migration": True}), world)) == [
        "web restart: live_migration - -> true (declared)"
    ]
    assert lines(plan.make(one({}), node(RUNNING))) == ["web restart: live_migration true -> - (declared)"]
