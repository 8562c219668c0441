# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The change plan: desired and observed state in, ordered steps out. Pure: no I/O, no clock, no Ansible.

Three values meet for every option: what is declared now, what was declared when Carve last changed the container (its
record on the node), and what the kernel and the root filesystem show. What is declared now is compared with both; what
was declared and no longer is, is removed; what never was declared is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import model, plan_capabilities, plan_differences, plan_disk, plan_power
from .definitions import Template
from .desired import Desired
from .plan_addresses import conflicts
from .plan_differences import Difference
from .plan_ids import Ids
from .plan_moves import aside_steps, doubtful, how_it_moves, move
from .plan_networks import network_steps, rules_steps
from .plan_templates import builds_for
from .steps import PHASES, Change, ContainerSeen, NodeSeen, Plan, Step


def make(desired: Desired, node: NodeSeen) -> Plan:
    """All steps that make the node as desired, in the order in which they are carried out."""
    errors = [f"{lack}; run carve.vps.bootstrap on this node" for lack in node.lacks]
    concerned = {name: wanted for name, wanted in desired.containers.items() if desired.concerns(name)}
    errors += _capability_errors(concerned, node)
    notes: list[str] = []
    steps: list[Step] = []
    if node.runtime != node.own_runtime:
        steps.append(_runtime_step(node))
    steps += [*rules_steps(node), *_guarantee_steps(node)]
    if not node.lacks:
        ids = Ids(desired, node, notes, errors)
        for name, wanted in concerned.items():
            if name in node.containers or name not in {*desired.elsewhere, *node.aside}:
                made = _container_steps(name, wanted, desired, node, ids, notes, errors)
                steps += [doubtful(step, desired) for step in made]
        for name, seen in node.containers.items():
            if seen.fleet == desired.fleet and name not in desired.containers and desired.concerns(name):
                if name in desired.elsewhere:
                    steps.append(move(name, desired))
                    notes += how_it_moves(name, seen, node)
                elif desired.prune:
                    steps.append(doubtful(_destroy(name, seen, desired, node, "no longer declared"), desired))
        steps += aside_steps(desired, node)
    errors += conflicts(desired, node, steps)
    steps += network_steps(desired, node, steps, notes)
    steps += builds_for(desired, node, steps)
    steps.sort(key=lambda step: (PHASES.index(step.phase), step.order, step.kind, step.name))
    unmanaged = tuple(sorted(name for name, seen in node.containers.items() if seen.fleet != desired.fleet))
    return Plan(tuple(steps), tuple(notes), tuple(errors), unmanaged)


def _capability_errors(containers: Mapping[str, Mapping[str, Any]], node: NodeSeen) -> list[str]:
    errors = []
    for name, wanted in containers.items():
        if wanted["state"] == "absent":
            continue
        errors += [f"{name}: {reason}" for reason in node.lacks_for.get(name, ())]
        errors += plan_capabilities.errors(name, wanted, node.containers.get(name), node)
    return errors


def _runtime_step(node: NodeSeen) -> Step:
    change = Change("runtime", node.runtime, node.own_runtime)
    return Step("node", "runtime", "change", "node", "live", "programs that start containers", changes=(change,))


def _guarantee_steps(node: NodeSeen) -> list[Step]:
    """The kernel protects no container's memory further than that of the group of all of them."""
    if node.unshared is None:
        return []
    change = Change("ram_guarantee", *node.unshared)
    return [Step("node", "guarantees", "change", "node", "live", "changed on the node", "memory", (change,))]


def _container_steps(
    name: str,
    wanted: Mapping[str, Any],
    desired: Desired,
    node: NodeSeen,
    ids: Ids,
    notes: list[str],
    errors: list[str],
) -> list[Step]:
    seen = node.containers.get(name)
    if seen is not None and seen.fleet != desired.fleet:
        owner = f"belongs to fleet {seen.fleet!r}" if seen.fleet else "is not Carve's"
        errors.append(f"{name}: a container of this name is on the node and {owner}; give yours another name")
        return []
    if wanted["state"] == "absent":
        return [_destroy(name, seen, desired, node, "declared absent")] if seen else []
    strange = sorted(path for path in seen.recorded if not model.knows(path)) if seen else []
    if strange:
        errors.append(
            f"{name}: was last changed by a newer version of Carve, by options that this one does not know "
            f"({', '.join(strange)}); use that version, or a newer one"
        )
        return []
    if seen is None:
        slot = ids.take(name, wanted.get("id"))
        return [] if slot is None else _create(name, {**wanted, "id": slot}, desired)
    if wanted.get("id", seen.recorded["id"]) != seen.recorded["id"]:
        notes.append(f"{name} keeps uid range {seen.recorded['id']}; write id: {seen.recorded['id']} to say so")
    target = {**wanted, "id": seen.recorded["id"], "template": wanted.get("template", seen.recorded.get("template"))}
    return _reconcile(name, target, seen, desired, node, notes)


def _create(name: str, target: Mapping[str, Any], desired: Desired) -> list[Step]:
    changes = tuple(
        Change(path, None, target[path]) for path in plan_differences.ordered(target) if path not in ("state", "id")
    )
    made = {**target, "digest": desired.templates[target["template"]].digest}
    steps = [Step("container", name, "create", "create", "create", "declared", changes=changes, target=made)]
    if target["state"] == "running":
        steps.append(plan_power.step("start", name, Change("state", None, "running"), "declared running", made))
    return steps


def _destroy(name: str, seen: ContainerSeen, desired: Desired, node: NodeSeen, reason: str) -> Step:
    kept = len(node.snapshots.get(name, ()))
    if kept:
        reason = f"{reason}; with {kept} snapshot{'s' if kept > 1 else ''} of it"
    change = Change("state", seen.power, None)
    step = Step("container", name, "destroy", "destroy", "destroy", reason, changes=(change,), target=seen.recorded)
    if seen.recorded.get("protect"):
        return step.hold("is protected; apply protect: false first")
    return step.hold(_leave("destroy", desired))


def _leave(reach: str, desired: Desired) -> str | None:
    """Why a step of this reach is held back, or ``None`` when the operator allows it."""
    return None if reach not in model.ALLOWABLE or reach in desired.allow else f"needs allow: {reach}"


def _reconcile(
    name: str, target: Mapping[str, Any], seen: ContainerSeen, desired: Desired, node: NodeSeen, notes: list[str]
) -> list[Step]:
    """Steps for a container that exists."""
    template = desired.templates.get(target["template"]) if target["template"] else None
    made = {**target, "digest": seen.digest}
    rebuild = _rebuild(name, target, seen, template, desired, notes)
    steps = plan_power.steps(name, target, seen, made)
    why_not = plan_power.asleep(target, seen)
    others = _others(name, target, seen, desired, node, rebuild)
    return steps + [step.hold(why_not) for step in others]


def _others(
    name: str,
    target: Mapping[str, Any],
    seen: ContainerSeen,
    desired: Desired,
    node: NodeSeen,
    rebuild: Step | None,
) -> list[Step]:
    """Steps for all but its power."""
    steps: list[Step] = []
    made = {**target, "digest": seen.digest}
    stays_up = seen.power != "stopped" and target["state"] != "stopped"
    differences = plan_differences.find(target, seen)
    restart = [(c, r) for c, r in differences if stays_up and plan_differences.reach(c, differences) == "restart"]
    live = [(c, r) for c, r in differences if (c, r) not in restart]
    rebuilds = rebuild is not None and not rebuild.held
    starts_anew = rebuilds or (restart and _leave("restart", desired) is None)
    if starts_anew:
        restart, leaving = plan_differences.part(restart)
        live += leaving
    for step in _live_steps(name, live, seen, node, stays_up, made):
        # Memory is free when a container starts anew; its disk, when it gets a new root filesystem.
        if step.refused and (rebuilds if step.facet == "disk" else starts_anew):
            restart += [(change, step.reason) for change in step.changes]
        else:
            steps.append(step)
    if rebuild:
        # A rebuild starts the container anew, so what needed a restart comes with it.
        extra = tuple(c for c, _reason in restart) if rebuilds else ()
        steps.append(replace(rebuild, changes=rebuild.changes + extra))
    if seen.kept and not rebuilds:
        steps.append(_prove(name, seen, made))
    if restart and (rebuild is None or rebuild.held):
        reasons = sorted({reason for _change, reason in restart})
        step = Step(
            "container",
            name,
            "restart",
            "replace",
            "restart",
            "; ".join(reasons),
            changes=tuple(c for c, _reason in restart),
            target=made,
        )
        steps.append(step.hold(_leave("restart", desired)))
    return steps


def _prove(name: str, seen: ContainerSeen, target: Mapping[str, Any]) -> Step:
    """What a rebuild under a gate still owes when its run was killed: the gate, and an end of the old root filesystem.

    It comes late (``release``), for the gate is asked of a container that is as declared in all else.
    """
    template, digest = seen.kept or ("", "")
    reason = f"rebuilt from {template}@{digest}, and the gate not yet passed"
    return Step("container", name, "prove", "release", "live", reason, "rootfs", target=target)


def _rebuild(
    name: str,
    target: Mapping[str, Any],
    seen: ContainerSeen,
    template: Template | None,
    desired: Desired,
    notes: list[str],
) -> Step | None:
    """The step that gives a container the root filesystem that its template is now, where its policy asks for one."""
    if template is None:
        return None
    before, after = f"{seen.recorded.get('template')}@{seen.digest}", f"{template.name}@{template.digest}"
    if before == after or target["template_policy"] == "pin":
        return None
    if target["template_policy"] == "warn":
        notes.append(f"{name} was made from {before}; its template is now {after} (template_policy: warn)")
        return None
    step = Step(
        "container",
        name,
        "rebuild",
        "replace",
        "rebuild",
        "template has changed",
        changes=(Change("template", before, after),),
        target={**target, "digest": template.digest},
    )
    if seen.recorded.get("protect") or target["protect"]:
        return step.hold("is protected; apply protect: false first")
    return step.hold(_leave("rebuild", desired))


def _live_steps(
    name: str,
    differences: list[Difference],
    seen: ContainerSeen,
    node: NodeSeen,
    stays_up: bool,
    target: Mapping[str, Any],
) -> list[Step]:
    """One step for each facet and direction."""
    rooms: dict[tuple[str, str], list[Difference]] = {}
    for difference, reason in differences:
        facet = model.row(difference.field).facet
        for phase, change in plan_differences.in_order(difference):
            rooms.setdefault((phase, facet), []).append((change, reason))
    steps = []
    for (phase, facet), items in rooms.items():
        reasons = sorted({reason for _change, reason in items})
        changes = tuple(change for change, _reason in items)
        step = Step("container", name, "change", phase, "live", "; ".join(reasons), facet, changes, target=target)
        refusal = _too_little_ram(changes, seen.ram_in_use if stays_up else 0)
        steps.append(step.hold(refusal or plan_disk.refusal(changes, seen, node), refused=True))
    return steps


def _too_little_ram(changes: tuple[Change, ...], in_use: int) -> str | None:
    for change in changes:
        if change.field == "ram" and change.after is not None and change.after < in_use:
            return (
                f"refused: ram {model.show('ram', change.after)} is less than the "
                f"{in_use / (1 << 20):.1f}M in use; free memory in the container, or declare more"
            )
    return None
