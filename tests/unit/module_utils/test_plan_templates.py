# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When templates are built, in what order, when containers are made anew from them, and when versions are collected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan, plan_templates
from ansible_collections.carve.vps.plugins.module_utils.steps import Plan

from unit.module_utils.worlds import EMPTY, TEMPLATES, fleet, lines, node, one, with_container

CHANGED: dict[str, Any] = {**TEMPLATES, "debian": {"build": {"suite": "forky"}}}
DIGESTS = {name: template.digest for name, template in fleet({}).templates.items()}
NEW = {name: template.digest for name, template in fleet({}, templates=CHANGED).templates.items()}


def builds(made: Plan) -> list[tuple[str, str]]:
    return [(step.name, step.target["digest"]) for step in made.steps if step.kind == "template"]


def test_only_what_is_needed_is_built_and_parents_first() -> None:
    made = plan.make(fleet({"web": {"template": "web"}}), EMPTY)
    assert builds(made) == [("debian", DIGESTS["debian"]), ("web", DIGESTS["web"])]
    assert [step.order for step in made.steps][:2] == [0, 1]
    assert made.steps[1].target["definition"]["from"] == "debian"
    assert builds(plan.make(one({}), EMPTY)) == [("debian", DIGESTS["debian"])]
    assert builds(plan.make(fleet({}), EMPTY)) == []


def test_what_the_node_has_is_not_built_again() -> None:
    has_web = replace(EMPTY, templates={"web": frozenset({DIGESTS["web"]})})
    assert builds(plan.make(one({"template": "web"}), has_web)) == []
    has_debian = replace(EMPTY, templates={"debian": frozenset({DIGESTS["debian"]}), "web": frozenset({"older"})})
    assert builds(plan.make(one({"template": "web"}), has_debian)) == [("web", DIGESTS["web"])]


@pytest.mark.parametrize("allow", [[], ["rebuild"]])
def test_what_is_held_back_needs_no_template(allow: list[str]) -> None:
    world = node(one({"template_policy": "rebuild"}))
    made = plan.make(one({"template_policy": "rebuild"}, templates=CHANGED, allow=allow), world)
    assert builds(made) == [("debian", NEW["debian"])] * len(allow)


def test_a_changed_definition_replaces_no_container_by_itself() -> None:
    world = node(one({}))
    made = plan.make(one({}, templates=CHANGED), world)
    before, after = f"debian@{DIGESTS['debian']}", f"debian@{NEW['debian']}"
    assert made.steps == ()
    assert made.notes == (f"web was made from {before}; its template is now {after} (template_policy: warn)",)
    made = plan.make(one({"template_policy": "pin"}, templates=CHANGED), node(one({"template_policy": "pin"})))
    assert (made.steps, made.notes) == ((), ())


@pytest.mark.parametrize("running", [True, False])
def test_a_rebuild_where_the_policy_asks_for_one(running: bool) -> None:
    body = {"template_policy": "rebuild", "state": "keep"}
    world = with_container(node(one(body)), "web", running=running)
    wanted = one(body, templates=CHANGED)
    made = plan.make(wanted, world)
    assert lines(made)[1:] == [
        f"web rebuild: template debian@{DIGESTS['debian']} -> debian@{NEW['debian']} (template has changed)"
    ]
    assert made.steps[1].target["digest"] == NEW["debian"]
    after = node(wanted, world)
    assert (after.containers["web"].digest, after.containers["web"].running) == (NEW["debian"], running)
    assert plan.make(wanted, after).steps == ()


def test_another_template_is_a_rebuild_too() -> None:
    world = node(one({}))
    assert "template debian@" in plan.make(one({"template": "web"}), world).notes[0].replace("made from", "template")
    made = plan.make(one({"template": "web", "template_policy": "rebuild"}), world)
    assert [step.action for step in made.steps] == ["build", "change", "rebuild"]


def test_what_needs_a_restart_comes_with_an_allowed_rebuild() -> None:
    world = node(one({"template_policy": "rebuild", "network": {"eth0": {"on": "lan"}}}))
    body = {"template_policy": "rebuild", "network": {"eth0": {"on": "public", "ip": "203.0.113.9"}}}
    for allow in (["rebuild"], ["rebuild", "restart"]):
        made = plan.make(one(body, templates=CHANGED, allow=allow), world)
        assert [s.action for s in made.steps if s.kind == "container"] == ["rebuild"]
        fields = {change.field for step in made.steps if step.action == "rebuild" for change in step.changes}
        assert {"template", "network.eth0.mode"} <= fields
    made = plan.make(one(body, templates=CHANGED, allow=["restart"]), world)
    held = {step.action: step.held for step in made.steps if step.kind == "container"}
    assert held == {"rebuild": "needs allow: rebuild", "restart": None}


def test_the_template_module_builds_what_is_declared() -> None:
    made = plan_templates.make(fleet({}), EMPTY, collect=False)
    assert builds(made) == [("debian", DIGESTS["debian"]), ("web", DIGESTS["web"])]
    world = node(one({"template": "web"}))
    assert plan_templates.make(fleet({}), world, collect=True).steps == ()
    lacking = plan_templates.make(fleet({}), replace(EMPTY, lacks=("no LXC",)), collect=True)
    assert lacking.errors == ("no LXC; run carve.vps.bootstrap on this node",)


def test_only_versions_that_nobody_uses_are_collected() -> None:
    world = node(one({"template": "web"}))
    theirs = {**world.containers["web"].recorded, "template": "debian", "id": 99}
    world = with_container(world, "theirs", fleet="other", recorded=theirs, digest="theirs")
    found = {"debian": {DIGESTS["debian"], "old", "theirs"}, "web": {DIGESTS["web"]}, "gone": {"x"}}
    world = replace(world, templates={name: frozenset(digests) for name, digests in found.items()})
    made = plan_templates.make(fleet({}, templates=CHANGED), world, collect=True)
    collected = [(step.name, step.target["digest"]) for step in made.steps if step.action == "collect"]
    assert sorted(collected) == [("debian", DIGESTS["debian"]), ("debian", "old"), ("gone", "x")]
    assert made.steps[-1].phase == "release"


def test_nothing_is_collected_while_a_container_cannot_say_what_it_is_made_from() -> None:
    world = replace(with_container(EMPTY, "broken", fleet=None), templates={"debian": frozenset({"old"})})
    made = plan_templates.make(fleet({}), world, collect=True)
    assert [step.action for step in made.steps] == ["build", "build"]
    assert made.notes == ("no template is collected: broken cannot be read, and may be made from any of them",)


def test_a_version_that_a_snapshot_lies_on_is_kept() -> None:
    """Also one of a container that is not here any more."""
    world = replace(
        node(one({"template": "web"})),
        templates={"debian": frozenset({DIGESTS["debian"], "old", "older"})},
        snapshots={"web": (("debian", "old"),), "moved": (("debian", "older"),), "": ()},
    )
    made = plan_templates.make(fleet({}), world, collect=True)
    assert not [step for step in made.steps if step.action == "collect"]
    made = plan_templates.make(fleet({}), replace(world, snapshots={}), collect=True)
    assert [step.target["digest"] for step in made.steps if step.action == "collect"] == ["old", "older"]


@pytest.mark.parametrize(
    ("number", "words"), [(0, ""), (1, "; with 1 snapshot of it"), (3, "; with 3 snapshots of it")]
)
def test_a_plan_says_which_snapshots_go_with_a_container(number: int, words: str) -> None:
    world = replace(node(one({"protect": False})), snapshots={"web": (("debian", "old"),) * number})
    (step,) = (step for step in plan.make(fleet({}), world).steps if step.action == "destroy")
    assert step.reason == f"no longer declared{words}"
