# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a plan is carried out: in order, side by side, and around what fails."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.builder import BuildError
from ansible_collections.carve.vps.plugins.module_utils.carry import Account
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.engines.lxc import EngineError
from ansible_collections.carve.vps.plugins.module_utils.hands import Hands, Verdict
from ansible_collections.carve.vps.plugins.module_utils.steps import NodeSeen, Step

from unit.module_utils.worlds import EMPTY, NETWORKS, fleet, node, one

LAN = {"network": {"eth0": {"on": "lan", "ip": "10.20.0.5"}}}
BACK = {"network": {"eth0": {"on": "back", "ip": "10.30.0.5"}}}


class Fake:
    """Hands that remember what they did, and that fail at what they are told to."""

    def __init__(self, *fails: str, error: Exception | None = None, unsettled: bool = False) -> None:
        self.fails, self.error, self.unsettled = fails, error or OSError("no"), unsettled
        self.verdicts: dict[str, Verdict] = {}
        self.done: list[str] = []
        self.guard = threading.Lock()

    def do(self, step: Step) -> None:
        label = f"{step.name} {step.action}"
        with self.guard:
            self.done.append(label)
        if label in self.fails:
            raise self.error

    def words(self, error: Exception, _step: Step | None = None) -> str:
        return str(error)

    def settle(self) -> None:
        with self.guard:
            self.done.append("-")
        if self.unsettled:
            raise OSError("disk is full")

    def gate(self, touched: list[str], failed: set[str]) -> dict[str, Verdict]:
        return {name: self.verdicts.get(name, Verdict(None)) for name in {*self.verdicts, *failed}}

    def pause_after(self, steps: list[Step]) -> None:
        pass


def carried(wanted: Desired, world: NodeSeen, hands: Fake) -> tuple[dict[str, str], list[str]]:
    """The status of each step by its label, and the errors."""
    made = plan.make(wanted, world)
    account = Account(made)
    account.carry_out(cast(Hands, hands))
    labels = [f"{step.name} {step.action}" for step in made.steps]
    return dict(zip(labels, account.statuses, strict=True)), account.errors


def test_each_phase_is_on_disk_before_the_next_begins() -> None:
    hands = Fake()
    statuses, errors = carried(
        fleet({"a": {"start_order": 2}, "b": {"start_order": 1, "template": "web"}}), EMPTY, hands
    )
    assert set(statuses.values()) == {"done"}
    assert errors == []
    # Those of one phase are created side by side, in either order.
    assert [*hands.done[:4], *sorted(hands.done[4:6]), *hands.done[6:]] == [
        "debian build", "-", "web build", "-", "a create", "b create", "-", "b start", "-", "a start", "-",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [OSError("no"), EngineError("no"), BuildError("no")])
def test_one_failure_stops_what_depends_on_it_and_only_that(error: Exception) -> None:
    hands = Fake("web build", error=error)
    statuses, errors = carried(fleet({"a": {}, "b": {"template": "web"}}), EMPTY, hands)
    assert statuses == {
        "debian build": "done",
        "web build": "failed",
        "a create": "done",
        "b create": "not tried",
        "a start": "done",
        "b start": "not tried",
    }
    assert errors == ["template web: build: no"]
    assert "b create" not in hands.done


@pytest.mark.parametrize(
    ("fails", "not_tried"),
    [
        ("debian build", {"web build", "web create", "web start"}),
        ("br-lan create", {"web create", "web start"}),
        ("web create", {"web start"}),
        ("runtime change", {"debian build", "web build", "br-lan create", "web create", "web start"}),
    ],
)
def test_who_needs_what(fails: str, not_tried: set[str]) -> None:
    world = NodeSeen(**{**vars(EMPTY), "runtime": None})
    statuses, _errors = carried(one({"template": "web", **LAN}), world, Fake(fails))
    assert {label for label, status in statuses.items() if status == "not tried"} == not_tried
    assert statuses[fails] == "failed"


@pytest.mark.parametrize(
    "wanted", [fleet({}, networks={}), one(BACK, networks={"back": NETWORKS["back"]})], ids=["destroyed", "moved"]
)
def test_a_bridge_stays_where_its_container_could_not_leave(wanted: Desired) -> None:
    hands = Fake("web destroy", "web restart")
    statuses, _errors = carried(wanted, node(one(LAN)), hands)
    assert statuses["br-lan destroy"] == "not tried"


def test_steps_that_are_held_back_are_not_done() -> None:
    hands = Fake()
    statuses, _errors = carried(fleet({}, allow=()), node(one({})), hands)
    assert statuses == {"web destroy": "held"}
    assert hands.done == []


def test_what_cannot_be_recorded_has_failed() -> None:
    statuses, errors = carried(one({"cpus": 1}), node(one({})), Fake(unsettled=True))
    assert statuses == {"web change": "failed"}
    assert errors == ["what was done cannot be recorded: disk is full"]


def test_progress_is_told() -> None:
    told: list[Any] = []
    account = Account(plan.make(one({"state": "stopped"}, networks=NETWORKS), EMPTY))
    account.carry_out(
        cast(Hands, Fake("web create")), lambda step, status: told.append((step.name, step.action, status))
    )
    assert told == [
        ("debian", "build", "planned"),
        ("debian", "build", "done"),
        ("web", "create", "planned"),
        ("web", "create", "failed"),
    ]
