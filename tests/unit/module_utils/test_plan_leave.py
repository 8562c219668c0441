# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan holds back, refuses, or says cannot be: leave, guards, RAM in use, other fleets, uid ranges, the node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan, slots
from ansible_collections.carve.vps.plugins.module_utils.steps import ContainerSeen, NodeSeen

from unit.module_utils.worlds import EMPTY, drifted, fleet, lines, node, one, with_container

M = 1 << 20
LAN = {"eth0": {"on": "lan", "ip": "10.20.0.5"}}
MAC = {"eth0": {"on": "lan", "ip": "10.20.0.5", "mac": "02:00:00:00:00:01"}}
PROTECTED = "is protected; apply protect: false first"
# What each kind of step needs, as a change of a container that has LAN and `debian`.
NEEDS: dict[str, Any] = {
    "restart": {"web": {"network": MAC}},
    "rebuild": {"web": {"network": LAN, "template": "web", "template_policy": "rebuild"}},
    "destroy": {"web": {"network": LAN, "state": "absent"}},
}


@pytest.mark.parametrize("reach", NEEDS)
def test_each_reach_needs_its_own_leave(reach: str) -> None:
    world = node(one({"network": LAN}))
    needed = f"needs allow: {reach}"
    for allow, held in (([reach], None), ([other for other in NEEDS if other != reach], needed), ([], needed)):
        made = plan.make(fleet(NEEDS[reach], allow=allow), world)
        assert [step.held for step in made.steps if step.reach == reach and step.kind == "container"] == [held]
        assert not made.refusals
        assert (reach in {step.reach for step in made.doable}) == (held is None)


def test_prune_needs_leave_to_destroy() -> None:
    world = node(fleet({"web": {}, "old": {}}))
    assert lines(plan.make(one({}), world)) == ["old destroy: state running -> - (no longer declared)"]
    assert lines(plan.make(one({}, allow=()), world)) == [
        "old destroy: state running -> - (no longer declared) [needs allow: destroy]"
    ]
    assert lines(plan.make(one({}, prune=False), world)) == []


@pytest.mark.parametrize("after", [{}, {"web": {"state": "absent"}}, {"web": {"state": "absent", "protect": False}}])
def test_a_guard_on_the_node_outlives_its_declaration(after: dict[str, Any]) -> None:
    made = plan.make(fleet(after), node(one({"protect": True})))
    assert [(step.action, step.held) for step in made.steps] == [("destroy", PROTECTED)]


def test_a_guard_that_was_taken_away_is_gone() -> None:
    world = node(one({"protect": False}), node(one({"protect": True})))
    assert [(step.action, step.held) for step in plan.make(fleet({}), world).steps] == [("destroy", None)]


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_a_guard_against_rebuilding(before: bool, after: bool) -> None:
    body = {"template": "web", "template_policy": "rebuild", "protect": after}
    made = plan.make(one(body), node(one({"protect": before})))
    assert [step.held for step in made.steps if step.action == "rebuild"] == [PROTECTED]


def test_ram_below_what_is_in_use_is_refused_with_the_figures() -> None:
    world = with_container(node(one({"ram": "2G"})), "web", ram_in_use=700 * M + 300000)
    made = plan.make(one({"ram": "512M", "processes": 100}), world)
    why = "refused: ram 512M is less than the 700.3M in use; free memory in the container, or declare more"
    assert made.refusals == [f"web: {why}"]
    assert [(step.facet, step.held) for step in made.steps] == [("memory", why), ("processes", None)]
    assert not plan.make(one({"ram": "701M"}), world).refusals
    assert not plan.make(one({"ram": "700M"}), with_container(world, "web", ram_in_use=700 * M)).refusals
    assert not plan.make(one({"ram": "3G"}), world).refusals
    assert not plan.make(one({}), world).refusals


def test_ram_in_use_is_no_matter_where_the_container_ends() -> None:
    world = with_container(node(one({"ram": "2G"})), "web", ram_in_use=700 * M)
    stop = plan.make(one({"ram": "512M", "state": "stopped"}), world)
    assert [(step.action, step.held) for step in stop.steps] == [("stop", None), ("change", None)]
    rebuild = plan.make(one({"ram": "512M", "template": "web", "template_policy": "rebuild"}), world)
    assert not rebuild.refusals
    carried = {change.field for step in rebuild.steps if step.action == "rebuild" for change in step.changes}
    assert carried == {"template", "ram"}
    restart = plan.make(one({"ram": "512M", "network": LAN}), world)
    assert not restart.refusals
    assert "ram" in {change.field for step in restart.steps if step.action == "restart" for change in step.changes}
    assert len(plan.make(one({"ram": "512M", "network": LAN}, allow=()), world).refusals) == 1


def test_ram_is_refused_where_the_rebuild_is_held_back() -> None:
    world = with_container(node(one({"ram": "2G"})), "web", ram_in_use=700 * M)
    made = plan.make(one({"ram": "512M", "template": "web", "template_policy": "rebuild"}, allow=()), world)
    assert len(made.refusals) == 1
    assert [change.field for step in made.steps if step.action == "rebuild" for change in step.changes] == ["template"]


@pytest.mark.parametrize(("mark", "owner"), [("other", "belongs to fleet 'other'"), (None, "is not Carve's")])
@pytest.mark.parametrize("state", ["running", "absent"])
def test_what_belongs_to_others_is_an_error_and_untouched(mark: str | None, owner: str, state: str) -> None:
    world = with_container(EMPTY, "web", fleet=mark, recorded={"id": 99} if mark else {})
    made = plan.make(one({"state": state}), world)
    assert made.errors == (f"web: a container of this name is on the node and {owner}; give yours another name",)
    assert [step for step in made.steps if step.kind == "container"] == []
    assert made.unmanaged == ("web",)


def test_the_record_of_a_newer_version_is_not_guessed_at() -> None:
    world = node(one({"network": {"eth0": {"on": "lan", "ip": "10.20.0.5"}}}))
    recorded = {**world.containers["web"].recorded, "colour": "red", "network.eth0.smell": 7}
    made = plan.make(one({"ram": "1G"}), with_container(world, "web", recorded=recorded))
    (error,) = made.errors
    assert error == (
        "web: was last changed by a newer version of Carve, by options that this one does not know "
        "(colour, network.eth0.smell); use that version, or a newer one"
    )
    assert made.steps == ()


def test_the_unmanaged_are_listed_and_left() -> None:
    world = node(one({}))
    for name, mark in (("zoo", None), ("aunt", "other")):
        world = with_container(world, name, fleet=mark, running=True, config=(("x",), ()))
    made = plan.make(fleet({}), world)
    assert made.unmanaged == ("aunt", "zoo")
    assert [step.name for step in made.steps] == ["web"]


# --- uid ranges


def taken(*numbers: int) -> NodeSeen:
    return replace(EMPTY, containers={f"c{n}": ContainerSeen("other", {"id": n}) for n in numbers})


def created(wanted: dict[str, Any], world: NodeSeen) -> tuple[dict[str, int], tuple[str, ...]]:
    made = plan.make(fleet(wanted, prune=False), world)
    return {step.name: step.target["id"] for step in made.steps if step.action == "create"}, made.notes


def test_a_container_gets_the_range_that_it_asks_for_or_that_its_name_gives() -> None:
    first = next(slots.candidates("acme", "web"))
    assert created({"web": {}}, EMPTY) == ({"web": first}, ())
    assert created({"web": {"id": 4242}}, EMPTY) == ({"web": 4242}, ())


def test_a_range_that_is_taken_is_not_given_twice() -> None:
    first = next(slots.candidates("acme", "web"))
    ids, notes = created({"web": {"id": 4242}, "db": {"id": 4242}}, EMPTY)
    assert ids["web"] == 4242
    assert ids["db"] != 4242
    assert notes == (f"db gets uid range {ids['db']}: range 4242 belongs to web on this node",)
    ids, notes = created({"web": {}}, taken(first))
    assert notes == (f"web gets uid range {ids['web']}: range {first} belongs to c{first} on this node",)
    ids, notes = created({"web": {}}, replace(EMPTY, foreign_ids=((slots.base_id(first) + 5, 1),)))
    assert ids["web"] != first
    assert notes == (
        f"web gets uid range {ids['web']}: range {first} belongs to another user of /etc/subuid on this node",
    )


def test_only_ranges_that_root_may_map_are_given() -> None:
    ids, _notes = created({"web": {}, "db": {}}, replace(EMPTY, own_ids=((slots.base_id(50) - 1, 3 * slots.RANGE),)))
    assert set(ids.values()) == {50, 51}
    made = plan.make(one({}), replace(EMPTY, own_ids=((0, slots.RANGE),)))
    assert made.errors == ("web: no uid range is left on this node; extend root's line in /etc/subuid",)


def test_a_container_keeps_its_range() -> None:
    world = node(one({"id": 20}))
    made = plan.make(one({"id": 21}), world)
    assert (made.steps, made.notes) == ((), ("web keeps uid range 20; write id: 20 to say so",))
    assert plan.make(one({}), world).notes == ()


# --- what the node is and has


def test_a_node_that_is_none_yet() -> None:
    made = plan.make(one({}), replace(EMPTY, lacks=("LXC is not installed", "no ids")))
    assert made.errors == (
        "LXC is not installed; run carve.vps.bootstrap on this node",
        "no ids; run carve.vps.bootstrap on this node",
    )
    assert [step for step in made.steps if step.kind == "container"] == []


def test_what_the_node_cannot_give() -> None:
    wanted = fleet({"web": {"cpu_set": "1-3", "swap": 0}, "old": {"state": "absent", "cpu_set": "9", "swap": 0}})
    assert plan.make(wanted, replace(EMPTY, swap_limit=False)).errors == (
        "web: cpu_set 1-3 names processors that this node has not (2, 3); it has 2",
        "web: swap cannot be limited by this kernel; boot it with swapaccount=1, or delete swap:",
    )
    assert plan.make(fleet({"web": {"cpu_set": "0-1", "swap": 0}}), EMPTY).errors == ()


def test_a_held_restart_is_neither_done_nor_forgotten() -> None:
    world = node(one({"network": LAN}))
    wanted = one({"network": MAC, "ram": "1G"}, allow=())
    after = node(wanted, world)
    assert after.containers["web"].recorded["ram"] == 1024 * M
    assert after.containers["web"].recorded["network.eth0.mac"] == world.containers["web"].recorded["network.eth0.mac"]
    again = plan.make(wanted, after)
    assert [(step.action, step.held) for step in again.steps] == [("restart", "needs allow: restart")]
    assert again.doable == ()


def test_drift_that_needs_a_restart_is_held_too() -> None:
    world = drifted(node(one({"network": LAN})), "web", network__eth0__mac="02:ff:ff:ff:ff:ff")
    assert [step.held for step in plan.make(one({"network": LAN}, allow=()), world).steps] == ["needs allow: restart"]


def test_an_option_that_would_have_no_effect_is_refused() -> None:
    """And only where it is declared, in whatever words."""
    world = replace(EMPTY, cannot={"io_weight": "knows no weights; write bfq, or delete it"})
    refused = plan.make(fleet({"a": {"ioprio": 7}, "b": {}, "c": {"ioprio": 7, "state": "absent"}}), world)
    assert refused.errors == ("a: io_weight: knows no weights; write bfq, or delete it",)
