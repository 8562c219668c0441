# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives the containers of a manifest their nodes and their automatic addresses, by what is known of where they are.

Nothing here fails: what fits nowhere is left without a node, since a node that answers may yet show that it runs there.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import kinds, model, units
from . import placement, pools, ranges, schema
from .expand import Container, give, section, texts
from .placement import SPREAD, Node, Request
from .pools import Pool, Subnet, Want
from .whereabouts import Whereabouts


@dataclass(frozen=True)
class Arrangement:
    """Where everything goes."""

    # Those that fit nowhere are left out.
    containers: list[Container]
    # Why, of those that are not pinned.
    reasons: Mapping[str, str]
    # What fits nowhere, and why not.
    unplaced: Mapping[str, str]
    # The addresses that pools have given, by container and interface.
    addresses: Mapping[str, Mapping[str, Sequence[str]]]
    # What pools had no address left for.
    missing: list[Want]
    notes: list[str] = field(default_factory=list)


def arrange(
    manifest: Mapping[str, Any], containers: list[Container], asked: Mapping[str, Request], known: Whereabouts
) -> Arrangement:
    """Every container on its node; ``asked`` is what ``requests`` has made of them."""
    found = placement.place(nodes(manifest), asked.values(), known.nodes)
    given, missing = _addresses(manifest, containers, asked, known)
    placed = []
    for container in containers:
        node = found.nodes.get(container.name)
        if node is None:
            continue
        options, own = container.options, given.get(container.name, {})
        if own:
            interfaces = container.options["network"]
            options = give(options, {("network", i, "ip"): [*interfaces[i]["ip"], *more] for i, more in own.items()})
        changed = node != container.node or own
        placed.append(dataclasses.replace(container, node=node, options=options) if changed else container)
    return Arrangement(placed, found.reasons, found.errors, given, missing, found.notes)


def nodes(manifest: Any) -> list[Node]:
    """The nodes with all that they may promise."""
    result = []
    for name, body in section(manifest, "nodes").items():
        own = body if isinstance(body, Mapping) else {}
        limits = promisable(own)
        cpus = limits.get("cpus")
        labels = texts(own["labels"]) if isinstance(own.get("labels"), Mapping) else {}
        hundredths = None if cpus is None else round(cpus * 100)
        result.append(Node(name, labels, limits.get("ram"), hundredths, own.get("cordon") is True))
    return result


def promisable(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's capacity times its overcommit, in canonical units."""
    capacity, _unused = model.canonical(schema.CAPACITY, _known(schema.CAPACITY, node.get("capacity")))
    factors, _unused = model.canonical(schema.OVERCOMMIT, _known(schema.OVERCOMMIT, node.get("overcommit")))
    return {
        name: int(limit * factors.get(name, 1)) if name == "ram" else round(limit * factors.get(name, 1), 2)
        for name, limit in capacity.items()
    }


def _known(rows: tuple[kinds.Field, ...], body: Any) -> dict[str, Any]:
    names = {row.name for row in rows}
    return {name: value for name, value in body.items() if name in names} if isinstance(body, Mapping) else {}


def requests(
    manifest: Any, containers: Iterable[Container], flats: Mapping[str, Mapping[str, Any]]
) -> dict[str, Request]:
    """What each container asks of placement, from its canonical options. An expression asks for nothing."""
    default = section(manifest, "policy").get("placement", SPREAD)
    result = {}
    for container in containers:
        flat, choice = flats[container.name], container.placement
        match = choice.get("match")
        result[container.name] = Request(
            name=container.name,
            kind=container.entry,
            ram=flat.get("ram", 0),
            cpus=round(flat.get("cpus", 0) * 100),
            pinned=container.node,
            match=tuple(sorted(texts(match).items())) if isinstance(match, Mapping) else (),
            strategy=choice.get("strategy") or default,
            apart=choice.get("apart"),
            absent=flat.get("state") == "absent",
        )
    return result


def _addresses(
    manifest: Mapping[str, Any],
    containers: Iterable[Container],
    asked: Mapping[str, Request],
    known: Whereabouts,
) -> tuple[dict[str, dict[str, list[str]]], list[Want]]:
    if not any(container.auto for container in containers):
        return {}, []
    networks = section(manifest, "networks")
    found = {name: pools_of(body) for name, body in networks.items()}
    wants: list[Want] = []
    for container in containers:
        if not asked[container.name].absent:
            wants += wanted(container, found)
    by_subnet = {pool.subnet: pool for of_network in found.values() for pool in of_network}
    return pools.assign(wants, by_subnet, fixed(manifest, containers, asked), known.addresses)


def wanted(container: Container, found: Mapping[str, Sequence[Pool]]) -> list[Want]:
    """The addresses that a container asks for: one of each subnet, but for families of which it has a fixed one."""
    result = []
    for interface in container.auto:
        body = container.options["network"][interface]
        has = {units.family(address) for address in body["ip"] if not model.is_deferred(address)}
        result += [
            Want(container.name, interface, body["on"], pool.subnet)
            for pool in found.get(body.get("on"), ())
            if pool.subnet.version not in has
        ]
    return result


def pools_of(network: Mapping[str, Any]) -> list[Pool]:
    """A network's pools, one for each of its subnets. The network is a good one; its expressions have no pools yet."""
    spans = [ranges.parse(text) for text in _written_out(network.get("pool"))]
    result = []
    for text in _written_out(network.get("subnet")):
        subnet: Subnet = ipaddress.ip_network(units.parse_subnet(text))
        inside = [span for span in spans if span.first.version == subnet.version and span.first in subnet]
        result.append(Pool(subnet, inside, _written_out(network.get("gateway"))))
    return result


def _written_out(value: Any) -> list[Any]:
    return [item for item in _listed(value) if not model.is_deferred(item)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def fixed(manifest: Mapping[str, Any], containers: Iterable[Container], asked: Mapping[str, Request]) -> list[str]:
    """The addresses that are somebody's by declaration: of nodes and of containers."""
    result = []
    for node in section(manifest, "nodes").values():
        try:
            result.append(units.parse_address((node or {}).get("ansible_host")))
        except ValueError:
            continue  # a name, an expression, or none
    for container in containers:
        network = container.options.get("network")
        if asked[container.name].absent or not isinstance(network, Mapping):
            continue
        for body in network.values():
            listed = _listed(body.get("ip")) if isinstance(body, Mapping) else ()
            result += [address for address in listed if not model.is_deferred(address)]
    return result


def by_apart(asked: Iterable[Request]) -> dict[str, list[Request]]:
    """The containers of each group that is to be apart."""
    groups: dict[str, list[Request]] = defaultdict(list)
    for request in asked:
        if request.apart is not None and not request.absent:
            groups[request.apart].append(request)
    return groups
