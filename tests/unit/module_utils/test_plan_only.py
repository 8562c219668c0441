# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are limited to some containers, as the batches of a rollout are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import model, plan, plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.observe import Observation
from ansible_collections.carve.vps.plugins.module_utils.steps import NodeSeen, untouched
from ansible_collections.carve.vps.plugins.plugin_utils import batches
from hypothesis import event, given

from unit.module_utils.wilds import fleets, nodes
from unit.module_utils.worlds import EMPTY, NETWORKS, fleet, lines, node, one, with_container

LAN = {"network": {"eth0": {"on": "lan", "ip": "10.20.0.5"}}}
BACK = {"network": {"eth0": {"on": "back", "ip": "10.30.0.5"}}}


def limited(wanted: Desired, *names: str) -> Desired:
    return replace(wanted, only=frozenset(names))


def brief(wanted: Desired, world: NodeSeen) -> list[str]:
    made = plan.make(wanted, world)
    assert made.errors == ()
    return [f"{step.action} {step.name}" for step in made.steps]


def test_only_what_the_named_containers_need() -> None:
    wanted = fleet({"a": LAN, "b": {"template": "web", **BACK}, "c": {}})
    assert brief(limited(wanted, "b"), EMPTY) == [
        "create br-back", "build debian", "build web", "create b", "start b",
    ]  # fmt: skip
    assert brief(limited(wanted), EMPTY) == []
    world = node(limited(wanted, "b"))
    assert brief(limited(wanted, "a", "c"), world) == ["create br-lan", "create a", "create c", "start a", "start c"]


def test_nobody_else_is_pruned_or_changed() -> None:
    world = node(fleet({"a": {}, "b": {}, "old": {}, "older": {}}))
    wanted = fleet({"a": {"ram": "1G"}, "b": {"ram": "1G"}})
    assert brief(limited(wanted, "a"), world) == ["change a"]
    assert brief(limited(wanted, "old"), world) == ["destroy old"]
    assert brief(replace(limited(wanted, "old"), prune=False), world) == []


def test_what_is_wrong_with_others_is_not_this_runs_business() -> None:
    wanted = fleet({"a": {"cpu_set": "7"}, "b": {}})
    assert brief(limited(wanted, "b"), EMPTY) == ["build debian", "create b", "start b"]
    assert plan.make(limited(wanted, "a"), EMPTY).errors


def test_a_bridge_goes_when_nobody_is_left_who_is_or_should_be_on_it() -> None:
    world = node(fleet({"a": LAN, "b": {"network": {"eth0": {"on": "lan", "ip": "10.20.0.6"}}}}))
    wanted = fleet({"a": BACK, "b": {}}, networks={"back": NETWORKS["back"]})
    assert brief(limited(wanted, "a"), world) == ["create br-back", "change a", "restart a"]
    world = memory.carry_out(plan.make(limited(wanted, "a"), world), world, "acme")
    assert brief(limited(wanted, "b"), world)[-1] == "destroy br-lan"
    # One that is to come back to it keeps it.
    assert brief(limited(fleet({"a": BACK, "b": {}, "c": LAN}), "b"), world)[-1] == "restart b"


def test_what_every_container_needs_of_the_node_comes_with_the_first() -> None:
    world = replace(node(one(LAN)), runtime="r0", bridges={})
    assert brief(limited(one(LAN)), world) == ["change runtime", "create br-lan"]


def test_the_print_of_a_container_changes_with_it_alone() -> None:
    world = node(fleet({"a": {}, "b": {}}))
    wanted = fleet({"a": {"ram": "1G"}, "b": {"ram": "1G"}})
    whole = plan.make(wanted, world).fingerprints()
    assert set(whole) == {"a", "b"}
    assert plan.make(limited(wanted, "b"), world).fingerprints() == {"b": whole["b"]}
    other = plan.make(fleet({"a": {"ram": "1G"}, "b": {"ram": "2G"}}), world).fingerprints()
    assert (other["a"] == whole["a"], other["b"] == whole["b"]) == (True, False)


def test_what_is_on_trial_is_to_be_proven_unless_it_is_rebuilt() -> None:
    policy = {"template_policy": "rebuild"}
    world = with_container(node(one(policy)), "web", kept=("debian", "0ld"))
    assert lines(plan.make(one(policy), world)) == [
        "web prove rootfs:  (rebuilt from debian@0ld, and the gate not yet passed)"
    ]
    assert brief(one({**policy, "template": "web"}), world) == ["build web", "rebuild web"]
    world = replace(world, templates={"debian": world.templates["debian"] | {"0ld", "0lder"}})
    collected = plan_templates.make(one(policy), world, collect=True).steps
    assert [step.target["digest"] for step in collected if step.action == "collect"] == ["0lder"]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"port": 0}, "gate.port: 0 is out of range"),
        ({"init": ["starting"]}, "gate.init: 'starting' is not known here"),
        ({"command": "true"}, "gate.command: 'true' is no list of a program and its arguments"),
        ({"comand": ["true"]}, "gate.comand: unknown option; did you mean command?"),
    ],
)
def test_a_gate_that_cannot_be_meant(gate: dict[str, Any], message: str) -> None:
    result = reconcile.run({"fleet": "acme", "gate": gate}, check=True)
    assert result["failed"] and result["msg"].startswith(message)


def look(wanted: Desired, world: NodeSeen) -> dict[str, Any]:
    """What a node would report in check mode."""
    made = plan.make(wanted, world)
    return reconcile.report(wanted, made, untouched(made), [], {}, Observation(world, {}), False)


@given(fleets(allow=model.ALLOWABLE), nodes())
def test_batch_by_batch_comes_to_the_same_as_all_at_once(wanted: Desired, world: NodeSeen) -> None:
    whole = plan.make(wanted, world)
    if whole.errors:
        return
    rounds = batches.make({"n": look(wanted, world)}, batches.Policy(canary=1, batch=1))
    event(f"{len(rounds)} batches")
    prints = whole.fingerprints()
    for batch in rounds:
        part = limited(wanted, *batch.nodes["n"])
        made = plan.make(part, world)
        assert made.errors == ()
        # Exactly what was looked at.
        assert {name: prints[name] for name in batch.nodes["n"]} == made.fingerprints()
        world = memory.carry_out(made, world, wanted.fleet)
    guarded = {step.name for step in whole.steps if step.held and step.action == "rebuild"}
    left = plan.make(wanted, world)
    assert left.errors == ()
    assert [step for step in left.doable if step.kind != "template" and step.name not in guarded] == []
