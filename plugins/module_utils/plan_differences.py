# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between a container that is declared and the one that is there; what a difference takes, and what goes
first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import model
from .steps import Change, ContainerSeen

# A change, and why: declared, or changed on the node.
Difference = tuple[Change, str]
# Options that say nothing about how a container is, only what may be done with it and what was done.
_NOT_COMPARED = ("id", "template", "state")


def find(target: Mapping[str, Any], seen: ContainerSeen) -> list[Difference]:
    """Everything about a container that is not as declared."""
    result: list[Difference] = []
    for path in ordered({**seen.recorded, **target}):
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
    return model.row_name(path) in seen.looked


def _owned(found: Iterable[str] | None, ours: Iterable[str]) -> list[str] | None:
    """Of what was found, the members that were ever declared; the others belong to the container."""
    return None if found is None else [item for item in found if item in set(ours)]


def reach(change: Change, differences: list[Difference]) -> str:
    """What a change takes, ``live`` or more.

    An interface is changed as a whole: where one of its options needs a restart, the others wait for it.
    """
    if change.field.startswith("network."):
        interface = change.field.rsplit(".", 1)[0] + "."
        together = [c.field for c, _reason in differences if c.field.startswith(interface)]
        return max((model.row(path).reach for path in together), key=model.REACHES.index)
    field = model.row(change.field)
    coming_or_going = set(change.before or ()) ^ set(change.after or ()) if field.anew else ()
    return "restart" if any(member in field.anew for member in coming_or_going) else field.reach


def in_order(change: Change) -> list[tuple[str, Change]]:
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


def part(differences: list[Difference]) -> tuple[list[Difference], list[Difference]]:
    """Of changes that come with a restart, the addresses that leave: apart, for others may take them first."""
    rest: list[Difference] = []
    leaving: list[Difference] = []
    for difference, reason in differences:
        for phase, change in in_order(difference):
            (leaving if phase == "shrink" else rest).append((change, reason))
    return rest, leaving


def _smaller(change: Change) -> bool:
    return change.after is not None and (change.before is None or change.after < change.before)


def ordered(flat: Iterable[str]) -> list[str]:
    """Paths in the field table's order, interfaces by name."""
    ranks = {field.name: rank for rank, field in enumerate(model.CONTAINER)}
    inner = {field.name: rank for rank, field in enumerate(model.RESOLVED_INTERFACE)}

    def key(path: str) -> tuple[int, str, int]:
        parts = path.split(".")
        return (ranks[parts[0]], parts[1], inner[parts[2]]) if len(parts) == 3 else (ranks.get(path, 999), path, 0)

    return sorted(set(flat), key=key)
