# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which node each container runs on, and why. Pure.

What is pinned is where it is pinned, what is known to run somewhere stays there, and what is new goes to a node that
has its labels and room for it. The answer depends on names and numbers only, not on the order in which they come.

A thousand nodes and a hundred thousand containers take seconds: containers that ask for the same are placed together,
``spread`` takes nodes from a heap whose stale entries are mended when they come up, ``pack`` from a sorted list.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..module_utils import units

SPREAD, PACK = "spread", "pack"
STRATEGIES = (SPREAD, PACK)
STAYS = "stays where it runs"
Match = tuple[tuple[str, str], ...]

_UNLIMITED = float("inf")
# Of more nodes than these, reasons are counted and not listed.
_LISTED = 6
# Among so few nodes it is worth knowing whether only one had room.
_FEW = 16
# Who reads why so many things fit nowhere needs no more examples.
_EXPLAINED = 50


class Node(NamedTuple):
    """A node as placement sees it. What it may promise includes its overcommit; ``None`` is without limit."""

    name: str
    labels: Mapping[str, str]
    ram: int | None = None
    # In hundredths of a processor, for sums of these are exact.
    cpus: int | None = None
    # Whether new containers are kept away.
    cordon: bool = False


class Request(NamedTuple):
    """What a container asks of its node. ``kind`` is the manifest's entry that it comes from."""

    name: str
    kind: str
    ram: int = 0
    cpus: int = 0
    pinned: str | None = None
    match: Match = ()
    strategy: str = SPREAD
    apart: str | None = None
    # One that should not exist needs a node only to be absent from.
    absent: bool = False


@dataclass
class Placement:
    """Where each container is, why in words, and what fits nowhere."""

    nodes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def place(nodes: Iterable[Node], requests: Iterable[Request], known: Mapping[str, str]) -> Placement:
    """A node for every container; ``known`` says where containers are, as far as that is known."""
    fleet = _Fleet({node.name: node for node in sorted(nodes, key=lambda node: node.name)})
    groups: dict[tuple[object, ...], list[Request]] = {}
    for request in sorted(requests, key=lambda r: (len(r.name), r.name)):
        node = request.pinned or known.get(request.name)
        if node is not None and node in fleet.nodes:
            fleet.stay(request, node)
        elif request.absent:
            fleet.found.nodes[request.name] = min(fleet.nodes)
        else:
            # All but the name.
            groups.setdefault(request[1:], []).append(request)
    fleet.note_promises()
    for group in sorted(groups.values(), key=lambda group: fleet.difficulty(group[0])):
        fleet.place(group)
    return fleet.found


def impossible(nodes: Iterable[Node], request: Request) -> str | None:
    """Why no node could ever take a container, however empty the fleet were; ``None`` when one could."""
    whys = {}
    for node in nodes:
        whys[node.name] = _lacking(request.match, node) or _too_small(request, node)
        if not whys[node.name]:
            return None
    return _summary(dict(sorted(whys.items())))


def match_text(match: Iterable[tuple[str, str]]) -> str:
    """``zone=a and disk=ssd``"""
    return " and ".join(f"{key}={value}" for key, value in match)


def _lacking(match: Match, node: Node) -> str:
    """In words, the labels that a node has not; nothing when it has all."""
    lacking = [pair for pair in match if node.labels.get(pair[0]) != pair[1]]
    return f"lacks {match_text(lacking)}" if lacking else ""


def _too_small(request: Request, node: Node, ram: int = 0, cpus: int = 0) -> str:
    """In words, what a node that has promised this much lacks for one more container."""
    if node.ram is not None and ram + request.ram > node.ram:
        left = units.show_size(max(0, node.ram - ram))
        return f"has {left} of ram to promise, and {units.show_size(request.ram)} is asked for"
    if node.cpus is not None and cpus + request.cpus > node.cpus:
        left = units.show_cpus(max(0, node.cpus - cpus) / 100)
        return f"has {left} cpus to promise, and {units.show_cpus(request.cpus / 100)} is asked for"
    return ""


def _summary(whys: Mapping[str, str]) -> str:
    """Why each node is none, in a sentence that stays short for a thousand."""
    if len(whys) <= _LISTED:
        return "; ".join(f"{name} {why}" for name, why in whys.items())
    alike: dict[str, list[str]] = {}
    for name, why in whys.items():
        alike.setdefault("has" if why.startswith("has ") else why, []).append(name)
    parts = []
    for why, names in sorted(alike.items(), key=lambda item: -len(item[1])):
        text = whys[names[0]] if len(names) == 1 or why != "has" else "have no room"
        parts.append(f"{names[0]} {text}" if len(names) == 1 else f"{len(names)} nodes ({names[0]} first) {text}")
    return "; ".join(parts)


class _Load:
    """What a node has promised so far."""

    __slots__ = ("count", "cpus", "ram")

    def __init__(self) -> None:
        self.ram = self.cpus = self.count = 0


_Key = tuple[float, float, str]
_Rest = tuple[float, float, int, str]


class _Fleet:
    """Nodes with what they have promised, while containers are given to them."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self.found = Placement()
        self._loads = {name: _Load() for name in nodes}
        # How many of a kind are on which node, and who of an apart group is.
        self._kinds: dict[str, Counter[str]] = {}
        self._apart: dict[str, dict[str, str]] = {}
        self._open: dict[Match, list[str]] = {}
        self._heaps: dict[Match, list[_Key]] = {}
        self._rests: dict[Match, list[_Rest]] = {}
        self._most: dict[Match, list[list[tuple[float, str]]]] = {}
        self._explained = 0
        self._pinned: Counter[str] = Counter()
        # Shares can be compared only where every node says what it has.
        self._by_share = all(node.ram is not None or node.cpus is not None for node in nodes.values())

    # --- what is where it is

    def stay(self, request: Request, node: str) -> None:
        """Leave a container where it is pinned or runs, whatever placement would say."""
        if request.absent:
            self.found.nodes[request.name] = node
            return
        if request.pinned is None:
            self.found.reasons[request.name] = STAYS
            lacking = _lacking(request.match, self.nodes[node])
            if lacking:
                self.found.notes.append(f"{request.name} stays on {node}, which {lacking}; carve.vps.migrate moves it")
        other = self._apart.get(request.apart or "", {}).get(node)
        if other is not None:
            text = f"{other} and {request.name} are both on {node} in spite of apart: {request.apart}"
            self.found.notes.append(f"{text}; carve.vps.migrate moves one of them")
        self._put(request, node)
        self._pinned[node] += request.ram if request.pinned is not None else 0

    def note_promises(self) -> None:
        """Say where what runs already is more than a node may promise. What is pinned is the manifest's own doing."""
        for name, node in self.nodes.items():
            load = self._loads[name]
            if node.ram is not None and load.ram > node.ram >= self._pinned[name]:
                promised = f"{units.show_size(load.ram)} of ram, {units.show_size(load.ram - node.ram)} too much"
                self.found.notes.append(f"{name} has promised {promised}; nothing new is placed there")

    # --- what is new

    def difficulty(self, request: Request) -> tuple[object, ...]:
        """Sort key: those with the least choice first, then the largest, which are the hardest to fit in."""
        return (len(self._candidates(request.match)), request.apart is None, -request.ram, -request.cpus, request.kind)

    def place(self, group: list[Request]) -> None:
        """Give nodes to containers that ask for the same."""
        left = group
        if self._may_fit(group[0]):
            left = self._pack(group) if group[0].strategy == PACK else self._spread(group)
        if left:
            self._explained += 1
            why = self._nowhere(left[0]) if self._explained <= _EXPLAINED else "fits on no node, as others do not"
            self.found.errors.update((request.name, why) for request in left)

    def _may_fit(self, request: Request) -> bool:
        """Whether the most that any node has left is enough, so that a full fleet is not searched again and again."""
        if request.match not in self._most:
            for index in (0, 1):
                heap = [(-self._left(name)[index], name) for name in self._candidates(request.match)]
                heapq.heapify(heap)
                self._most.setdefault(request.match, []).append(heap)
        for index, heap in enumerate(self._most[request.match]):
            while heap and heap[0][0] != -self._left(heap[0][1])[index]:
                heapq.heapreplace(heap, (-self._left(heap[0][1])[index], heap[0][1]))
            if not heap or -heap[0][0] < (request.ram, request.cpus)[index]:
                return False
        return True

    def _candidates(self, match: Match) -> list[str]:
        if match not in self._open:
            nodes = self.nodes.values()
            self._open[match] = [node.name for node in nodes if not node.cordon and not _lacking(match, node)]
        return self._open[match]

    def _spread(self, group: list[Request]) -> list[Request]:
        """Round by round: a container to each node that has the fewest of the kind, the emptiest node first."""
        request = group[0]
        heap = self._heaps.get(request.match)
        if heap is None:
            heap = self._heaps[request.match] = [self._key(name) for name in self._candidates(request.match)]
            heapq.heapify(heap)
        kind = self._kinds.setdefault(request.kind, Counter())
        several = len(group) > 1 or bool(kind)
        left, had, full = list(reversed(group)), list[str](), list[str]()
        fewest = 0
        while left:
            if not heap:
                if not had:
                    break
                fewest = min(kind[name] for name in had)
                heap.extend(self._key(name) for name in had)
                heapq.heapify(heap)
                had = []
            key = heap[0]
            name = key[-1]
            now = self._key(name)
            if now != key:
                heapq.heapreplace(heap, now)
                continue
            heapq.heappop(heap)
            if not self._fits(request, name):
                full.append(name)
            elif kind[name] > fewest:
                had.append(name)
            else:
                self._take(left.pop(), name, "fewest of its kind" if several else "least promised")
                had.append(name)
        for name in (*had, *full):
            heapq.heappush(heap, self._key(name))
        return left[::-1]

    def _pack(self, group: list[Request]) -> list[Request]:
        """The fullest node that has room, until it has none."""
        request = group[0]
        if request.match not in self._rests:
            self._rests[request.match] = sorted(self._rest(name) for name in self._candidates(request.match))
        rests = self._rests[request.match]
        left = list(reversed(group))
        start = bisect_left(rests, (request.ram, -1.0, 0, ""))
        while left and start < len(rests):
            name = rests[start][-1]
            if not self._fits(request, name):
                start += 1
                continue
            while left and self._fits(request, name):
                self._take(left.pop(), name, "fullest with room")
            # It has moved to the left: what follows it is now where it was, or one further.
            start = bisect_left(rests, (request.ram, -1.0, 0, ""))
            while start < len(rests) and not self._fits(request, rests[start][-1]):
                start += 1
        return left[::-1]

    def _key(self, name: str) -> _Key:
        """How full a node is: by share of what it has, or by number where not all nodes say what they have."""
        load, node = self._loads[name], self.nodes[name]
        share = max(load.ram / node.ram if node.ram else 0.0, load.cpus / node.cpus if node.cpus else 0.0)
        return (share, load.count, name) if self._by_share else (load.count, share, name)

    def _left(self, name: str) -> tuple[float, float]:
        """What a node has left to promise."""
        load, node = self._loads[name], self.nodes[name]
        ram = _UNLIMITED if node.ram is None else node.ram - load.ram
        return ram, _UNLIMITED if node.cpus is None else node.cpus - load.cpus

    def _rest(self, name: str) -> _Rest:
        """Sort key, the least left first; among nodes without limit, the one with most containers."""
        return (*self._left(name), -self._loads[name].count, name)

    def _fits(self, request: Request, name: str) -> bool:
        load, node = self._loads[name], self.nodes[name]
        return (
            (node.ram is None or load.ram + request.ram <= node.ram)
            and (node.cpus is None or load.cpus + request.cpus <= node.cpus)
            and (request.apart is None or name not in self._apart.get(request.apart, ()))
        )

    def _take(self, request: Request, name: str, otherwise: str) -> None:
        self.found.reasons[request.name] = self._why(request, name, otherwise)
        self._put(request, name)

    def _why(self, request: Request, name: str, otherwise: str) -> str:
        candidates = self._candidates(request.match)
        labels = match_text(request.match)
        if len(candidates) == 1:
            return f"only {name} has {labels}" if labels else f"only {name} takes new containers"
        others = self._apart.get(request.apart or "", {})
        apart = f", apart from {', '.join(sorted(others.values())[:3])}" if others else ""
        if len(candidates) <= _FEW and sum(self._fits(request, other) for other in candidates) == 1:
            return f"only {name} has {f'{labels} and room' if labels else 'room'}{apart}"
        return f"{request.strategy}: {otherwise}{f' of those with {labels}' if labels else ''}{apart}"

    def _put(self, request: Request, name: str) -> None:
        load = self._loads[name]
        before = self._rest(name) if self._rests else None
        load.ram += request.ram
        load.cpus += request.cpus
        load.count += 1
        self.found.nodes[request.name] = name
        self._kinds.setdefault(request.kind, Counter())[name] += 1
        if request.apart is not None:
            self._apart.setdefault(request.apart, {}).setdefault(name, request.name)
        if before is not None:
            after = self._rest(name)
            for rests in self._rests.values():
                index = bisect_left(rests, before)
                if index < len(rests) and rests[index] == before:
                    del rests[index]
                    insort(rests, after)

    def _nowhere(self, request: Request) -> str:
        """Why each node is none for a container."""
        whys = {}
        for name, node in self.nodes.items():
            load = self._loads[name]
            why = _lacking(request.match, node) or ("is cordoned" if node.cordon else "")
            other = self._apart.get(request.apart or "", {}).get(name)
            if not why and other is not None:
                why = f"has {other} of apart: {request.apart}"
            whys[name] = why or _too_small(request, node, load.ram, load.cpus) or "has no room"
        return f"fits on no node: {_summary(whys)}"
