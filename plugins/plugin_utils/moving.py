# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which containers are to move from where to where. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import model
from . import placement
from .placement import Node, Request

ALL = "all"


@dataclass(frozen=True)
class Ask:
    """What an operator wants: some containers moved, or a node emptied."""

    # Names, or ``all``; to a node, or to where they belong.
    names: Sequence[str] = ()
    to: str | None = None
    drain: str | None = None


@dataclass(frozen=True)
class Fleet:
    """What is declared, and what was found."""

    name: str
    machines: Sequence[Node]
    asked: Mapping[str, Request]
    # The node of each container that was found, and of each that a broken-off move has set aside.
    at: Mapping[str, str]
    aside: Mapping[str, str] = field(default_factory=dict)
    # Nodes that did not answer: nothing goes there, and what is there is not known.
    silent: Collection[str] = ()
    # Containers that are on several nodes, with these.
    doubles: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Moves:
    """What is to be done, in order; what stays and why; what no other node takes; what makes all of it impossible."""

    moves: Sequence[tuple[str, str, str]] = ()
    stays: Mapping[str, str] = field(default_factory=dict)
    stuck: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[str] = ()

    def groups(self, fleet: str, at_once: int) -> list[dict[str, Any]]:
        """Moves between the same two nodes together, at most so many."""
        pairs: dict[tuple[str, str], list[str]] = {}
        for name, source, destination in self.moves:
            pairs.setdefault((source, destination), []).append(name)
        return [
            {
                "session": f"m{hashlib.sha256(f'{fleet}/{source}/{destination}'.encode()).hexdigest()[:20]}",
                "source": source,
                "destination": destination,
                "containers": names[first : first + at_once],
            }
            for (source, destination), names in pairs.items()
            for first in range(0, len(names), at_once)
        ]


def plan(fleet: Fleet, ask: Ask) -> Moves:
    """What an operator's wish comes to."""
    errors = _impossible(fleet, ask)
    if errors:
        return Moves(errors=errors)
    places = {**fleet.at, **fleet.aside}
    names = _chosen(fleet, ask, places)
    targets, stays, nowhere = _targets(fleet, ask, names)
    nowhere |= _unfinished(fleet, ask, names)
    moves = []
    for name in names:
        source = places[name]
        # One that was set aside has perhaps arrived already; then there is nothing to choose any more.
        arrived = fleet.at.get(name) if name in fleet.aside else None
        target = arrived or targets.get(name)
        if target == source:
            stays[name] = f"is on {source} already"
        elif target is not None:
            moves.append((name, source, target))
    if ask.drain is None:
        return Moves(moves, stays, errors=[f"{name}: {why}" for name, why in nowhere.items()])
    # A node that goes down is better off with one container than with all of them.
    return Moves(moves, stays, nowhere)


def _impossible(fleet: Fleet, ask: Ask) -> list[str]:
    nodes = {node.name for node in fleet.machines}
    if not ask.names and ask.drain is None:
        return ["nothing is to be moved; write -e carve_move=NAME, several with commas, or all"]
    errors = [
        f"there is no node {node!r}; {model.nearest(node, sorted(nodes))}"
        for node in (ask.to, ask.drain)
        if node is not None and node not in nodes
    ]
    errors += [f"{node} did not answer" for node in (ask.to, ask.drain) if node in fleet.silent]
    for name, places in fleet.doubles.items():
        if name in ask.names or list(ask.names) == [ALL] or ask.drain in places:
            errors.append(f"{name} is on {' and '.join(places)}; see which is right, and remove the other by hand")
    for name in ask.names if list(ask.names) != [ALL] else ():
        if name not in fleet.asked:
            errors.append(f"there is no container {name!r}; {model.nearest(name, sorted(fleet.asked))}")
        elif name not in fleet.at and name not in fleet.aside:
            errors.append(f"{name} is on no node that answered")
        elif ask.to is not None and fleet.asked[name].pinned not in (None, ask.to):
            errors.append(f"{name} is pinned by node: {fleet.asked[name].pinned}; write node: {ask.to} first")
    return errors


def _chosen(fleet: Fleet, ask: Ask, places: Mapping[str, str]) -> list[str]:
    declared = [name for name in sorted(places) if name in fleet.asked]
    if ask.drain is not None:
        return [name for name in declared if places[name] == ask.drain]
    return declared if list(ask.names) == [ALL] else list(dict.fromkeys(ask.names))


def _unfinished(fleet: Fleet, ask: Ask, chosen: Collection[str]) -> dict[str, str]:
    """Those that a broken-off move has brought to where they are not to be: that move has to end before another."""
    concerned = [name for name in sorted(fleet.aside) if name in fleet.asked and name in fleet.at]
    if ask.drain is not None:
        wrong = [name for name in concerned if fleet.at[name] == ask.drain != fleet.aside[name]]
    else:
        wrong = [name for name in concerned if name in chosen and ask.to not in (None, fleet.at[name])]
    return {
        name: f"a move of it from {fleet.aside[name]} to {fleet.at[name]} did not end; run carve.vps.apply, which ends "
        "it, then the same again"
        for name in wrong
    }


def _targets(fleet: Fleet, ask: Ask, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Where each should be, why some stay where they are, and why some can be nowhere."""
    if ask.to is not None:
        return dict.fromkeys(names, ask.to), {}, {}
    chosen = set(names)
    stays = {
        name: f"is pinned by node: {ask.drain}"
        for name in sorted(chosen)
        if ask.drain is not None and fleet.asked[name].pinned == ask.drain
    }
    shut = {ask.drain, *fleet.silent}
    machines = [node._replace(cordon=node.cordon or node.name in shut) for node in fleet.machines]
    known = {name: node for name, node in fleet.at.items() if name not in chosen - set(stays)}
    found = placement.place(machines, fleet.asked.values(), known)
    targets = {name: found.nodes[name] for name in chosen if name in found.nodes and name not in stays}
    return targets, stays, {name: found.errors[name] for name in sorted(chosen) if name in found.errors}
