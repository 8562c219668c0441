# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that is a dictionary: what would be observed after the steps of a plan, for tests and simulations only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .. import facets, model
from ..desired import address_key
from ..steps import BridgeSeen, Change, ContainerSeen, NodeSeen, Plan, Step

FILE_ROWS = frozenset(row for facet in facets.ALL for row in facet.file_rows)
LIVE_ROWS = frozenset(row for facet in facets.ALL for row in facet.live_rows)


def carry_out(plan: Plan, node: NodeSeen, fleet: str) -> NodeSeen:
    """The node after every step that is not held back."""
    containers, templates, bridges = dict(node.containers), dict(node.templates), dict(node.bridges)
    runtime, meddled, unshared = node.runtime, node.meddled, node.unshared
    for step in plan.doable:
        if step.kind == "node" and step.name == "rules":
            meddled = ()
        elif step.kind == "node" and step.name == "guarantees":
            unshared = None
        elif step.kind == "node":
            runtime = node.own_runtime
        elif step.kind == "template":
            _template(templates, step)
        elif step.kind == "network":
            _network(bridges, step, fleet)
        elif step.action == "destroy":
            del containers[step.name]
        elif step.action == "create":
            containers[step.name] = _made(step, fleet, False)
        elif step.action == "rebuild":
            containers[step.name] = _made(step, fleet, containers[step.name].running)
        else:
            containers[step.name] = _DEEDS[step.action](containers[step.name], step)
    known = replace(node, containers=containers, templates=templates, bridges=bridges)
    return replace(known, runtime=runtime, meddled=meddled, unshared=unshared)


def running(seen: ContainerSeen) -> ContainerSeen:
    """A container that has just started: the kernel shows what is recorded and nothing else."""
    found = {**seen.seen, **{path: value for path, value in seen.recorded.items() if model.row_name(path) in LIVE_ROWS}}
    return replace(seen, running=True, suspended=False, seen=found, looked=FILE_ROWS | LIVE_ROWS, ram_in_use=0)


def stopped(seen: ContainerSeen) -> ContainerSeen:
    found = {path: value for path, value in seen.seen.items() if path in FILE_ROWS}
    return replace(seen, running=False, suspended=False, seen=found, looked=FILE_ROWS, ram_in_use=0)


def _template(templates: dict[str, frozenset[str]], step: Step) -> None:
    digest = frozenset({step.target["digest"]})
    found = templates.get(step.name, frozenset())
    templates[step.name] = found | digest if step.action == "build" else found - digest


def _network(bridges: dict[str, BridgeSeen], step: Step, fleet: str) -> None:
    if step.action == "destroy":
        del bridges[step.name]
    else:
        wanted = step.target
        bridges[step.name] = BridgeSeen(fleet, tuple(wanted["addresses"]), wanted["mtu"], wanted["uplink"], wanted)


def _made(step: Step, fleet: str, running_before: bool) -> ContainerSeen:
    recorded = {path: value for path, value in step.target.items() if path != "digest"}
    seen = {path: value for path, value in recorded.items() if path in FILE_ROWS}
    made = ContainerSeen(fleet, recorded, step.target["digest"], seen=seen, looked=FILE_ROWS)
    return running(made) if running_before else made


def _start(seen: ContainerSeen, step: Step) -> ContainerSeen:
    return running(_keep(seen, {"state": "running"}))


def _stop(seen: ContainerSeen, step: Step) -> ContainerSeen:
    return stopped(_keep(seen, {"state": "stopped"}))


def _suspend(seen: ContainerSeen, step: Step) -> ContainerSeen:
    return replace(stopped(_keep(seen, {"state": "suspended"})), suspended=True)


def _prove(seen: ContainerSeen, step: Step) -> ContainerSeen:
    return replace(seen, kept=None)


def _restart(seen: ContainerSeen, step: Step) -> ContainerSeen:
    return running(stopped(_keep(seen, _after(step))))


def _change(seen: ContainerSeen, step: Step) -> ContainerSeen:
    found = dict(seen.seen)
    for change in step.changes:
        if model.row_name(change.field) in seen.looked:
            found[change.field] = _applied(change, seen)
    return replace(_keep(seen, _after(step)), seen=found)


def _applied(change: Change, seen: ContainerSeen) -> Any:
    if not model.row(change.field).owned:
        return change.after
    ours = seen.recorded.get(change.field) or ()
    others = [item for item in seen.seen.get(change.field) or () if item not in ours]
    return sorted({*others, *(change.after or ())}, key=address_key)


def _after(step: Step) -> dict[str, Any]:
    return {change.field: change.after for change in step.changes if change.field != "config"}


def _keep(seen: ContainerSeen, fields: Mapping[str, Any]) -> ContainerSeen:
    """The record after a step; the configuration is written with it."""
    recorded = {path: value for path, value in {**seen.recorded, **fields}.items() if value is not None}
    return replace(seen, recorded=recorded, config=None)


_DEEDS: Mapping[str, Callable[[ContainerSeen, Step], ContainerSeen]] = {
    "start": _start,
    "stop": _stop,
    "suspend": _suspend,
    "resume": _start,
    "restart": _restart,
    "change": _change,
    "prove": _prove,
}
