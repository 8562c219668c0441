# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How changes are told, and what a plan's fingerprint says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.steps import PHASES, Change, Plan, Step

from unit.module_utils.worlds import EMPTY, TEMPLATES, drifted, fleet, node, with_container


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (Change("ram", None, 1 << 30), None, "1G"),
        (Change("protect", True, None), "true", None),
        (Change("network.eth0.ip", [], ["10.0.0.1/24"]), "none", "10.0.0.1/24"),
        (Change("addresses", None, ["10.0.0.1/24", "::1/64"]), None, "10.0.0.1/24, ::1/64"),
        (Change("mtu", 1500, 1400), "1500", "1400"),
        (Change("version", None, "abc"), None, "abc"),
    ],
)
def test_changes_are_told_as_people_write_them(change: Change, before: str | None, after: str | None) -> None:
    assert change.public() == {"field": change.field, "before": before, "after": after}


def test_a_step_is_held_for_the_first_reason() -> None:
    step = Step("container", "web", "change", "change", "live", "declared")
    assert step.hold(None) is step
    held = step.hold("not now").hold("never", refused=True)
    assert (held.held, held.refused) == ("not now", False)
    assert Plan((held, step)).doable == (step,)
    assert Plan((held, step.hold("never", refused=True))).refusals == ["web: never"]


def test_phases_give_back_before_they_take() -> None:
    order = [PHASES.index(phase) for phase in ("template", "stop", "destroy", "shrink", "change", "replace", "create")]
    assert order == sorted(order)


WANTED = fleet({"web": {"ram": "512M", "template_policy": "rebuild"}, "db": {"start_order": 5}})
NODE = node(WANTED)
GROWN = fleet({"web": {"ram": "1G", "template_policy": "rebuild"}, "db": {"start_order": 5}})


def test_the_same_plan_has_the_same_fingerprint() -> None:
    backwards = replace(NODE, containers=dict(reversed(NODE.containers.items())))
    assert plan.make(GROWN, NODE).fingerprint() == plan.make(GROWN, backwards).fingerprint()
    assert plan.make(WANTED, NODE).fingerprint() == Plan().fingerprint()


def test_whatever_changes_a_plan_changes_its_fingerprint() -> None:
    other = {**TEMPLATES, "debian": {"build": {"suite": "forky"}}}
    bodies = {"web": {"ram": "1G", "template_policy": "rebuild"}, "db": {"start_order": 5}}
    plans = {
        "nothing to do": plan.make(WANTED, NODE),
        "declared": plan.make(GROWN, NODE),
        "another value": plan.make(fleet({**bodies, "web": {**bodies["web"], "ram": "2G"}}), NODE),
        "another value before": plan.make(GROWN, drifted(NODE, "web", ram=1 << 31)),
        "stopped meanwhile": plan.make(GROWN, with_container(NODE, "web", running=False)),
        "held back": plan.make(fleet(bodies, templates=other, allow=()), NODE),
        "not held back": plan.make(fleet(bodies, templates=other), NODE),
        "one more": plan.make(fleet({**bodies, "new": {}}), NODE),
        "the same made with other options": plan.make(fleet({**bodies, "new": {"stop_timeout": 1}}), NODE),
        "with another uid range": plan.make(fleet({**bodies, "new": {"id": 77}}), NODE),
        "from nothing": plan.make(WANTED, EMPTY),
    }
    assert len({made.fingerprint() for made in plans.values()}) == len(plans)
