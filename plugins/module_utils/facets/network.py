# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network interfaces: bridged (a port of a bridge) and routed (OpenVZ's venet: routes on the node, no bridge).

LXC makes the pairs when the container starts; addresses, gateways and the bridge are changed on the running container.
The node's end of a pair is named after the container's uid range and the interface, so it never has to be looked up.

What an interface may send, and to whom, is said by the sets of ``guard.py``; how much, by ``kernel/shaping.py``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .. import guard
from ..desired import address_key
from ..host import Box, Host
from ..kernel import links, namespaces, netlink, nft, shaping, syscalls
from ..record import Record
from ..steps import Change
from ..units import bare, family
from .base import Facet


class Network(Facet):
    name = "network"
    live_rows = (
        "network.mac", "network.mtu", "network.bridge", "network.ip", "network.gateway", "network.rate_in",
        "network.rate_out", "network.trusted", "network.firewall",
    )  # fmt: skip
    # How the node's rules differ from Carve's, as last observed.
    meddled: list[str]

    def __init__(self) -> None:
        self.meddled = []

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        running = [box for box in boxes if box.pid]
        self.meddled = []
        if not running:
            return {}
        outside = {link.name: link for link in netlink.links(proxies=True).values()}
        names = {index: link.name for index, link in netlink.links(routes=False).items()}
        inside = namespaces.inside(lambda: {box.name: _links_of(box) for box in running})
        found = {box.name: _observe(box, inside[box.name], outside, names) for box in running}
        self._observe_guard(running, found)
        _observe_rates(running, found)
        return found

    def _observe_guard(self, boxes: list[Box], found: dict[str, dict[str, Any]]) -> None:
        wanted = {box.name: guard.elements(ends(box)) for box in boxes}
        if not any(ends(box) for box in boxes):
            return
        tables = nft.tables(guard.RULES, guard.TABLE)
        self.meddled = _meddled(tables) if any(wanted.values()) else []
        members = _members(tables)
        for box in boxes:
            for interface in interfaces(box.record.fields):
                if _is_there(interface, found[box.name]):
                    seen = _observe_enclosure(box, interface, members, wanted[box.name], bool(self.meddled))
                    found[box.name].update(seen)

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        lines: list[tuple[str, str]] = []
        for index, (interface, options) in enumerate(interfaces(box.record.fields).items()):
            lines += [(f"lxc.net.{index}.{key}", value) for key, value in _boot_lines(box, interface, options)]
        return lines or [("lxc.net.0.type", "empty")]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        changes = list(changes)
        fields = {**box.record.fields, **{change.field: change.after for change in changes}}
        if not box.pid:
            # Nothing of it is there, unless its end was an unclean one.
            release(box)
            return
        _enclose_anew(box, fields, {change.field.split(".")[2] for change in changes})
        wanted = interfaces(fields)
        for interface in sorted({change.field.split(".")[1] for change in changes}):
            before = interfaces(box.record.fields).get(interface, {})
            _apply(box, interface, before, wanted.get(interface, {}))

    def at_start(self, host: Host, box: Box) -> None:
        limit_rates(box)

    def reapply(self, host: Host, box: Box) -> None:
        """The interfaces are as they were at the first start: what they have beyond the record goes."""
        outside = {link.name: link for link in netlink.links().values()}
        inside = namespaces.inside(lambda: _links_of(box))
        for interface, options in interfaces(box.record.fields).items():
            link, end = inside.get(interface), outside.get(host_end(box, interface))
            if link is not None and end is not None:
                before = {"ip": sorted({*link.addresses, *end.host_routes}), "gateway": link.gateways}
                _apply(box, interface, before, options)

    def after_restore(self, host: Host, box: Box) -> None:
        """Addresses and routes that it has beyond the record are its own, and its connections may be by them."""
        inside = namespaces.inside(lambda: _links_of(box))
        for interface, options in interfaces(box.record.fields).items():
            if interface in inside:
                _give_back(box, inside[interface], options)
                _apply(box, interface, {}, options)


def _give_back(box: Box, link: netlink.Link, options: Mapping[str, Any]) -> None:
    """What LXC gives an interface at a start, where somebody inside has changed it since: its memory has the change."""
    given = {"address": options["mac"], "mtu": options.get("mtu", link.mtu)}
    if given != {"address": link.mac, "mtu": link.mtu}:
        entered = (syscalls.CLONE_NEWNET, f"/proc/{box.pid}/ns/net")
        with contextlib.suppress(OSError):  # where it cannot be, it is a difference, and told as one
            namespaces.inside(lambda: links.set_link(link.name, **given), entered)


def interfaces(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The interfaces of a flat record, each a map of its options, by name."""
    result: dict[str, dict[str, Any]] = {}
    for path in sorted(fields):
        if path.startswith("network."):
            _network, interface, option = path.split(".")
            if fields[path] is not None:
                result.setdefault(interface, {})[option] = fields[path]
    return result


def addresses_of(record: Record) -> set[str]:
    """All addresses that a container was given, without their lengths."""
    return {bare(one) for path, value in record.fields.items() if path.endswith(".ip") for one in value or ()}


def host_end(box: Box, interface: str) -> str:
    """The name of the node's end: at most 15 characters, as a slot has 5 digits and an interface's name 8."""
    return f"v{box.record.slot}-{interface}"


def shaper(box: Box, interface: str) -> str:
    """The name of the link through which is led what the container sends, where that has a rate."""
    return f"i{box.record.slot}-{interface}"


def ends(box: Box, fields: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The node's ends of a container's pairs, with the options of each."""
    found = interfaces(box.record.fields if fields is None else fields)
    return {host_end(box, interface): options for interface, options in found.items()}


def bridged(box: Box) -> dict[str, list[str]]:
    """The addresses of bridged interfaces, whose neighbours have to learn where they are when they come."""
    found = interfaces(box.record.fields)
    return {name: options.get("ip", []) for name, options in found.items() if options["mode"] == "bridged"}


def enclose(box: Box) -> None:
    """Hold a container that is about to start to its own addresses and to its networks' firewalls.

    By this version's rules: those of an earlier one are still there, and nobody looks at them while no container runs.
    """
    commands = guard.update(guard.elements(ends(box)), {})
    if commands:
        nft.run(guard.tables() + commands)
    _teach_bridges([box])


def restore(boxes: Iterable[Box]) -> None:
    """Make the node's rules anew, with all that they have to know of the containers that run."""
    total: dict[tuple[str, str], frozenset[str]] = {}
    boxes = list(boxes)
    for box in boxes:
        for key, members in guard.elements(ends(box)).items() if box.pid else ():
            total[key] = total.get(key, frozenset()) | members
    nft.run(guard.tables() + guard.update(total, {}))
    _teach_bridges(box for box in boxes if box.pid)


def _teach_bridges(boxes: Iterable[Box]) -> None:
    """Those that are not Carve's, and those that an earlier version has made, as well."""
    for bridge in {options.get("bridge") for box in boxes for options in interfaces(box.record.fields).values()}:
        if bridge:
            links.learn_no_reserved(bridge)


def release(box: Box) -> None:
    """Let the node forget the addresses and rates of a container that has ended."""
    for interface in interfaces(box.record.fields):
        _remove(shaper(box, interface))
    with contextlib.suppress(OSError):  # no tables, no elements
        nft.run(guard.update({}, guard.elements(ends(box))))


def cannot() -> dict[str, str]:
    """Why this node cannot hold what, by row."""
    missing = shaping.lacking()
    lacks = {option: ", ".join(m for m in modules if m in missing) for option, modules in shaping.MODULES.items()}
    remedy = "delete it, or boot a kernel that has it"
    return {f"network.{option}": f"this kernel has no {names}; {remedy}" for option, names in lacks.items() if names}


def limit_rates(box: Box) -> None:
    """Put the rates of interfaces that have just been made in place."""
    for interface, options in interfaces(box.record.fields).items():
        _limit(box, interface, {}, options)


def clear(box: Box) -> None:
    """Remove what an end has left on the node that LXC or the kernel did not clear up, or not yet: LXC starts no
    container whose end of a pair is there already."""
    for interface in interfaces(box.record.fields):
        _remove(host_end(box, interface))
        _remove(shaper(box, interface))


def _remove(link: str) -> None:
    if os.path.exists(f"/sys/class/net/{link}"):
        links.remove_link(link)


def complete(box: Box) -> None:
    """Put right what a start by LXC may leave undone.

    LXC lets the node answer for a gateway while the pair has no carrier yet, and now and then the kernel notices
    that only afterwards and forgets the answer again (neigh_carrier_down in net/core/neighbour.c).
    """
    routed = {
        host_end(box, interface): options.get("gateway", [])
        for interface, options in interfaces(box.record.fields).items()
        if options["mode"] == "routed"
    }
    found = {link.name: link.proxied for link in netlink.links(False, proxies=True).values()} if routed else {}
    for end, gateways in routed.items():
        missing = [gateway for gateway in gateways if gateway not in found.get(end, ())]
        if missing:
            links.answer_for(end, missing)


def _boot_lines(box: Box, interface: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = [("type", "veth"), ("name", interface), ("flags", "up"), ("hwaddr", options["mac"])]
    lines.append(("veth.pair", host_end(box, interface)))
    if options["mode"] == "routed":
        lines.append(("veth.mode", "router"))
    else:
        lines.append(("link", options["bridge"]))
    if "mtu" in options:
        lines.append(("mtu", str(options["mtu"])))
    lines += [(f"ipv{family(address)}.address", address) for address in options.get("ip", [])]
    return lines + [(f"ipv{family(gateway)}.gateway", gateway) for gateway in _reachable(options)]


def _reachable(options: Mapping[str, Any]) -> list[str]:
    """The gateways whose family has an address: while one address makes room for another there may be none."""
    families = {family(address) for address in options.get("ip", [])}
    return [gateway for gateway in options.get("gateway", []) if family(gateway) in families]


def _links_of(box: Box) -> dict[str, netlink.Link]:
    try:
        return {link.name: link for link in netlink.links_of(box.pid or 0).values()}
    except OSError:
        # The container ended between being listed and being visited; what is missing shows as a difference.
        return {}


def _observe(
    box: Box, inside: Mapping[str, netlink.Link], outside: Mapping[str, netlink.Link], names: Mapping[int, str]
) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for interface, options in interfaces(box.record.fields).items():
        link, end = inside.get(interface), outside.get(host_end(box, interface))
        if link is None or end is None:
            continue
        addresses, gateways = sorted(link.addresses, key=address_key), sorted(link.gateways, key=family)
        if options["mode"] == "routed":
            # An address that the node has no route to, a gateway that it does not answer for: as good as absent.
            addresses = [address for address in addresses if address in end.host_routes]
            gateways = [gateway for gateway in gateways if gateway in end.proxied]
        else:
            seen[f"network.{interface}.bridge"] = names.get(end.master)
        seen[f"network.{interface}.ip"] = addresses
        seen[f"network.{interface}.gateway"] = gateways
        seen[f"network.{interface}.mac"] = link.mac
        if "mtu" in options:
            seen[f"network.{interface}.mtu"] = link.mtu
    return seen


def _is_there(interface: str, seen: Mapping[str, Any]) -> bool:
    return f"network.{interface}.mac" in seen


def _meddled(tables: Mapping[str, nft.Table]) -> list[str]:
    """How the node's rules differ from Carve's."""
    wanted = guard.skeleton()
    gone = [f"{family} {guard.TABLE} is gone" for family in wanted if family not in tables]
    return gone + [
        f"{family} {guard.TABLE} has other rules"
        for family, table in tables.items()
        if table.skeleton != wanted[family]
    ]


def _observe_enclosure(
    box: Box, interface: str, members: guard.Elements, wanted: guard.Elements, meddled: bool
) -> dict[str, Any]:
    """Where the node's rules themselves are meddled with, all of it is put right at once (``restore``)."""
    options, end = interfaces(box.record.fields)[interface], host_end(box, interface)
    seen: dict[str, Any] = {}
    for option in ("trusted", "firewall"):
        recorded = options.get(option)
        holds = meddled or guard.about(members, end, option) == guard.about(wanted, end, option)
        otherwise = not recorded if option == "trusted" else None
        seen[f"network.{interface}.{option}"] = recorded if holds else otherwise
    return seen


def _observe_rates(boxes: list[Box], found: dict[str, dict[str, Any]]) -> None:
    """The rates of interfaces that have any, or should have."""
    limited = [
        (box, interface, option)
        for box in boxes
        for interface, options in interfaces(box.record.fields).items()
        for option in ("rate_in", "rate_out")
        if option in options
    ]
    if not limited:
        return
    indexes = {link.name: index for index, link in netlink.links(routes=False).items()}
    rates = shaping.root_rates()
    for box, interface, option in limited:
        end = indexes.get(host_end(box, interface), 0)
        through = end if option == "rate_in" else indexes.get(shaper(box, interface), 0)
        led = option == "rate_in" or (end and shaping.led_through(end) == through)
        found[box.name][f"network.{interface}.{option}"] = rates.get(through) if led else None


def _members(tables: Mapping[str, nft.Table]) -> dict[tuple[str, str], frozenset[str]]:
    return {(family, name): members for family, table in tables.items() for name, members in table.sets.items()}


def _put(add: guard.Elements, remove: guard.Elements) -> None:
    commands = guard.update(add, remove)
    try:
        nft.run(commands)
    except OSError:
        # Somebody has removed the tables.
        nft.run(guard.tables() + commands)


def _enclose_anew(box: Box, fields: Mapping[str, Any], options: set[str]) -> None:
    """Let the node know other addresses and rules of a container that runs."""
    before, after = guard.elements(ends(box)), guard.elements(ends(box, fields))
    if options & {"trusted", "firewall"}:
        # These are declared, or somebody has put elements in place by hand: so it counts what is there.
        there = guard.of_these(_members(nft.tables(guard.RULES, guard.TABLE)), {**ends(box), **ends(box, fields)})
        before = {key: before.get(key, frozenset()) | there.get(key, frozenset()) for key in {*before, *there}}
    elif before == after:
        return
    _put(after, guard.without(before, after))


def _limit(box: Box, interface: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    end, mtu = host_end(box, interface), after.get("mtu", 1500)
    if "rate_in" in {**before, **after}:
        shaping.limit_sent(end, after.get("rate_in"), mtu)
    if "rate_out" in {**before, **after}:
        shaping.limit_received(end, shaper(box, interface), after.get("rate_out"), mtu)


def _apply(box: Box, interface: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring a running interface to its options. Everything wanted is put in place, not only what has changed."""
    end = host_end(box, interface)
    routed = after.get("mode") == "routed"
    gone = [address for address in before.get("ip", []) if address not in after.get("ip", [])]
    old_gateways = [gateway for gateway in before.get("gateway", []) if gateway not in after.get("gateway", [])]
    if after.get("bridge"):
        links.learn_no_reserved(after["bridge"])
        links.set_link(end, master=after["bridge"])
    _limit(box, interface, before, after)

    def inside() -> None:
        links.remove_default_routes(interface, old_gateways)
        links.remove_addresses(interface, gone)
        links.set_link(interface, state="up")
        links.add_addresses(interface, after.get("ip", []))
        links.add_default_routes(interface, _reachable(after), on_link=routed)

    if routed:
        links.remove_host_routes(end, gone)
        links.answer_for(end, after.get("gateway", []))
    namespaces.inside(inside, (syscalls.CLONE_NEWNET, f"/proc/{box.pid}/ns/net"))
    if routed:
        links.add_host_routes(end, after.get("ip", []))
