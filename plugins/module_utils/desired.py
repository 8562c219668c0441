# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node should be: the module's options in canonical form.

A container becomes one flat map of option paths to canonical values (``ram``, ``network.eth0.ip``), the form in which
it is recorded on the node and compared. The controller builds the same when it validates a manifest.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import definitions, model, units
from .definitions import Template
from .model import Problem

# OpenVZ's venet in veth's clothes: the gateway is the node's end of the pair, which answers for these by proxy ARP/ND.
ROUTED_GATEWAYS = {4: "169.254.1.1", 6: "fe80::1"}
INTERFACE_NAME = r"[a-z][a-z0-9]{0,7}"


@dataclass(frozen=True)
class Desired:
    """One node's share of a fleet."""

    fleet: str
    containers: Mapping[str, Mapping[str, Any]]
    templates: Mapping[str, Template] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    # Whether containers of this fleet that are not declared are to go.
    prune: bool = True
    # Containers that the fleet has on another node than declared: where they are, or where they should be.
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    # Containers that are neither to be created nor to be destroyed, and why.
    hold: Mapping[str, str] = field(default_factory=dict)
    # The containers that this run is limited to; ``None`` for all.
    only: frozenset[str] | None = None
    # What is asked of the containers once they are as declared (``model.GATE``); ``None`` for nothing.
    gate: Mapping[str, Any] | None = None

    def concerns(self, name: str) -> bool:
        """Whether this run may touch a container."""
        return self.only is None or name in self.only


def build(params: Mapping[str, Any]) -> tuple[Desired, list[Problem]]:
    """The desired state from a module's options, and everything that is wrong with them."""
    problems: list[Problem] = []
    fleet = str(params["fleet"])
    _check(problems, ("fleet",), units.parse_label, fleet)
    templates, found = definitions.parse(params.get("templates") or {})
    problems += found
    networks = networks_of(params.get("networks") or {}, problems)
    containers: dict[str, dict[str, Any]] = {}
    for name, raw in (params.get("containers") or {}).items():
        path = ("containers", str(name))
        _check(problems, path, units.parse_label, name)
        if not isinstance(raw, Mapping):
            problems.append(Problem(path, "is not a map; write its options below it, or {} for the defaults"))
            continue
        containers[str(name)] = container(fleet, str(name), raw, networks, path, problems)
        template = containers[str(name)].get("template")
        if template is not None and template not in (params.get("templates") or {}):
            problems.append(unknown((*path, "template"), template, params.get("templates") or {}))
    allow = params.get("allow") or []
    for word in allow:
        if word not in model.ALLOWABLE:
            problems.append(Problem(("allow",), f"{word!r} is unknown; write any of {', '.join(model.ALLOWABLE)}"))
    only, gate = params.get("only"), params.get("gate")
    if gate is not None:
        gate, found = model.canonical(model.GATE, gate, ("gate",))
        problems += found
    return Desired(
        fleet=fleet,
        containers=containers,
        templates=templates,
        networks=networks,
        allow=frozenset(allow),
        prune=bool(params.get("prune", True)),
        elsewhere={str(name): str(node) for name, node in (params.get("elsewhere") or {}).items()},
        hold={str(name): str(why) for name, why in (params.get("hold") or {}).items()},
        only=None if only is None else frozenset(map(str, only)),
        gate=gate,
    ), problems


def networks_of(raw: Mapping[str, Any], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """Canonical networks by name."""
    result: dict[str, dict[str, Any]] = {}
    for name, body in raw.items():
        path = ("networks", str(name))
        _check(problems, path, units.parse_label, name)
        if not isinstance(body, Mapping):
            problems.append(Problem(path, "is not a map; write mode: and subnet: below it"))
            continue
        found, more = model.canonical(model.NETWORK, body, path)
        problems += more
        bridged = found.get("mode") == "bridged"
        for option in ("bridge", "uplink"):
            _check(problems, (*path, option), _link_name, found.get(option))
            if found.get(option) and found.get("mode") == "routed":
                problems.append(Problem((*path, option), f"a routed network has no {option}; delete it"))
        if bridged and body.get("bridge") is None:
            problems.append(Problem((*path, "bridge"), f"is missing; write the bridge's name, such as br-{name}"[:120]))
        if found.get("mode") == "routed" and found.get("gateway"):
            problems.append(
                Problem((*path, "gateway"), "a routed network needs none, the node itself is the gateway; delete it")
            )
        if found.get("subnet") == []:
            problems.append(Problem((*path, "subnet"), "is empty; write one or more, such as 10.20.0.0/24"))
        for gateway in found.get("gateway", []):
            if found.get("subnet") and prefix(gateway, found["subnet"]) is None:
                where = ", ".join(found["subnet"])
                problems.append(Problem((*path, "gateway"), f"{gateway} is outside {where}; write one inside"))
            elif found.get("subnet") and _is_reserved(gateway, prefix(gateway, found["subnet"]) or 0):
                problems.append(Problem((*path, "gateway"), f"{gateway} is no host's address; write another one"))
        for version in (4, 6):
            if len([g for g in found.get("gateway", []) if units.family(g) == version]) > 1:
                problems.append(Problem((*path, "gateway"), f"has two for IPv{version}; write one of each family"))
        result[str(name)] = found
    return result


def unknown(path: tuple[str, ...], name: str, names: Collection[str], what: str = "template") -> Problem:
    """A reference to something that is not declared."""
    instead = model.nearest(name, list(names)) if names else f"declare it in {what}s:"
    return Problem(path, f"there is no {what} {name!r}; {instead}")


def _link_name(name: str | None) -> None:
    if name is not None and (
        not 0 < len(name.encode()) <= 15 or any(c in name for c in "/ :\t%") or name in (".", "..")
    ):
        raise ValueError(f"{name!r} is no name for a network card; write at most 15 characters, such as br-lan")


# Few subnets, and every address is held against them.
_network = functools.lru_cache(maxsize=1024)(ipaddress.ip_network)


def prefix(address: str, subnets: list[str]) -> int | None:
    """The prefix length of the subnet that holds an address, or ``None``."""
    parsed = ipaddress.ip_address(address)
    for subnet in subnets:
        network = _network(subnet)
        if parsed.version == network.version and parsed in network:
            return network.prefixlen
    return None


def container(
    fleet: str,
    name: str,
    raw: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    path: tuple[str, ...],
    problems: list[Problem],
) -> dict[str, Any]:
    """One container's flat canonical options."""
    flat, found = model.canonical(model.CONTAINER, raw, path)
    problems += found
    interfaces = flat.pop("network", None) or {}
    if not isinstance(interfaces, Mapping):
        problems.append(Problem((*path, "network"), "is not a map; write eth0: {on: NETWORK, ip: ADDRESS} below it"))
        interfaces = {}
    if raw.get("template") is None and raw.get("state") != "absent":
        problems.append(Problem((*path, "template"), "is missing; write one of templates:, or set it in defaults:"))
    flat.setdefault("hostname", name)
    if "search_domains" in flat and raw.get("nameservers") is None:
        problems.append(Problem((*path, "search_domains"), "needs nameservers: beside it; write both or neither"))
    guarantee, ram = flat.get("ram_guarantee"), flat.get("ram")
    if guarantee is not None and ram is not None and guarantee > ram:
        more = f"{units.show_size(guarantee)} is more than ram, {units.show_size(ram)}; write at most that"
        problems.append(Problem((*path, "ram_guarantee"), more))
    if not flat.get("live_migration") and not model.is_deferred(raw.get("live_migration")):
        lacking = "needs live_migration: true of the container; write both or neither"
        problems += [
            Problem((*path, "snapshots", schedule, "memory"), lacking)
            for schedule, options in (flat.get("snapshots") or {}).items()
            if options.get("memory")
        ]
    gateways: set[int] = set()
    for interface in sorted(interfaces, key=str):
        flat.update(_interface(fleet, name, str(interface), interfaces[interface], networks, gateways, path, problems))
    return flat


def _interface(
    fleet: str,
    name: str,
    interface: str,
    raw: Any,
    networks: Mapping[str, Mapping[str, Any]],
    gateways: set[int],
    path: tuple[str, ...],
    problems: list[Problem],
) -> dict[str, Any]:
    """One interface with its network's share resolved. ``gateways`` collects the families that have a default route:
    the first interface by name whose network has a gateway gives it, as two default routes would only fight."""
    import re

    here = (*path, "network", interface)
    if not re.fullmatch(INTERFACE_NAME, interface) or interface == "lo":
        problems.append(Problem(here, f"{interface!r} cannot be an interface's name; write one such as eth0"))
        return {}
    if not isinstance(raw, Mapping):
        problems.append(Problem(here, "is not a map; write {on: NETWORK, ip: ADDRESS}"))
        return {}
    # YAML 1.1, and so every playbook, takes an unquoted `on` for the truth value; JSON makes text of that again.
    raw = {"on" if str(key).lower() == "true" else key: value for key, value in raw.items()}
    found, more = model.canonical(model.INTERFACE, raw, here)
    problems += more
    if "on" not in found:
        return {}
    network = networks.get(found["on"])
    if network is None:
        problems.append(unknown((*here, "on"), found["on"], networks, "network"))
        return {}
    routed = network.get("mode") == "routed"
    addresses = []
    for address in found.get("ip", []):
        if "subnet" not in network:  # wrong, or an expression: nothing can be said of the address yet
            continue
        length = prefix(address, network["subnet"])
        if length is None:
            where = ", ".join(network["subnet"])
            outside = f"{address} is outside {where} of {found['on']!r}; write one inside"
            problems.append(Problem((*here, "ip"), outside))
        elif address in network.get("gateway", []):
            problems.append(Problem((*here, "ip"), f"{address} is the gateway of {found['on']!r}; write another one"))
        elif not routed and _is_reserved(address, length):
            problems.append(Problem((*here, "ip"), f"{address} is no host's address in its subnet; write another one"))
        else:
            addresses.append(f"{address}/{(32 if units.family(address) == 4 else 128) if routed else length}")
    families = {units.family(address) for address in addresses}
    offered = [ROUTED_GATEWAYS[v] for v in sorted(families)] if routed else network.get("gateway", [])
    gateway = [g for g in offered if units.family(g) in families - gateways]
    gateways.update(units.family(g) for g in gateway)
    result: dict[str, Any] = {
        "mode": network.get("mode"),
        "mac": found.get("mac") or mac(fleet, name, interface),
        "ip": sorted(addresses, key=address_key),
        "gateway": sorted(gateway, key=units.family),
    }
    if not routed:
        result["bridge"] = network.get("bridge")
    if "mtu" in network:
        result["mtu"] = network["mtu"]
    result |= {option: found[option] for option in ("rate_in", "rate_out", "trusted") if option in found}
    if "firewall" in network:
        result["firewall"] = _firewall(network)
    return {f"network.{interface}.{option}": value for option, value in result.items()}


def _firewall(network: Mapping[str, Any]) -> dict[str, Any]:
    """A network's rules, with all that the node has to know of the network to hold a container to them."""
    rules = dict(network["firewall"])
    if rules["between"] == "deny":
        gateways = network.get("gateway", []) if network.get("mode") == "bridged" else []
        rules |= {"subnet": network.get("subnet", []), "gateway": gateways}
    return rules


def address_key(address: str) -> tuple[int, int]:
    """Sort key: IPv4 first, then by number."""
    parsed = ipaddress.ip_interface(address)
    return parsed.version, int(parsed)


def _is_reserved(address: str, length: int) -> bool:
    network = ipaddress.ip_interface(f"{address}/{length}").network
    if network.version == 6 or length >= 31:
        return False
    return address in (str(network.network_address), str(network.broadcast_address))


def mac(fleet: str, container_name: str, interface: str) -> str:
    """A locally administered unicast address (IEEE 802c) that is the same on every run and every node."""
    digest = hashlib.sha256(f"{fleet}/{container_name}/{interface}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))


def _check(problems: list[Problem], path: tuple[str, ...], parse: Any, value: Any) -> None:
    try:
        parse(value)
    except ValueError as error:
        problems.append(Problem(path, str(error)))
