# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges: made where a container uses one, changed, kept as long as anybody needs them, never taken from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.steps import BridgeSeen, NodeSeen, Plan

from unit.module_utils.worlds import EMPTY, NETWORKS, fleet, lines, node, one, with_container

LAN = {"network": {"eth0": {"on": "lan", "ip": "10.20.0.5"}}}
BACK = {"network": {"eth0": {"on": "back", "ip": "10.30.0.5", "mac": "02:00:00:00:00:01"}}}
NO_LAN = {name: body for name, body in NETWORKS.items() if name != "lan"}
ROUTED = {"network": {"eth0": {"on": "public", "ip": "203.0.113.5"}}}


def network(made: Plan) -> list[str]:
    return [line for line, step in zip(lines(made), made.steps, strict=True) if step.kind == "network"]


def with_bridge(world: NodeSeen, name: str, **facts: Any) -> NodeSeen:
    seen = world.bridges.get(name, BridgeSeen(fleet=None))
    return replace(world, bridges={**world.bridges, name: replace(seen, **facts)})


def with_lan(**options: Any) -> dict[str, Any]:
    return {**NETWORKS, "lan": {**NETWORKS["lan"], **options}}


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        (LAN, ["br-lan create network: addresses - -> 10.20.0.1/24, mtu - -> 1500 (declared)"]),
        (BACK, ["br-back create network: mtu - -> 1400 (declared)"]),
        (ROUTED, []),
        ({}, []),
        ({**LAN, "state": "absent"}, []),
    ],
)
def test_a_bridge_is_made_where_a_container_uses_one(body: dict[str, Any], steps: list[str]) -> None:
    made = plan.make(one(body), EMPTY)
    assert network(made) == steps
    assert all(step.phase == "network" and step.reach == "create" for step in made.steps if step.kind == "network")


def test_a_bridge_that_went_with_the_nodes_power_is_made_again() -> None:
    world = with_bridge(node(one(LAN)), "br-lan", exists=False)
    assert network(plan.make(one(LAN), world)) == [
        "br-lan create network: addresses - -> 10.20.0.1/24, mtu - -> 1500 (gone from the node)"
    ]


@pytest.mark.parametrize(
    ("options", "step"),
    [
        ({"gateway": "10.20.0.2"}, "addresses 10.20.0.1/24 -> 10.20.0.2/24"),
        ({"gateway": None}, "addresses 10.20.0.1/24 -> -"),
        ({"mtu": 1400}, "mtu 1500 -> 1400"),
        ({"uplink": "eth1"}, "addresses 10.20.0.1/24 -> -, uplink - -> eth1"),
        (
            {"subnet": ["10.20.0.0/24", "fd00:20::/64"], "gateway": ["10.20.0.1", "fd00:20::1"]},
            "addresses 10.20.0.1/24 -> 10.20.0.1/24, fd00:20::1/64",
        ),
    ],
)
def test_a_bridge_changes_live(options: dict[str, Any], step: str) -> None:
    world = node(one(LAN))
    wanted = one(LAN, networks=with_lan(**options))
    made = plan.make(wanted, world)
    assert network(made) == [f"br-lan change network: {step} (declared)"]
    assert {s.reach for s in made.steps if s.kind == "network"} == {"live"}
    assert plan.make(wanted, node(wanted, world)).steps == ()


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({"addresses": ()}, "addresses - -> 10.20.0.1/24 (changed on the node)"),
        ({"mtu": 9000}, "mtu 9000 -> 1500 (changed on the node)"),
        ({"uplink": "eth1"}, "uplink eth1 -> - (changed on the node)"),
        ({"recorded": None}, "addresses - -> 10.20.0.1/24, mtu - -> 1500 (declared)"),
    ],
)
def test_a_bridge_that_was_changed_by_hand(facts: dict[str, Any], step: str) -> None:
    assert network(plan.make(one(LAN), with_bridge(node(one(LAN)), "br-lan", **facts))) == [
        f"br-lan change network: {step}"
    ]


@pytest.mark.parametrize("mark", [None, "other"])
def test_a_bridge_of_others_is_used_as_it_is(mark: str | None) -> None:
    world = with_bridge(EMPTY, "br-lan", fleet=mark, mtu=9000, addresses=("192.0.2.1/24",))
    made = plan.make(one(LAN), world)
    assert network(made) == []
    assert made.notes == ("bridge br-lan exists and is not of fleet 'acme'; it is used as it is",)
    assert network(plan.make(fleet({}), world)) == []


def test_a_bridge_goes_with_its_network_where_that_is_allowed() -> None:
    world = node(one(LAN))
    gone = "br-lan destroy:  (no longer declared)"
    assert network(plan.make(fleet({}, networks={}), world)) == [gone]
    assert network(plan.make(fleet({}, networks={}, prune=False), world)) == []
    # Without leave the container stays, and so its bridge is in use.
    assert network(plan.make(fleet({}, networks={}, allow=()), world)) == []
    empty = replace(world, containers={})
    assert network(plan.make(fleet({}, networks={}, allow=()), empty)) == [f"{gone} [needs allow: destroy]"]
    # As long as the network is declared, the next container may be about to come.
    assert network(plan.make(fleet({}), empty)) == []
    made = plan.make(fleet({}, networks={}), world)
    assert [step.phase for step in made.steps] == ["destroy", "release"]


def test_a_bridge_stays_while_a_container_that_stays_uses_it() -> None:
    assert network(plan.make(fleet({}, networks={}), node(one({**LAN, "protect": True})))) == []
    assert network(plan.make(one(BACK, allow=["destroy"], networks=NO_LAN), node(one(LAN)))) == [
        "br-back create network: mtu - -> 1400 (declared)"
    ]
    theirs = {"id": 99, "network.eth0.bridge": "br-lan"}
    world = with_container(node(one(LAN)), "theirs", fleet="other", recorded=theirs)
    assert network(plan.make(fleet({}, networks={}), world)) == []


def test_a_bridge_goes_when_its_containers_have_moved_off_it() -> None:
    moved = one(BACK, networks=NO_LAN)
    after = [line.split(":")[0] for line in network(plan.make(moved, node(one(LAN))))]
    assert after == ["br-back create network", "br-lan destroy"]
    assert plan.make(moved, node(moved, node(one(LAN)))).steps == ()


def test_a_step_held_for_another_reason_does_not_keep_a_bridge() -> None:
    before = {**LAN, "protect": True, "template_policy": "rebuild"}
    wanted = one({**BACK, "protect": True, "template_policy": "rebuild", "template": "web"}, networks=NO_LAN)
    made = plan.make(wanted, node(one(before)))
    steps = [(step.name, step.action, bool(step.held)) for step in made.steps]
    assert steps[-3:] == [("web", "rebuild", True), ("web", "restart", False), ("br-lan", "destroy", False)]


def test_an_address_declared_twice_is_refused() -> None:
    body = {"network": {"eth0": {"on": "lan", "ip": "10.20.0.9"}}}
    made = plan.make(fleet({"one": body, "two": body}), NodeSeen())
    assert made.errors == ("two: 10.20.0.9 is declared for one, too; declare another one",)
