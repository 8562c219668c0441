# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout: who is changed when. Pure: what was looked at goes in, batches come out, and in the end their story.

A batch holds containers of any node. Its members are those that have something to do; containers of which everything is
held back are none. The canary goes first, removals go last: what replaces something is there before that goes. Where an
address goes from one container to another, both are of one batch, since no address may be on two at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import model
from . import outcome, schema

Results = Mapping[str, Mapping[str, Any]]
Member = tuple[str, str]  # a node, and the container on it
_SHOWN = 10  # containers of a node that a batch's title names
# Labels of a host of the inventory, be it a container or a node; empty for one that is none.
Labels = Callable[[str], Mapping[str, Any]]


class PolicyError(ValueError):
    """A rollout policy that cannot be meant; the message says what to write."""


@dataclass(frozen=True)
class Policy:
    """``policy.rollout`` in canonical form. ``gate`` is as written: it is the node that reads it."""

    canary: int
    batch: int | str
    order: tuple[str, ...] = ()
    gate: Mapping[str, Any] = field(default_factory=dict)

    def size(self, members: int) -> int:
        """How many containers a batch has; a percentage is rounded up, for it is never none."""
        if isinstance(self.batch, int):
            return self.batch
        return max(1, -(-members * int(self.batch.rstrip("%")) // 100))


@dataclass(frozen=True)
class Batch:
    """Containers that are changed together, by their node. A node without any has things of its own to do."""

    nodes: Mapping[str, tuple[str, ...]]
    canary: bool = False

    @property
    def containers(self) -> list[str]:
        return sorted((name for names in self.nodes.values() for name in names), key=outcome.natural)


def policy(raw: Any) -> Policy:
    """A policy as the manifest has it, or ``-e carve_rollout``. Raises ``PolicyError``."""
    if not isinstance(raw, Mapping):
        raise PolicyError(f"carve_rollout: {raw!r} is no map; write one such as {{canary: 1, batch: 25%}}")
    found, problems = model.canonical(schema.ROLLOUT, raw, ("carve_rollout",), extra=("gate",))
    gate = raw.get("gate") or {}
    if isinstance(gate, Mapping):
        problems += model.canonical(model.GATE, gate, ("carve_rollout", "gate"))[1]
    else:
        problems.append(model.Problem(("carve_rollout", "gate"), "is no map; write one such as {port: 80}"))
    if problems:
        raise PolicyError("\n".join(str(problem) for problem in problems))
    return Policy(found["canary"], found["batch"], tuple(found.get("order") or ()), gate)


def canonical(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A policy with its defaults, for the inventory."""
    found = policy(raw)
    return {"canary": found.canary, "batch": found.batch, "order": list(found.order), "gate": found.gate}


def make(results: Results, rules: Policy, labels: Labels = lambda _name: {}) -> list[Batch]:
    """The batches of a rollout, in their order. ``results`` is what ``carve.vps.node`` returned in check mode."""
    members: dict[Member, list[outcome.Step]] = {}
    others: list[str] = []
    for node, result in results.items():
        doable = [step for step in result.get("steps") or [] if outcome.status(step, "plan") == "planned"]
        for step in doable:
            if step["kind"] == "container":
                members.setdefault((node, str(step["name"])), []).append(step)
        if doable and all(step["kind"] != "container" for step in doable):
            others.append(node)
    leaving = {member for member, steps in members.items() if any(step["action"] == "destroy" for step in steps)}
    rank = _rank(rules.order, labels)
    ordered = sorted(members, key=lambda member: (member in leaving, rank(member)))
    groups = _groups(ordered, {member: _addresses(steps) for member, steps in members.items()}
                     | {(node, name): _held_by(name, results[node]) for node, name in leaving})  # fmt: skip
    changed = [group for group in groups if group[0] not in leaving]
    batches = [Batch(_by_node(part), bool(number == 0 and rules.canary)) for number, part in _parts(changed, rules)]
    last = _by_node(member for group in groups if group[0] in leaving for member in group)
    last |= dict.fromkeys(sorted(others, key=outcome.natural), ())
    return batches + ([Batch(last)] if last else [])


def _rank(order: Sequence[str], labels: Labels) -> Callable[[Member], Any]:
    """Sort key of ``(node, container)``: labels first, those without one last, then names as people sort them."""

    def key(member: Member) -> Any:
        node, name = member
        own, nodes = (labels(name), labels(node)) if order else ({}, {})
        values = [own.get(label, nodes.get(label)) for label in order]
        return ([(value is None, outcome.natural(str(value))) for value in values], outcome.natural(name), node)

    return key


def _addresses(steps: Iterable[outcome.Step]) -> set[str]:
    """The addresses that a container gets or gives back."""
    return {
        item.partition("/")[0].strip()
        for step in steps
        for change in step.get("changes") or []
        if str(change["field"]).endswith(".ip")
        for text in (change.get("before"), change.get("after"))
        for item in str(text or "").split(",")
        if item.strip() not in ("", "none")
    }


def _held_by(name: str, result: Mapping[str, Any]) -> set[str]:
    """The addresses that a container has."""
    found = (result.get("containers") or {}).get(name) or {}
    return {address for listed in (found.get("ip") or {}).values() for address in listed}


def _groups(members: Sequence[Member], addresses: Mapping[Member, set[str]]) -> list[list[Member]]:
    """Members that cannot be apart, together, each group where its first one stands."""
    leader = {member: member for member in members}
    place = {member: index for index, member in enumerate(members)}

    def find(member: Member) -> Member:
        while leader[member] != member:
            member = leader[member]
        return member

    holders: dict[str, Member] = {}
    for member in members:
        for address in addresses[member]:
            one, other = sorted((find(holders.setdefault(address, member)), find(member)), key=place.__getitem__)
            leader[other] = one
    groups: dict[Member, list[Member]] = {}
    for member in members:
        groups.setdefault(find(member), []).append(member)
    return list(groups.values())


def _parts(groups: Sequence[list[Member]], rules: Policy) -> Iterable[tuple[int, list[Member]]]:
    """The groups dealt out: each batch is as large as it should be, or larger by what cannot be apart."""
    size = rules.size(sum(len(group) for group in groups))
    number, part = 0, list[Member]()
    for group in groups:
        limit = rules.canary if number == 0 and rules.canary else size
        part += group
        if len(part) >= limit:
            yield number, part
            number, part = number + 1, []
    if part:
        yield number, part


def document(batches: Sequence[Batch], results: Results) -> list[dict[str, Any]]:
    """Batches as the playbook goes through them: of each node the containers, each with its plan's fingerprint."""
    return [
        {
            "number": number,
            "canary": batch.canary,
            "text": _title(number, len(batches), batch),
            "nodes": {node: _prints(names, results[node]) for node, names in batch.nodes.items()},
        }
        for number, batch in enumerate(batches, 1)
    ]


def _prints(names: Iterable[str], result: Mapping[str, Any]) -> dict[str, str]:
    return {name: str((result.get("fingerprints") or {}).get(name, "")) for name in names}


def _title(number: int, total: int, batch: Batch) -> str:
    parts = [f"{_names(names) if names else 'itself'} on {node}" for node, names in batch.nodes.items()]
    return f"Batch {number} of {total}{', the canary' if batch.canary else ''}: {'; '.join(parts)}"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def report(rounds: Sequence[Mapping[str, Any]], stopped: int, results: Results) -> str:
    """How a rollout that stopped at the batch number ``stopped`` ended: what was done, what failed, what was not tried.

    ``results`` is what the nodes of that batch returned.
    """
    failed = rounds[stopped - 1]["nodes"]
    away = sorted(node for node in failed if (results.get(node) or {}).get("unreachable"))
    bad = sorted((name for node, names in failed.items() for name in names if _is_bad(name, results.get(node) or {})),
                 key=outcome.natural)  # fmt: skip
    passed = [*_members(rounds[: stopped - 1]), *(name for name in _members([rounds[stopped - 1]]) if name not in bad)]
    lines = [
        f"The rollout stopped at batch {stopped} of {len(rounds)}.",
        f"done: {', '.join(passed) or 'none'}",
        f"failed: {', '.join(bad) or 'none'}",
        f"not tried: {', '.join(_members(rounds[stopped:])) or 'none'}",
    ]
    if away:
        lines.append(f"unreachable: {', '.join(away)}; what was begun there is finished by the next run")
    return "\n".join(lines)


def _members(rounds: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted((name for part in rounds for names in part["nodes"].values() for name in names), key=outcome.natural)


def _is_bad(name: str, result: Mapping[str, Any]) -> bool:
    """Whether something of a container was not done, or an error names it."""
    steps = [step for step in result.get("steps") or [] if (step["kind"], step["name"]) == ("container", name)]
    if not steps:
        return bool(result.get("failed") or result.get("unreachable"))
    undone = any(outcome.status(step, "apply") not in ("done", "held") for step in steps)
    starts = (f"container {name}: ", f"{name}: ")
    return undone or any(str(message).startswith(starts) for message in result.get("errors") or [])


def _by_node(members: Iterable[Member]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node, name in members:
        found[node] = (*found.get(node, ()), name)
    return found
