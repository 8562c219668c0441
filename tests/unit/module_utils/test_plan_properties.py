# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds of every plan, whatever is declared and whatever is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ansible_collections.carve.vps.plugins.module_utils import model, plan
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.steps import PHASES, NodeSeen, Step
from hypothesis import event, given, settings

from unit.module_utils import worlds
from unit.module_utils.wilds import crowded, fleets, nodes

ALL = model.ALLOWABLE
PROTECTED = "is protected; apply protect: false first"


def outcome(wanted: Desired, world: NodeSeen) -> NodeSeen:
    """The node after the run. With errors nothing is carried out."""
    made = plan.make(wanted, world)
    event("errors" if made.errors else f"{min(len(made.doable), 9)} steps")
    return world if made.errors else memory.carry_out(made, world, wanted.fleet)


@settings(max_examples=150)
@given(fleets(), nodes())
def test_one_run_does_all_that_it_may(wanted: Desired, world: NodeSeen) -> None:
    first = plan.make(wanted, world)
    second = plan.make(wanted, outcome(wanted, world))
    if first.errors:
        return
    assert second.errors == ()
    # A guard that is taken away by this run lets the next one rebuild.
    guarded = {step.name for step in first.steps if step.held == PROTECTED and step.action == "rebuild"}
    left = [step for step in second.doable if not (step.kind == "template" or step.name in guarded)]
    assert left == []
    if not any(step.held for step in first.steps):
        assert second.steps == ()


@given(fleets(allow=ALL), nodes())
def test_with_all_leave_only_guards_and_ram_in_use_hold_anything_back(wanted: Desired, world: NodeSeen) -> None:
    for step in plan.make(wanted, world).steps:
        assert step.held in (None, PROTECTED) or (step.refused and "in use" in str(step.held))


@given(fleets(), nodes())
def test_a_plan_follows_from_what_it_is_made_from(wanted: Desired, world: NodeSeen) -> None:
    first, again = plan.make(wanted, world), plan.make(wanted, world)
    assert first == again
    assert first.fingerprint() == again.fingerprint()
    # Nor does the order count in which things were found.
    backwards = replace(
        world,
        containers=dict(reversed(world.containers.items())),
        bridges=dict(reversed(world.bridges.items())),
        templates=dict(reversed(world.templates.items())),
    )
    assert plan.make(wanted, backwards).steps == first.steps


@given(fleets(), nodes())
def test_nothing_beyond_what_is_allowed(wanted: Desired, world: NodeSeen) -> None:
    made = plan.make(wanted, world)
    assert {step.reach for step in made.doable} <= {"live", "create", *wanted.allow}
    for step in made.doable:
        seen = world.containers.get(step.name)
        if step.kind == "container" and step.action in ("destroy", "rebuild"):
            assert seen is not None
            assert not seen.recorded.get("protect")


@given(fleets(), nodes())
def test_nothing_without_the_fleets_mark_is_touched(wanted: Desired, world: NodeSeen) -> None:
    after = outcome(wanted, world)
    foreign = {name: seen for name, seen in world.containers.items() if seen.fleet != "acme"}
    assert {name: after.containers.get(name) for name in foreign} == foreign
    bridges = {name: seen for name, seen in world.bridges.items() if seen.fleet != "acme"}
    assert {name: after.bridges.get(name) for name in bridges} == bridges
    made = plan.make(wanted, world)
    assert set(made.unmanaged) == set(foreign)
    assert not {step.name for step in made.steps if step.kind == "container"} & set(foreign)


@given(fleets(), nodes())
def test_a_container_goes_down_once_at_most(wanted: Desired, world: NodeSeen) -> None:
    down = ("stop", "restart", "rebuild", "destroy")
    made = plan.make(wanted, world)
    restarts = Counter(step.name for step in made.steps if step.action == "restart")
    assert all(count == 1 for count in restarts.values())
    downs = Counter(
        step.name
        for step in made.doable
        if step.kind == "container" and step.action in down and world.containers[step.name].running
    )
    stops = {step.name for step in made.doable if step.action == "stop"}
    assert all(count == 1 or name in stops for name, count in downs.items())


def _grows(step: Step) -> bool:
    """Whether a step takes a share of the node."""
    if step.kind != "container":
        return False
    return step.action in ("create", "start") or (
        step.action == "change" and any(_direction(c.field, c.before, c.after) > 0 for c in step.changes)
    )


def _direction(path: str, before: object, after: object) -> int:
    if path not in ("ram", "swap", "cpus", "processes") or before == after:
        return 0
    return 1 if after is None or (before is not None and after > before) else -1  # type: ignore[operator]


@given(fleets(), nodes())
def test_shares_are_given_back_before_any_are_taken(wanted: Desired, world: NodeSeen) -> None:
    steps = plan.make(wanted, world).steps
    assert [PHASES.index(step.phase) for step in steps] == sorted(PHASES.index(step.phase) for step in steps)
    growing = [at for at, step in enumerate(steps) if _grows(step)]
    giving = [
        at
        for at, step in enumerate(steps)
        if (step.action in ("stop", "destroy") and step.kind == "container")
        or (step.action == "change" and any(_direction(c.field, c.before, c.after) < 0 for c in step.changes))
    ]  # fmt: skip
    assert not growing or not giving or max(giving) < min(growing)


@given(fleets(), nodes())
def test_only_what_is_or_was_declared_is_ever_changed(wanted: Desired, world: NodeSeen) -> None:
    for step in plan.make(wanted, world).steps:
        if step.kind == "container" and step.name in wanted.containers:
            recorded = world.containers[step.name].recorded if step.name in world.containers else {}
            known = {*wanted.containers[step.name], *recorded, "config", "state"}
            assert {change.field for change in step.changes} <= known
            assert all(change.before != change.after for change in step.changes)


@given(fleets(), nodes())
def test_every_container_has_a_range_of_its_own(wanted: Desired, world: NodeSeen) -> None:
    after = outcome(wanted, world).containers
    ids = Counter(seen.recorded["id"] for seen in after.values() if "id" in seen.recorded)
    assert all(count == 1 for count in ids.values())
    kept = [name for name, seen in world.containers.items() if seen.fleet and name in after]
    assert all(after[name].recorded["id"] == world.containers[name].recorded["id"] for name in kept)


@settings(max_examples=200)
@given(crowded(), crowded())
def test_no_address_is_on_two_containers_at_any_moment(past: Desired, wanted: Desired) -> None:
    world = outcome(past, worlds.EMPTY)
    made = plan.make(wanted, world)
    if made.errors:
        return
    for step in made.doable:
        world = memory.carry_out(replace(made, steps=(step,)), world, wanted.fleet)
        holders: dict[str, set[str]] = {}
        for name, seen in world.containers.items():
            for address in seen.recorded.get("network.eth0.ip", ()):
                holders.setdefault(address.partition("/")[0], set()).add(name)
        assert all(len(names) == 1 for names in holders.values()), step


def test_a_thousand_containers() -> None:
    network = {"big": {"mode": "routed", "subnet": "10.64.0.0/16"}}
    cards = [{"eth0": {"on": "big", "ip": f"10.64.{n // 250}.{n % 250 + 1}"}} for n in range(1000)]
    small = worlds.fleet({f"c{n}": {"ram": "1G", "network": card} for n, card in enumerate(cards)}, networks=network)
    large = worlds.fleet({f"c{n}": {"ram": "2G", "network": card} for n, card in enumerate(cards)}, networks=network)
    made = plan.make(small, worlds.EMPTY)
    assert Counter(step.action for step in made.steps) == {"build": 1, "create": 1000, "start": 1000}
    world = memory.carry_out(made, worlds.EMPTY, "acme")
    assert plan.make(small, world).steps == ()
    grown = plan.make(large, world)
    assert Counter((step.action, step.facet) for step in grown.steps) == {("change", "memory"): 1000}
    assert plan.make(large, memory.carry_out(grown, world, "acme")).steps == ()
