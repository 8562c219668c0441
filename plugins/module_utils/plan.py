# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The change plan: desired and observed state in, ordered steps out. Pure: no I/O, no clock, no Ansible.

Three values meet for every option: what is declared now, what was declared when Carve last changed the container (its
record on the node), and what the kernel and the root filesystem show. What is declared now is compared with both; what
was declared and no longer is, is removed; what never was declared is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from . import model, plan_disk, plan_power, slots
from .definitions import Template
from .desired import Desired
from .plan_addresses import conflicts
from .plan_moves import aside_steps, doubtful, how_it_moves, move
from .plan_networks import network_steps, rules_steps
from .plan_templates import builds_for
from .steps import PHASES, Change, ContainerSeen, NodeSeen, Plan, Step

# Options that say nothing about how a container is, only what may be done with it and what was done.
_NOT_COMPARED = ("id", "template", "state")


def make(desired: Desired, node: NodeSeen) -> Plan:
    """All steps that make the node as desired, in the order in which they are carried out."""
    errors = [f"{lack}; run carve.vps.bootstrap on this node" for lack in node.lacks]
    concerned = {name: wanted for name, wanted in desired.containers.items() if desired.concerns(name)}
    errors += _capability_errors(concerned, node)
    notes: list[str] = []
    steps: list[Step] = []
    if node.runtime != node.own_runtime:
        steps.append(_runtime_step(node))
    steps += rules_steps(node)
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
        errors += [f"{name}: {path}: {why}" for path in wanted if (why := _why_not(path, wanted, node))]
        if wanted.get("cpu_set"):
            missing = sorted(_numbers(wanted["cpu_set"]) - node.online)
            if missing:
                errors.append(
                    f"{name}: cpu_set {wanted['cpu_set']} names processors that this node has not "
                    f"({', '.join(map(str, missing))}); it has {node.cpus}"
                )
        if wanted.get("swap") is not None and wanted.get("ram") is None and not node.swap_alone:
            errors.append(f"{name}: swap needs ram: beside it on a node with version 1 of control groups; write both")
        if wanted.get("swap") is not None and not node.swap_limit:
            errors.append(f"{name}: swap cannot be limited by this kernel; boot it with swapaccount=1, or delete swap:")
        errors += plan_disk.errors(name, wanted, node.containers.get(name), node)
    return errors


def _why_not(path: str, wanted: Mapping[str, Any], node: NodeSeen) -> str | None:
    return None if wanted[path] is None else node.cannot.get(_row(path))


def _numbers(cpu_set: str) -> set[int]:
    result: set[int] = set()
    for part in cpu_set.split(","):
        first, _sep, last = part.partition("-")
        result.update(range(int(first), int(last or first) + 1))
    return result


def _runtime_step(node: NodeSeen) -> Step:
    change = Change("runtime", node.runtime, node.own_runtime)
    return Step("node", "runtime", "change", "node", "live", "programs that start containers", changes=(change,))


class Ids:
    """Hands out uid ranges to containers that are to be created."""

    def __init__(self, desired: Desired, node: NodeSeen, notes: list[str], errors: list[str]) -> None:
        self._desired, self._node, self._notes, self._errors = desired, node, notes, errors
        self._taken = {
            seen.recorded["id"]: name
            for name, seen in {**node.aside, **node.containers}.items()
            if "id" in seen.recorded
        }

    def take(self, name: str, wanted: int | None) -> int | None:
        first = wanted if wanted is not None else next(slots.candidates(self._desired.fleet, name))
        for slot in chain((first,), slots.candidates(self._desired.fleet, name)):
            if slot in self._taken or slots.overlaps(slot, self._node.foreign_ids):
                continue
            if self._node.own_ids and not self._covered(slot):
                continue
            if slot != first:
                holder = self._taken.get(first, "another user of /etc/subuid")
                self._notes.append(f"{name} gets uid range {slot}: range {first} belongs to {holder} on this node")
            self._taken[slot] = name
            return slot
        self._errors.append(f"{name}: no uid range is left on this node; extend root's line in /etc/subuid")
        return None

    def _covered(self, slot: int) -> bool:
        first = slots.base_id(slot)
        return any(start <= first and first + slots.RANGE <= start + n for start, n in self._node.own_ids)


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
    changes = tuple(Change(path, None, target[path]) for path in _order(target) if path not in ("state", "id"))
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
    differences = _differences(target, seen)
    restart = [(c, r) for c, r in differences if stays_up and _reach(c, differences) == "restart"]
    live = [(c, r) for c, r in differences if (c, r) not in restart]
    rebuilds = rebuild is not None and not rebuild.held
    starts_anew = rebuilds or (restart and _leave("restart", desired) is None)
    if starts_anew:
        restart, leaving = _apart(restart)
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


def _differences(target: Mapping[str, Any], seen: ContainerSeen) -> list[tuple[Change, str]]:
    result: list[tuple[Change, str]] = []
    for path in _order({**seen.recorded, **target}):
        if path in _NOT_COMPARED:
            continue
        field = model.row(path)
        after, recorded = target.get(path), seen.recorded.get(path)
        found = recorded
        if _looked(path, seen):
            found = seen.seen.get(path)
            if field.owned:
                found = _owned(found, [*(after or []), *(recorded or [])])
        if found != after:
            reason = "declared" if recorded != after else "changed on the node"
            result.append((Change(path, found, after), reason))
        elif recorded != after:
            result.append((Change(path, recorded, after), "declared"))
    if seen.config is not None:
        before, after = ("\n".join(lines) or None for lines in seen.config)
        result.append((Change("config", before, after), "changed on the node"))
    return result


def _looked(path: str, seen: ContainerSeen) -> bool:
    """Whether the node was asked about this option (of an interface: about the option of any interface)."""
    return _row(path) in seen.looked


def _row(path: str) -> str:
    """The row of a path: of an interface, the option of any."""
    parts = path.split(".")
    return f"{parts[0]}.{parts[-1]}" if len(parts) == 3 else path


def _owned(found: Iterable[str] | None, ours: Iterable[str]) -> list[str] | None:
    """Of what was found, the members that were ever declared; the others belong to the container."""
    return None if found is None else [item for item in found if item in set(ours)]


def _reach(change: Change, differences: list[tuple[Change, str]]) -> str:
    """An interface is changed as a whole: where one of its options needs a restart, the others wait for it."""
    if change.field.startswith("network."):
        interface = change.field.rsplit(".", 1)[0] + "."
        together = [c.field for c, _reason in differences if c.field.startswith(interface)]
        return max((model.row(path).reach for path in together), key=model.REACHES.index)
    field = model.row(change.field)
    coming_or_going = set(change.before or ()) ^ set(change.after or ()) if field.anew else ()
    return "restart" if any(member in field.anew for member in coming_or_going) else field.reach


def _live_steps(
    name: str,
    differences: list[tuple[Change, str]],
    seen: ContainerSeen,
    node: NodeSeen,
    stays_up: bool,
    target: Mapping[str, Any],
) -> list[Step]:
    """One step for each facet and direction."""
    rooms: dict[tuple[str, str], list[tuple[Change, str]]] = {}
    for difference, reason in differences:
        facet = model.row(difference.field).facet
        for phase, change in _in_order(difference):
            rooms.setdefault((phase, facet), []).append((change, reason))
    steps = []
    for (phase, facet), items in rooms.items():
        reasons = sorted({reason for _change, reason in items})
        changes = tuple(change for change, _reason in items)
        step = Step("container", name, "change", phase, "live", "; ".join(reasons), facet, changes, target=target)
        refusal = _too_little_ram(changes, seen.ram_in_use if stays_up else 0)
        steps.append(step.hold(refusal or plan_disk.refusal(changes, seen, node), refused=True))
    return steps


def _in_order(change: Change) -> list[tuple[str, Change]]:
    """A change by phase: what is given back is given back before anybody takes it, addresses among the rest."""
    field = model.row(change.field)
    if field.capacity:
        return [("shrink" if _smaller(change) else "change", change)]
    if change.field.endswith(".ip") and change.before:
        kept = [item for item in change.before if item in (change.after or [])]
        if len(kept) < len(change.before):
            shrunk = Change(change.field, change.before, kept if change.after is not None else None)
            grown = Change(change.field, kept, change.after)
            return [("shrink", shrunk)] + ([("change", grown)] if grown.after not in (None, kept) else [])
    return [("change", change)]


def _apart(differences: list[tuple[Change, str]]) -> tuple[list[tuple[Change, str]], list[tuple[Change, str]]]:
    """Of changes that come with a restart, the addresses that leave: apart, for others may take them first."""
    rest: list[tuple[Change, str]] = []
    leaving: list[tuple[Change, str]] = []
    for difference, reason in differences:
        for phase, change in _in_order(difference):
            (leaving if phase == "shrink" else rest).append((change, reason))
    return rest, leaving


def _smaller(change: Change) -> bool:
    return change.after is not None and (change.before is None or change.after < change.before)


def _too_little_ram(changes: tuple[Change, ...], in_use: int) -> str | None:
    for change in changes:
        if change.field == "ram" and change.after is not None and change.after < in_use:
            return (
                f"refused: ram {model.show('ram', change.after)} is less than the "
                f"{in_use / (1 << 20):.1f}M in use; free memory in the container, or declare more"
            )
    return None


def _order(flat: Iterable[str]) -> list[str]:
    """Paths in the field table's order, interfaces by name."""
    ranks = {field.name: rank for rank, field in enumerate(model.CONTAINER)}
    inner = {field.name: rank for rank, field in enumerate(model.RESOLVED_INTERFACE)}

    def key(path: str) -> tuple[int, str, int]:
        parts = path.split(".")
        return (ranks[parts[0]], parts[1], inner[parts[2]]) if len(parts) == 3 else (ranks.get(path, 999), path, 0)

    return sorted(set(flat), key=key)
