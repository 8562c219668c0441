# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that other nodes have: neither made twice nor destroyed."""

from __future__ import annotations

from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.steps import Plan

from unit.module_utils.worlds import EMPTY, fleet, lines, node

LAN = {"eth0": {"on": "lan", "ip": "10.20.0.5"}}


def made(containers: dict[str, Any], has: dict[str, Any] | None = None, **options: Any) -> Plan:
    return plan.make(fleet(containers, **options), node(fleet(has)) if has else EMPTY)


def test_what_is_elsewhere_is_not_made() -> None:
    assert lines(made({"web": {}}, elsewhere={"web": "node2"})) == []


def test_what_belongs_elsewhere_is_reported_and_kept() -> None:
    for prune in (True, False):
        found = made({}, {"web": {}}, elsewhere={"web": "node2"}, prune=prune)
        assert lines(found) == ["web move:  (belongs on node2) [carve.vps.migrate moves it]"]
        assert (found.doable, found.errors, found.refusals) == ((), (), [])


def test_what_is_here_after_all_is_reconciled() -> None:
    found = made({"web": {"ram": "2G"}}, {"web": {"ram": "1G"}}, elsewhere={"web": "node2"})
    assert lines(found) == ["web change memory: ram 1G -> 2G (declared)"]


def test_only_what_is_elsewhere_is_held() -> None:
    found = made({}, {"web": {}, "old": {}}, elsewhere={"web": "node2"})
    assert [(step.name, step.action, bool(step.held)) for step in found.steps] == [
        ("old", "destroy", False),
        ("web", "move", True),
    ]


def test_what_is_in_doubt_is_neither_made_nor_destroyed() -> None:
    found = made({"web": {}}, {"copy": {}}, hold={"web": "may be on node2", "copy": "is on node3, too"})
    held = {(step.name, step.action): step.held for step in found.steps}
    assert held == {
        ("copy", "destroy"): "is on node3, too",
        ("web", "create"): "may be on node2",
        ("web", "start"): "may be on node2",
    }
    # Nothing is built for what is not made.
    assert not [step for step in found.steps if step.kind == "template"]


def test_what_is_in_doubt_and_here_is_changed_as_ever() -> None:
    found = made({"web": {"ram": "2G"}}, {"web": {"ram": "1G"}}, hold={"web": "may be on node2"})
    assert lines(found) == ["web change memory: ram 1G -> 2G (declared)"]


def test_an_address_of_one_that_should_move_is_not_free() -> None:
    found = made({"new": {"network": LAN}}, {"web": {"network": LAN}}, elsewhere={"web": "node2"})
    assert found.errors == (
        "new: 10.20.0.5 is still an address of web, which belongs on node2; carve.vps.migrate moves it",
    )


def test_plans_that_differ_in_this_have_other_fingerprints() -> None:
    prints = {
        made({"web": {}}, **options).fingerprint()
        for options in ({}, {"elsewhere": {"web": "n2"}}, {"hold": {"web": "a"}}, {"hold": {"web": "b"}})
    }
    assert len(prints) == 4
