# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a manifest's placement and pools, wherever its containers may be.

Takes any value whatever, as ``meaning`` does, of which this is a part.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

from ..module_utils import model, units
from . import arrange, placement, ranges
from .expand import Container, Report, section, words
from .placement import Node, Request


def check(
    manifest: Any,
    containers: list[Container],
    asked: Mapping[str, Request],
    networks: Mapping[str, Mapping[str, Any]],
    report: Report,
    warn: Report,
) -> None:
    """Tell ``report`` of everything wrong. ``networks`` are canonical."""
    nodes = arrange.nodes(manifest)
    by_name = {node.name: node for node in nodes}
    told: set[tuple[Any, ...]] = set()
    for container in containers:
        request = asked[container.name]
        # What is counted out of one entry is alike.
        key = (request.kind, request.pinned)
        if request.absent or key in told:
            continue
        told.add(key)
        if request.pinned is None:
            _finds_a_node(container, request, nodes, report)
            _counts(container, nodes, warn)
        elif request.pinned in by_name:
            _agrees(container, request, by_name[request.pinned], report)
        for interface in container.auto:
            _auto(container, interface, section(manifest, "networks"), networks, report)
    _apart(containers, asked, by_name, report)
    for name, body in section(manifest, "networks").items():
        if isinstance(body, Mapping) and body.get("pool") is not None:
            _pool(name, body["pool"], networks.get(name, {}), report)


def _finds_a_node(container: Container, request: Request, nodes: list[Node], report: Report) -> None:
    why = placement.impossible(nodes, request) if nodes else None
    if why is None:
        return
    labels = {pair for node in nodes for pair in node.labels.items()}
    for key, value in request.match:
        if (key, value) not in labels:
            values = sorted(has for name, has in labels if name == key)
            names = sorted({name for name, _unused in labels})
            instead = f"write one of {', '.join(values)}" if values else model.nearest(key, names) if names else ""
            text = f"no node has the label {key}: {value}; {instead or 'write labels: below a node'}"
            report(container.source(("placement", "match", key)), text)
            return
    text = f"fits on no node, however empty: {why}; write less, or other labels, or give a node more"
    report(container.layers[0][0], text)


def _counts(container: Container, nodes: list[Node], warn: Report) -> None:
    """An expression is filled in by a task, and placement is over by then."""
    for name in ("ram", "cpus"):
        limited = any(getattr(node, name) is not None for node in nodes)
        if limited and any(model.is_deferred(container.options.get(str(word))) for (word,) in words((name,))):
            warn(container.source((name,)), "is an expression, which counts as nothing when a node is found")


def _agrees(container: Container, request: Request, node: Node, report: Report) -> None:
    own = container.layers[0][1]
    choice = own.get("placement")
    match = choice.get("match") if isinstance(choice, Mapping) else None
    for key, value in request.match:
        # Who names a node may leave what defaults say of labels.
        said = "node" not in own or (isinstance(match, Mapping) and key in match)
        if said and node.labels.get(key) != value:
            text = f"{node.name!r} has no label {key}: {value}; delete it, or write another node"
            report(container.source(("placement", "match", key)), text)


def _apart(containers: list[Container], asked: Mapping[str, Request], nodes: Collection[str], report: Report) -> None:
    by_name = {container.name: container for container in containers}
    hashable = [request for request in asked.values() if isinstance(request.apart, str)]
    for group, members in arrange.by_apart(hashable).items():
        path = ("placement", "apart")
        if nodes and len(members) > len(nodes):
            few = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
            text = f"{len(members)} containers are of group {group!r}, and {few} cannot keep them apart"
            text += "; declare more nodes, or write another group for some"
            report(by_name[members[0].name].source(path), text)
            continue
        on: dict[str, str] = {}
        for member in members:
            other = on.setdefault(member.pinned, member.name) if member.pinned is not None else member.name
            if other != member.name:
                text = f"is apart: {group} as {other!r} is, and both are on {member.pinned!r}; write another node"
                report(by_name[member.name].source(("node",)), text)


def _auto(
    container: Container,
    interface: str,
    declared: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    report: Report,
) -> None:
    body = container.options["network"][interface]
    where = container.source(("network", interface, "ip"))
    on = body.get("on")
    if model.is_deferred(on) or any(model.is_deferred(address) for address in body["ip"]):
        report(where, "auto cannot stand beside expressions; write the network and the other addresses out")
        return
    if not isinstance(on, str) or on not in networks:
        return
    subnets = networks[on].get("subnet")
    if subnets is None:
        if isinstance(declared.get(on), Mapping) and model.is_deferred(declared[on].get("subnet")):
            report(where, f"auto needs the subnet of {on!r}, which is an expression; write it out there")
        return
    try:
        has = {units.family(units.parse_address(address)) for address in body["ip"]}
    except ValueError:
        return  # reported as what it is
    if not {ipaddress.ip_network(subnet).version for subnet in subnets} - has:
        report(where, f"auto finds nothing to add in {on!r}: there are addresses of each family; delete it")


def _pool(name: str, pool: Any, network: Mapping[str, Any], report: Report) -> None:
    found: list[ranges.Range] = []
    subnets = [ipaddress.ip_network(subnet) for subnet in network.get("subnet", ())]
    for text in pool if isinstance(pool, list) else [pool]:
        path = ("networks", name, "pool")
        if not isinstance(text, str):
            continue  # the schema has said so
        if model.is_deferred(text):
            report(path, "is an expression, but is needed before there are any variables; write ranges")
            continue
        try:
            span = ranges.parse(text)
        except ValueError as error:
            report(path, str(error))
            continue
        inside = [s for s in subnets if s.version == span.first.version and span.first in s and span.last in s]
        if subnets and not inside:
            where = ", ".join(map(str, subnets))
            report(path, f"{text} is outside {where}; write a range inside of one of the subnets")
        found.append(span)
    for one, other in combinations(found, 2):
        if one.first.version == other.first.version and one.first <= other.last and other.first <= one.last:  # type: ignore[operator]
            report(("networks", name, "pool"), f"{other.first}-{other.last} overlaps another range; write each once")
