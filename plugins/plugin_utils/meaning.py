# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a manifest make sense? Values, references, and what no two may share.

Takes any value whatever, and passes over what the schema has found wrong already. Options are read by the code that
reads them on the node, so that what is refused there is refused here first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from ..module_utils import definitions, desired, kinds, model, slots, units
from ..module_utils.model import Problem
from . import arrange, placing, schema
from .expand import Container, Report, section
from .lines import Path
from .placement import Request

# Groups that every inventory has, and the host that every controller is.
_RESERVED = ("all", "ungrouped", "localhost")


def check(manifest: Any, containers: list[Container], report: Report, warn: Report) -> dict[str, Request]:
    """Tell ``report`` of everything wrong and ``warn`` of everything doubtful; what containers ask of placement."""
    problems: list[Problem] = []
    _sections(manifest, problems)
    networks = desired.networks_of(_for_nodes(section(manifest, "networks")), problems)
    _networks(networks, problems)
    _unused, found = definitions.parse(section(manifest, "templates"))
    problems += found
    for problem in problems:
        report(problem.path, problem.message)
    flats = _containers(manifest, containers, networks, report)
    asked = arrange.requests(manifest, containers, flats)
    placing.check(manifest, containers, asked, networks, report, warn)
    _names(manifest, containers, report)
    _rollout_order(manifest, containers, warn)
    _shared_ids(containers, report, warn)
    _shared_addresses(manifest, containers, flats, report)
    overcommit = section(manifest, "policy").get("overcommit", True) is not False
    _promises(manifest, containers, flats, overcommit, warn if overcommit else report)
    _guarantees(manifest, containers, flats, report)
    return asked


def _for_nodes(networks: Mapping[str, Any]) -> dict[str, Any]:
    """Networks without what only the manifest says of them."""
    return {
        name: {key: value for key, value in body.items() if key != schema.POOL.name}
        if isinstance(body, Mapping)
        else body
        for name, body in networks.items()
    }


def _sections(manifest: Any, problems: list[Problem]) -> None:
    """What stands by itself, used or not."""
    fleet = manifest.get("fleet") if isinstance(manifest, Mapping) else None
    if isinstance(fleet, str):
        _parse(units.parse_label, fleet, ("fleet",), problems)
    for name, body in section(manifest, "flavors").items():
        _parse(units.parse_label, name, ("flavors", name), problems)
        _options(model.CONTAINER, body, ("flavors", name), problems)
    _options(model.CONTAINER, section(manifest, "defaults"), ("defaults",), problems)
    rollout = section(section(manifest, "policy"), "rollout")
    _options(schema.ROLLOUT, rollout, ("policy", "rollout"), problems)
    _options(model.GATE, section(rollout, "gate"), ("policy", "rollout", "gate"), problems)
    for name, body in section(manifest, "nodes").items():
        _parse(units.parse_label, name, ("nodes", name), problems)
        capacity = body.get("capacity") if isinstance(body, Mapping) else None
        _options(schema.CAPACITY, capacity, ("nodes", name, "capacity"), problems)
        overcommit = body.get("overcommit") if isinstance(body, Mapping) else None
        _options(schema.OVERCOMMIT, overcommit, ("nodes", name, "overcommit"), problems)
    for name in section(manifest, "containers"):
        _parse(units.parse_label, name, ("containers", name), problems)


def _parse(parse: Any, value: Any, path: Path, problems: list[Problem]) -> None:
    try:
        parse(value)
    except ValueError as error:
        problems.append(Problem(path, str(error)))


def _options(rows: tuple[kinds.Field, ...], body: Any, path: Path, problems: list[Problem]) -> dict[str, Any]:
    """Read options, unknown ones left to the schema."""
    names = {row.name for row in rows}
    known = {name: value for name, value in body.items() if name in names} if isinstance(body, Mapping) else {}
    found, more = model.canonical(rows, known, path)
    problems += more
    return found


def _networks(networks: Mapping[str, Mapping[str, Any]], problems: list[Problem]) -> None:
    links: dict[str, str] = {}
    subnets: list[tuple[Any, str]] = []
    for name, network in networks.items():
        for option in ("bridge", "uplink"):
            link = network.get(option)
            if link in links:
                text = f"{link!r} belongs to {links[link]!r} already; write another one"
                problems.append(Problem(("networks", name, option), text))
            elif link is not None:
                links[link] = name
        subnets += [(ipaddress.ip_network(subnet), name) for subnet in network.get("subnet", ())]
    for (one, first), (other, second) in combinations(subnets, 2):
        if one.version == other.version and one.overlaps(other):
            whose = f"of {first!r}" if first != second else "beside it"
            text = f"{other} overlaps {one} {whose}; write one apart from it"
            problems.append(Problem(("networks", second, "subnet"), text))


def _containers(
    manifest: Any, containers: list[Container], networks: Mapping[str, Any], report: Report
) -> dict[str, dict[str, Any]]:
    """The canonical options of every container, as the node will see them."""
    fleet = str(manifest.get("fleet")) if isinstance(manifest, Mapping) else ""
    # A network that is not even a map is the schema's business; what is on it can only be left alone.
    broken = isinstance(manifest, Mapping) and not isinstance(manifest.get("networks", {}), (Mapping, type(None)))
    declared = {**{name: {} for name in section(manifest, "networks")}, **networks}
    templates = section(manifest, "templates")
    flats: dict[str, dict[str, Any]] = {}
    for container in containers:
        problems: list[Problem] = []
        options = container.options
        if broken or not isinstance(options.get("network"), Mapping):
            options = {name: value for name, value in options.items() if name != "network"}
        flat = desired.container(fleet, container.name, options, declared, (), problems)
        template = flat.get("template")
        if template is not None and template not in templates:
            problems.append(desired.unknown(("template",), template, templates))
        for path, message in problems:
            report(container.source(path), message)
        flats[container.name] = flat
    return flats


def _names(manifest: Any, containers: list[Container], report: Report) -> None:
    nodes = section(manifest, "nodes")
    for container in containers:
        path = ("containers", container.entry)
        if container.name in nodes:
            report(path, f"{container.name!r} is a node's name, and both are hosts of one inventory; rename one")
        elif container.name in _RESERVED:
            report(path, f"{container.name!r} has a meaning of its own in every inventory; write another name")
        elif len(container.name) > 63 >= len(container.entry):
            report(path, f"{container.name!r} has more than 63 characters; write a shorter name")
    for name in nodes:
        if name in _RESERVED[:2]:
            report(("nodes", name), f"{name!r} has a meaning of its own in every inventory; write another name")


def _rollout_order(manifest: Any, containers: list[Container], warn: Report) -> None:
    """An order by a label that nothing has is a slip of the pen, or what the last one that had it has left."""
    bodies = [body for body in section(manifest, "nodes").values() if isinstance(body, Mapping)]
    known = {str(key) for body in bodies for key in section(body, "labels")}
    known |= {str(key) for container in containers for key in container.labels}
    wanted = section(section(manifest, "policy"), "rollout").get("order")
    listed = wanted if isinstance(wanted, list) else [wanted]
    for label in listed:
        if isinstance(label, str) and label.strip() not in known:
            instead = model.nearest(label, sorted(known)) if known else "write labels: of nodes or containers first"
            warn(("policy", "rollout", "order"), f"nothing has a label {label!r}; {instead}")


def _shared_ids(containers: list[Container], report: Report, warn: Report) -> None:
    if len(containers) > slots.COUNT:
        many = f"are {len(containers)}, and there are {slots.COUNT} ranges of user ids"
        warn(("containers",), f"{many}: each is used once on a node, and again on others; who moves may get another")
    owners: dict[int, Container] = {}
    for container in containers:
        slot = container.options.get("id")
        if isinstance(slot, bool) or not isinstance(slot, int):
            continue
        other = owners.setdefault(slot, container)
        if other is not container and other.entry != container.entry:
            report(container.source(("id",)), f"{slot} belongs to {other.name!r} already; write another one, or none")


def _shared_addresses(
    manifest: Any, containers: list[Container], flats: Mapping[str, Mapping[str, Any]], report: Report
) -> None:
    # Of each address: the entry in ``containers`` that has it first, and in words who that is.
    owners: dict[str, tuple[str, str]] = {}
    for name, node in section(manifest, "nodes").items():
        host = node.get("ansible_host") if isinstance(node, Mapping) else None
        try:
            owners[units.parse_address(host)] = ("", f"the node {name!r}")
        except ValueError:
            continue  # a name, an expression, or none
    for container in containers:
        for path, value in flats[container.name].items():
            parts = tuple(path.split("."))
            if parts[0] != "network" or parts[-1] not in ("ip", "mac"):
                continue
            for item in [value] if parts[-1] == "mac" else value:
                what = item.split("/")[0]
                own = (container.entry, f"{container.name!r} on {parts[1]}")
                owner = owners.setdefault(what, own)
                # That a counted container cannot have one MAC is said already.
                if owner != own and not (parts[-1] == "mac" and owner[0] == container.entry):
                    report(container.source(parts), f"{what} belongs to {owner[1]} already; write another one")


def _promises(
    manifest: Any,
    containers: list[Container],
    flats: Mapping[str, Mapping[str, Any]],
    overcommit: bool,
    report: Report,
) -> None:
    """Capacity against the sum of what a node's containers may use; swap is not counted, as it is not memory."""
    show = {row.name: kinds.KINDS[row.kind].show for row in schema.CAPACITY}
    by_node: dict[str | None, list[Container]] = {}
    for container in containers:
        if flats[container.name].get("state") != "absent":
            by_node.setdefault(container.node, []).append(container)
    limited = False
    for node, body in section(manifest, "nodes").items():
        capacity = arrange.promisable(body) if isinstance(body, Mapping) else {}
        limited = limited or "ram" in capacity
        here = by_node.get(node, [])
        for name, limit in capacity.items():
            shares = sorted(((flats[c.name].get(name, 0), c.name) for c in here), key=lambda s: (-s[0], s[1]))
            promised = sum(share for share, _unused in shares)
            if promised > limit:
                largest = ", ".join(f"{owner} {show[name](share)}" for share, owner in shares[:3])
                more = f" and {len(shares) - 3} more" if len(shares) > 3 else ""
                text = f"{show[name](limit)} is less than the {show[name](promised)} promised ({largest}{more})"
                instead = "" if overcommit else ", or write overcommit: true below policy:"
                report(("nodes", node, "capacity", name), f"{text}; promise less, or move some elsewhere{instead}")
        if "ram" in capacity and not overcommit:
            _need_ram(here, f"of {node!r}", report)
    if limited and not overcommit:
        _need_ram(by_node.get(None, []), "of its node", report)


def _guarantees(
    manifest: Any, containers: list[Container], flats: Mapping[str, Mapping[str, Any]], report: Report
) -> None:
    """What is guaranteed must be there, whatever may be promised beyond that."""
    guaranteed: dict[str | None, int] = {}
    for container in containers:
        if flats[container.name].get("state") != "absent":
            own = flats[container.name].get("ram_guarantee", 0)
            guaranteed[container.node] = guaranteed.get(container.node, 0) + own
    for node, body in section(manifest, "nodes").items():
        capacity = body.get("capacity") if isinstance(body, Mapping) else None
        limit = _options(schema.CAPACITY, capacity, (), []).get("ram")
        total = guaranteed.get(node, 0)
        if limit is not None and total > limit:
            text = f"{units.show_size(limit)} is less than the {units.show_size(total)} guaranteed to its containers"
            report(("nodes", node, "capacity", "ram"), f"{text}; write smaller ram_guarantee, or move some elsewhere")


def _need_ram(containers: list[Container], whose: str, report: Report) -> None:
    for container in containers:
        if container.options.get("ram") is None:
            reason = f"without it the container may use all {whose}, and overcommit is false"
            report(container.source(("ram",)), f"is missing; write ram: 512M or so, for {reason}")
