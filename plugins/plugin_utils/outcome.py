# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the results of a run amount to: steps by object, counts, and the summary for machines. Pure.

A result is what ``carve.vps.node`` returned for one node, or ``{"unreachable": ...}`` for one that did not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT_VERSION = "1.0"
Step = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Any]]

# What an object's steps amount to is its strongest action.
STRENGTH = (
    "destroy", "move", "rebuild", "create", "restart", "return", "stop", "suspend", "start", "resume",
    "change", "prove", "build", "discard",
    "collect",
)  # fmt: skip
# Starting and stopping, and the like, is a change of the option ``state``, and counted as one.
COUNTED_AS = {"stop": "change", "start": "change", "suspend": "change", "resume": "change"}
_KEPT = ("steps", "unmanaged", "notes", "fingerprint", "timings", "reasons")
_KINDS = ("node", "network", "template", "container")


@dataclass(frozen=True)
class Item:
    """One object of a node with all of its steps, in the order of the plan."""

    kind: str
    name: str
    steps: tuple[Step, ...]

    @property
    def action(self) -> str:
        return strongest(self.steps)


def strongest(steps: Iterable[Step]) -> str:
    return min((str(step["action"]) for step in steps), key=_strength)


def _strength(action: str) -> int:
    return STRENGTH.index(action) if action in STRENGTH else STRENGTH.index("change")


def items(steps: Sequence[Step]) -> list[Item]:
    """Steps by object: the node first, containers last, names as people sort them (web-2 before web-10)."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        found.setdefault((str(step["kind"]), str(step["name"])), []).append(step)
    listed = [Item(kind, name, tuple(group)) for (kind, name), group in found.items()]
    return sorted(listed, key=lambda item: (_rank(item.kind), natural(item.name)))


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def status(step: Step, verb: str) -> str:
    """``planned``, ``done``, ``failed``, ``rolled back``, ``held`` or, where a run ended before its turn came,
    ``not tried``."""
    found = str(step.get("status") or ("held" if step.get("held") else "planned"))
    return "not tried" if verb == "apply" and found == "planned" else found


def counts(results: Results, verb: str) -> dict[str, dict[str, int]]:
    """Numbers of objects by status and action. An object of which one step is held and one is not counts in both."""
    found: dict[str, dict[str, int]] = {}
    for result in results.values():
        for item in items(result.get("steps") or []):
            for state in sorted({status(step, verb) for step in item.steps}):
                action = strongest(step for step in item.steps if status(step, verb) == state)
                action = COUNTED_AS.get(action, action)
                of_state = found.setdefault(state, {})
                of_state[action] = of_state.get(action, 0) + 1
    return found


def errors(results: Results) -> list[tuple[str, str]]:
    """Everything that went wrong, as pairs of node and message."""
    found = []
    for node, result in results.items():
        messages = list(result.get("errors") or [])
        if not messages and result.get("unreachable"):
            messages = [f"unreachable: {result.get('msg') or 'no answer'}"]
        if not messages and result.get("failed"):
            messages = [str(result.get("msg") or "failed without a message")]
        found += [(node, str(message)) for message in messages]
    return found


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two results of one node, such as of two tasks or two rounds of a loop, as one."""
    merged = {**first, **second}
    for key in ("steps", "notes", "errors"):
        merged[key] = [*(first.get(key) or []), *(second.get(key) or [])]
    merged["failed"] = bool(first.get("failed") or second.get("failed"))
    merged["msg"] = "\n".join(str(r["msg"]) for r in (first, second) if r.get("failed") and r.get("msg"))
    times = [r.get("timings") or {} for r in (first, second)]
    merged["timings"] = {what: sum(t.get(what, 0.0) for t in times) for t in times for what in t}
    return merged


def overlay(before: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a node came to so far and the result of one more batch, as one. What was planned of the batch's objects is
    history; what was planned of others stands for what was not tried."""
    told = {(step["kind"], step["name"]) for step in batch.get("steps") or []}
    kept = [
        step
        for step in before.get("steps") or []
        if (step["kind"], step["name"]) not in told or status(step, "plan") not in ("planned", "held")
    ]
    merged = merge({**before, "steps": kept}, batch)
    merged["notes"] = list(dict.fromkeys(merged["notes"]))
    return merged


def summary(results: Results, verb: str, others: Sequence[Mapping[str, Any]], changed: int) -> dict[str, Any]:
    """The run for machines. ``others`` are failures of tasks that are not Carve's, ``changed`` their changed tasks.

    ``differences`` is how many objects are not as declared when the run has ended.
    """
    left = [
        item
        for result in results.values()
        for item in items(result.get("steps") or [])
        if any(status(step, verb) != "done" for step in item.steps)
    ]
    by_status = counts(results, verb)
    return {
        "format_version": FORMAT_VERSION,
        "verb": verb,
        "differences": len(left),
        "held": sum(by_status.get("held", {}).values()),
        "counts": by_status,
        "changed_tasks": changed,
        "errors": [{"node": node, "message": message} for node, message in errors(results)] + [dict(o) for o in others],
        "nodes": {node: {key: result[key] for key in _KEPT if key in result} for node, result in results.items()},
    }
