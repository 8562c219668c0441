# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the fleet's containers are, held against where they were thought to be. Pure.

Every node was looked at with the desired state that the inventory had predicted for it. Where the prediction holds, the
plans that were made are the plans to carry out. Where it does not, the inventory is to be read again with what is known
now, and the nodes whose share has changed are to be looked at again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .whereabouts import Whereabouts

Addresses = Mapping[str, Sequence[str]]
_NAMED = 3


@dataclass(frozen=True)
class Share:
    """What the inventory has predicted for one node."""

    # Names of all its containers, and of these the ones that should not exist.
    containers: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    # Those that are here by placement.
    placed: frozenset[str] = frozenset()
    # Addresses that pools have given.
    addresses: Mapping[str, Addresses] = field(default_factory=dict)

    def digest(self) -> str:
        """Two shares with the same digest make the same plan of the same node, as far as whereabouts decide it."""
        own = {name: {i: sorted(a) for i, a in found.items()} for name, found in self.addresses.items()}
        return hashlib.sha256(json.dumps([sorted(self.containers), own], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Look:
    """What is predicted, and what was found."""

    shares: Mapping[str, Share]
    # Of each node that answered, its containers with their addresses by interface.
    found: Mapping[str, Mapping[str, Addresses]]
    # Of each node that did not answer or was not asked, which of the two.
    silent: Mapping[str, str]
    # What fits nowhere, as far as was known.
    unplaced: Mapping[str, str]
    # What was remembered, and the digest of what the prediction was made from.
    before: Whereabouts
    made_from: str
    # The shares with which the nodes were looked at, where these were others, as digests.
    looked: Mapping[str, str] = field(default_factory=dict)
    # By node, containers of which a move that was broken off has left a copy there, and the node that has them.
    left: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # By node, its containers that do not run.
    stopped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # By node, containers that a move has set aside there, and why neither to take them back nor to remove them.
    held: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settlement:
    """What follows from a look."""

    known: Whereabouts
    # Whether the prediction has to be made again before anything else here counts.
    stale: bool
    looked: Mapping[str, str]
    # By node: containers that are elsewhere than declared, and those in doubt.
    elsewhere: Mapping[str, Mapping[str, str]]
    hold: Mapping[str, Mapping[str, str]]
    again: list[str]
    errors: list[str]

    def public(self) -> dict[str, Any]:
        """What playbooks see of it."""
        return {
            "stale": self.stale,
            "looked": dict(self.looked),
            "elsewhere": {node: dict(found) for node, found in self.elsewhere.items()},
            "hold": {node: dict(found) for node, found in self.hold.items()},
            "again": self.again,
        }


def settle(look: Look) -> Settlement:
    """Compare, and say what is to be done about it."""
    homes = {name: node for node, share in look.shares.items() for name in share.containers}
    places: dict[str, list[str]] = {}
    for node in sorted(look.found):
        for name in look.found[node]:
            places.setdefault(name, []).append(node)
    doubts = _doubts(look, places)
    at = {
        name: homes[name] if homes.get(name) in nodes else nodes[0]
        for name, nodes in places.items()
        if name not in doubts
    }
    known = _known(look, homes, at)
    stale = known.digest() != look.made_from and not _as_predicted(look, homes, at)
    looked = look.looked or {node: share.digest() for node, share in look.shares.items()}
    if stale:
        return Settlement(known, True, looked, {}, {}, [], [])
    elsewhere: dict[str, dict[str, str]] = {}
    hold: dict[str, dict[str, str]] = {}
    for name, nodes in places.items():
        home = homes.get(name)
        if home is None:
            continue
        for node in nodes:
            if name in doubts:
                hold.setdefault(node, {})[name] = doubts[name]
            if node == home:
                continue
            if home in nodes:
                hold.setdefault(node, {}).setdefault(name, _double(name, home))
            else:
                elsewhere.setdefault(node, {})[name] = home
                elsewhere.setdefault(home, {})[name] = node
    for node, names in look.left.items():
        elsewhere.setdefault(node, {}).update(names)
    for node, whys in look.held.items():
        hold.setdefault(node, {}).update(whys)
    if look.silent:
        _hold_doubtful(look, places, hold)
    again = [
        node
        for node in sorted(look.found)
        if node in elsewhere or node in hold or look.shares[node].digest() != looked.get(node)
    ]
    errors = [f"{name}: {why}" for name, why in sorted(look.unplaced.items())]
    return Settlement(known, False, looked, elsewhere, hold, again, errors)


def _doubts(look: Look, places: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Containers of which nobody can say where they are at home, and why: their places are not to be remembered.

    A container that was made anew elsewhere after its node had died has an old copy there. The copy must not take its
    place as soon as the node is back and the other one is not to be seen.
    """
    doubts = {}
    for name in (name for share in look.shares.values() for name in share.placed if name in places):
        nodes, remembered = places[name], look.before.nodes.get(name, "")
        if len(nodes) > 1 and remembered not in nodes:
            doubts[name] = f"is on {_names(nodes)}; see which is right and pin {name} to it by node:"
        elif remembered in look.silent and all(name in look.stopped.get(node, ()) for node in nodes):
            doubts[name] = (
                f"was last seen on {remembered}, which {look.silent[remembered]}, and may be an old copy here; "
                f"pin it by node:, or delete {remembered} from the manifest if it is lost"
            )
    return doubts


def _known(look: Look, homes: Mapping[str, str], at: Mapping[str, str]) -> Whereabouts:
    """All that is known now: what was found, and what was remembered of nodes that said nothing."""
    declared = {*homes, *look.unplaced}
    nodes = {name: node for name, node in look.before.nodes.items() if name in declared and node in look.silent}
    addresses = {name: own for name, own in look.before.addresses.items() if name in nodes}
    pooled = {name for share in look.shares.values() for name in share.addresses} | set(look.unplaced)
    for name, node in at.items():
        if name in declared:
            nodes[name] = node
            addresses.pop(name, None)
            if name in pooled:
                addresses[name] = look.found[node][name]
    return Whereabouts(nodes, addresses)


def _as_predicted(look: Look, homes: Mapping[str, str], at: Mapping[str, str]) -> bool:
    """Whether everything that the whereabouts decide is there, and is where and as it was predicted."""
    if look.unplaced:
        return False
    for node, share in look.shares.items():
        for name in (share.placed | set(share.addresses)) - share.absent:
            if name not in at or (name in share.placed and at[name] != node):
                return False
            found = look.found[at[name]][name]
            own = share.addresses.get(name, {})
            if any(not set(addresses) <= set(found.get(interface, ())) for interface, addresses in own.items()):
                return False
    return all(at.get(name, homes[name]) == homes[name] for share in look.shares.values() for name in share.absent)


def _hold_doubtful(look: Look, places: Mapping[str, Any], hold: dict[str, dict[str, str]]) -> None:
    """Hold what was found nowhere, and may be where nobody has looked."""
    doubt = _listed(look.silent)
    for node, share in look.shares.items():
        for name in sorted(share.placed - share.absent):
            if name not in places and node in look.found:
                hold.setdefault(node, {})[name] = (
                    f"may be on {doubt}; pin it by node:, or delete a node that is lost from the manifest"
                )


def _listed(silent: Mapping[str, str]) -> str:
    """``node2 and node3, which did not answer, or node4, which was not asked``"""
    whys: dict[str, list[str]] = {}
    for node, why in sorted(silent.items()):
        whys.setdefault(why, []).append(node)
    return ", or ".join(f"{_names(nodes)}, which {why}" for why, nodes in whys.items())


def _names(nodes: Sequence[str]) -> str:
    if len(nodes) > _NAMED + 1:
        return f"{', '.join(nodes[:_NAMED])} and {len(nodes) - _NAMED} more"
    return " and ".join([", ".join(nodes[:-1]), nodes[-1]]) if len(nodes) > 1 else nodes[0]


def _double(name: str, home: str) -> str:
    return f"is on {home}, too, where it belongs; see which of the two {name} is right, and remove the other by hand"


def shares(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Share]:
    """The shares of all nodes from their variables in the inventory."""
    result = {}
    for node, variables in bodies.items():
        containers = _map(_map(variables.get("carve_desired")).get("containers"))
        placed = _map(variables.get("carve_placed"))
        result[node] = Share(
            frozenset(map(str, containers)),
            frozenset(str(name) for name, own in containers.items() if _map(own).get("state") == "absent"),
            frozenset(str(name) for name, own in placed.items() if "why" in own),
            {str(name): own["ip"] for name, own in placed.items() if own.get("ip")},
        )
    return result


@dataclass(frozen=True)
class Findings:
    """What the nodes have said, in the terms of a ``Look``."""

    found: Mapping[str, Mapping[str, Addresses]]
    silent: Mapping[str, str]
    left: Mapping[str, Mapping[str, str]]
    stopped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def findings(results: Mapping[str, Any], asked: Iterable[str]) -> Findings:
    """Of every node what it has, from its result, or why that is not known. ``asked`` are the nodes of the play."""
    found: dict[str, dict[str, Addresses]] = {}
    silent: dict[str, str] = {}
    whole: dict[str, str] = {}
    aside: list[tuple[str, str]] = []
    stopped: dict[str, frozenset[str]] = {}
    meant = set(asked)
    for node, result in results.items():
        containers = _map(result).get("containers")
        if node in meant and isinstance(containers, Mapping):
            found[node] = {str(name): _map(_map(own).get("ip")) for name, own in containers.items()}
            stopped[node] = frozenset(
                str(name) for name, own in containers.items() if _map(own).get("state") == "stopped"
            )
            for name, own in containers.items():
                if _map(own).get("state") == "set aside":
                    aside.append((node, str(name)))
                else:
                    whole[str(name)] = node
        else:
            silent[node] = "did not answer" if node in meant else "was not asked"
    left: dict[str, dict[str, str]] = {}
    held: dict[str, dict[str, str]] = {}
    for node, name in aside:
        own = _map(results[node]["containers"][name])
        # What a move has set aside is the container, unless another node has it by now.
        if name in whole:
            del found[node][name]
            left.setdefault(node, {})[name] = there = whole[name]
            if own.get("was_running") and results[there]["containers"][name].get("state") != "running":
                held.setdefault(node, {})[name] = (
                    f"has moved to {there}, where it does not run yet; apply again when it does"
                )
        elif own.get("handed_to") in silent:
            there = str(own["handed_to"])
            held.setdefault(node, {})[name] = (
                f"may run on {there}, which {silent[there]}; run the move to {there} again, or delete {there} from the "
                "manifest if it is lost"
            )
    return Findings(found, silent, left, stopped, held)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
