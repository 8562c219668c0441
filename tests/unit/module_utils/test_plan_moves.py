# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one node makes of containers that a move has set aside on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan, plan_moves
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired, build
from ansible_collections.carve.vps.plugins.module_utils.steps import ContainerSeen, NodeSeen, Step

ASIDE = ContainerSeen("acme", {"template": "debian", "id": 20, "state": "running"}, "d1", "d1-b1")


def desired(*names: str, **more: Any) -> Desired:
    templates = {"debian": {"build": {"suite": "trixie"}}}
    containers = {name: {"template": "debian"} for name in names}
    made, problems = build({"fleet": "acme", "containers": containers, "templates": templates, **more})
    assert problems == []
    return made


def steps(wanted: Desired, aside: Mapping[str, ContainerSeen], **node: Any) -> list[Step]:
    return [step for step in plan.make(wanted, NodeSeen(aside=aside, **node)).steps if step.kind == "container"]


def test_one_that_is_declared_here_comes_back_instead_of_being_made_anew() -> None:
    (step,) = steps(desired("web"), {"web": ASIDE})
    assert (step.action, step.held) == ("return", None)


def test_one_that_another_node_has_is_given_up() -> None:
    for names in (("web",), ()):
        (step,) = steps(desired(*names, elsewhere={"web": "node2"}), {"web": ASIDE})
        assert (step.action, step.held, step.reason) == ("discard", None, "has moved to node2")


def test_one_that_is_declared_elsewhere_waits_for_its_move() -> None:
    (step,) = steps(desired(), {"web": ASIDE})
    assert (step.action, step.held) == ("move", plan_moves.FINISH)


@pytest.mark.parametrize("other", [{"only": ["db"]}, {"fleet": "other"}])
def test_what_is_not_this_runs_business_is_left_alone(other: dict[str, Any]) -> None:
    assert steps(desired(**other), {"web": ASIDE}) == []


def test_nobody_gets_its_uid_range_and_it_does_not_come_back_in_doubt() -> None:
    found = steps(desired("db", containers={"db": {"template": "debian", "id": 20}}), {"web": ASIDE})
    assert [step.target["id"] != 20 for step in found if step.action == "create"] == [True]
    (step,) = steps(desired("web", hold={"web": "may be on node3"}), {"web": ASIDE})
    assert step.held == "may be on node3"


@pytest.mark.parametrize(
    ("seen", "last", "words"),
    [
        ({"running": False}, None, []),
        ({"running": True}, None, ["web moves by a restart: it is not declared live_migration: true"]),
        ({"running": True, "live": True, "unfit": ("a", "b")}, None, ["web moves by a restart: a; b"]),
        ({"running": True, "live": True}, (250 << 20, 4.56),
         ["web moves live; the last one from here, with 250M of memory, stood still for 4.6 s"]),
    ],
)  # fmt: skip
def test_a_plan_says_how_a_container_would_move(seen: dict[str, Any], last: Any, words: list[str]) -> None:
    found = replace(ASIDE, **seen)
    made = plan.make(desired(elsewhere={"web": "node2"}), NodeSeen(containers={"web": found}, last_live=last))
    assert list(made.notes) == words
