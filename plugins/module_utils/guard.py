# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that keep containers to their own addresses, and each network's firewall. Pure: text for nft(8), no I/O.

The rules never change. What changes is the elements of their sets, whose keys are the node's ends of the pairs.
Ends have fixed names, so that an end is guarded before it is there, and still after a reboot.

The hooks are those of the bridge, of the node's own stack, and of its ARP. The hook of the single card (netdev) would
do for all of these, but packets that pass a shaper for what a container sends (ifb) come back behind it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from . import units

TABLE = "carve"
# The elements of each set, by family and name of the set.
Elements = Mapping[tuple[str, str], frozenset[str]]

_V4, _V6 = "ipv4_addr", "ipv6_addr"
_TARGET = "@th,64,128"  # of a neighbour advertisement (RFC 4861, 4.4); nft has a name for it from 1.0.8 only
_END = "type ifname"
_SOURCES = {
    "guarded": _END,
    "v4": f"{_END} . {_V4}",
    "v6": f"{_END} . {_V6}",
    "nd": f"typeof iifname . {_TARGET}",
}
_SUBNETS = {"apart4": f"{_END} . {_V4}; flags interval", "apart6": f"{_END} . {_V6}; flags interval"}
# To whom the node's own ports are closed, and which are open all the same. By the end that a packet comes by, whatever
# its address says: who is trusted may send from any.
_NODE = {"closed": _END, "open": f"{_END} . inet_proto . inet_service"}
# Of what comes by a bridge the node's own stack does not see the end; so a bit of the packet's mark says it.
_CLOSED = 0x10000000
_IS_CLOSED = f"meta mark & {_CLOSED:#010x} == {_CLOSED:#010x}"
SETS: Mapping[str, Mapping[str, str]] = {
    "bridge": {
        **_SOURCES,
        "mac": f"{_END} . ether_addr",
        "apart": _END,
        **_SUBNETS,
        "gate4": f"{_END} . {_V4}",
        "gate6": f"{_END} . {_V6}",
        **_NODE,
    },
    "inet": {**_SOURCES, **_SUBNETS, **_NODE, "ports": _END},
    "arp": {"guarded": _END, "ports": _END, "v4": f"{_END} . {_V4}"},
}
_HOOKS = {
    "bridge": {"prerouting": "prerouting", "forward": "forward", "input": "input"},
    "inet": {"prerouting": "prerouting", "forward": "forward", "input": "input"},
    "arp": {"input": "input"},
}
_PRIORITY = {"prerouting": -300, "forward": -5, "input": -5}

# Nobody's router, nobody's neighbour but itself. An unspecified source is for what comes before there is an address:
# duplicate address detection (of its own), router solicitation, multicast listening (RFC 4861, 4862, 3810).
_NEIGHBOURS = (
    "icmpv6 type { nd-router-advert, nd-redirect } drop",
    f"icmpv6 type nd-neighbor-advert iifname . {_TARGET} != @nd drop",
)
# Nor what gives addresses to others: whoever asks takes the first answer that he gets, and it names his router.
_LEASES = "udp dport { 68, 546 } drop"
_UNSPECIFIED = (
    f"ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . {_TARGET} @nd return",
    "ip6 saddr :: icmpv6 type { nd-router-solicit, mld-listener-report, mld2-listener-report } return",
)
RULES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "bridge": {
        "prerouting": (
            "iifname @guarded jump own",
            "iifname . ip daddr @gate4 return",
            "iifname . ip6 daddr @gate6 return",
            "iifname . ip daddr @apart4 drop",
            "iifname . ip6 daddr @apart6 drop",
        ),
        "forward": (
            # Whatever it is: ARP and link-local addresses, too.
            "iifname @apart oifname @apart drop",
            # And by an uplink, where link-local addresses tell nobody whose they are: but for finding who is there.
            "iifname . ip6 daddr @gate6 return",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } return",
            "iifname @apart ip6 daddr fe80::/10 drop",
        ),
        # All that goes up to the node. Frames to the addresses that no bridge passes on (IEEE 802.1Q, table 8-1) meet
        # no other of these hooks, and those to :0e (LLDP) not even this one.
        "input": (
            "iifname @guarded ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop",
            f"iifname @closed meta mark set meta mark | {_CLOSED:#010x}",
            f"iifname . meta l4proto . th dport @open meta mark set meta mark & {0xFFFFFFFF ^ _CLOSED:#010x}",
        ),
        "own": (
            "iifname . ether saddr != @mac drop",
            # A tag of VLAN 0 is none to who receives it; with it the type that is read here is another one.
            "ether type != { arp, ip, ip6 } drop",
            "ether type arp iifname . arp saddr ether != @mac drop",
            "ether type arp iifname . arp saddr ip @v4 return",
            # Asking whether an address is free, of its own.
            "ether type arp arp saddr ip 0.0.0.0 iifname . arp daddr ip @v4 return",
            _LEASES,
            "ether type ip iifname . ip saddr @v4 return",
            *_NEIGHBOURS,
            "ether type ip6 iifname . ip6 saddr @v6 return",
            *_UNSPECIFIED,
            "drop",
        ),
    },
    "inet": {
        # A port of a bridge is where a packet comes in for none but those frames that the bridge leaves alone.
        "prerouting": ("iifname @ports drop", "iifname @guarded jump own"),
        "forward": ("iifname . ip daddr @apart4 drop", "iifname . ip6 daddr @apart6 drop"),
        "input": ("iifname @closed jump node", f"{_IS_CLOSED} jump node"),
        "own": (
            "iifname . ip saddr @v4 return",
            *_NEIGHBOURS,
            "iifname . ip6 saddr @v6 return",
            *_UNSPECIFIED,
            "drop",
        ),
        "node": (
            "ct state established,related accept",
            "meta l4proto { 1, 58 } accept",
            "iifname . meta l4proto . th dport @open accept",
            "drop",
        ),
    },
    "arp": {
        "input": ("iifname @ports drop", "iifname @guarded jump own"),
        "own": ("iifname . arp saddr ip @v4 return", "drop"),
    },
}


def comment(rule: str) -> str:
    """What a rule bears, by which it is known again whatever version of nft prints it."""
    return f"carve {hashlib.sha256(rule.encode()).hexdigest()[:12]}"


def skeleton() -> dict[str, list[str]]:
    """What each family's table shows when nobody has meddled with it: its hooks, and the rules by their comments."""
    return {
        family: sorted(
            [f"{chain} {hook} {_PRIORITY[hook]} accept" for chain, hook in _HOOKS[family].items()]
            + [f"{chain} {number} {comment(rule)}" for chain, rules in chains.items()
               for number, rule in enumerate(rules)]
        )
        for family, chains in RULES.items()
    }  # fmt: skip


def tables() -> str:
    """The commands that make tables, sets, chains and rules, whatever of them is there; in one transaction no packet
    ever meets half of them. Elements stay."""
    lines: list[str] = []
    for family, chains in RULES.items():
        lines.append(f"add table {family} {TABLE}")
        lines += [f"add set {family} {TABLE} {name} {{ {kind}; }}" for name, kind in SETS[family].items()]
        for chain in chains:
            hook = _HOOKS[family].get(chain)
            base = f" {{ type filter hook {hook} priority {_PRIORITY[hook]}; policy accept; }}" if hook else ""
            lines += [f"add chain {family} {TABLE} {chain}{base}", f"flush chain {family} {TABLE} {chain}"]
        lines += [
            f'add rule {family} {TABLE} {chain} {rule} comment "{comment(rule)}"'
            for chain, rules in chains.items()
            for rule in rules
        ]
    return "\n".join(lines) + "\n"


def update(add: Elements, remove: Elements) -> str:
    """The commands that add elements and remove others, be they there or not."""
    lines: list[str] = []
    for (family, name), members in sorted(remove.items()):
        if members:
            # Added first: nft takes it for an error to delete what is not there.
            what = f"element {family} {TABLE} {name} {{ {_listed(members)} }}"
            lines += [f"add {what}", f"delete {what}"]
    for (family, name), members in sorted(add.items()):
        if members:
            lines.append(f"add element {family} {TABLE} {name} {{ {_listed(members)} }}")
    return "".join(f"{line}\n" for line in lines)


def _listed(members: Iterable[str]) -> str:
    parts = (member.partition(" ") for member in sorted(members))
    return ", ".join(f'"{end}"{space}{rest}' for end, space, rest in parts)


def elements(ends: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """The elements of one container, by the node's ends of its pairs with the options of each."""
    found: dict[tuple[str, str], set[str]] = {}

    def put(families: Iterable[str], name: str, *parts: str) -> None:
        for family in families:
            if name in SETS[family]:
                found.setdefault((family, name), set()).add(" . ".join(parts))

    # Any of its addresses by any of its interfaces: an answer need not leave by the one that the question came by.
    addresses = sorted({units.bare(address) for options in ends.values() for address in options.get("ip", [])})
    for end, options in ends.items():
        families = ("bridge",) if options.get("mode") == "bridged" else ("inet", "arp")
        if families == ("bridge",):
            put(("inet", "arp"), "ports", end)
        if not options.get("trusted"):
            own = [*addresses, *_of_the_card(options)]
            put(families, "guarded", end)
            put(families, "mac", end, options["mac"])
            for address in own:
                put(families, f"v{units.family(address)}", end, address)
                if units.family(address) == 6:
                    put(families, "nd", end, _hex(address))
        _put_firewall(put, families, end, options)
    return {key: frozenset(members) for key, members in found.items()}


def _put_firewall(put: Any, families: tuple[str, ...], end: str, options: Mapping[str, Any]) -> None:
    rules = options.get("firewall") or {}
    if rules.get("between") == "deny":
        put(families, "apart", end)
        for subnet in rules["subnet"]:
            put(families, f"apart{units.family(subnet)}", end, _subnet(subnet))
        for gateway in rules["gateway"]:
            put(families, f"gate{units.family(gateway)}", end, gateway)
    node = rules.get("node", "allow")
    if node != "allow":
        put(families, "closed", end)
        for port in node if node != "deny" else ():
            proto, _slash, number = port.partition("/")
            put(families, "open", end, units.PROTOCOLS[proto], number)


def of_these(found: Elements, ends: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """Of the elements that a node has, those that speak of these ends."""
    return {key: frozenset(m for m in members if m.partition(" ")[0] in ends) for key, members in found.items()}


def without(elements_: Elements, others: Elements) -> dict[tuple[str, str], frozenset[str]]:
    """The elements that are not among the others."""
    return {key: members - others.get(key, frozenset()) for key, members in elements_.items()}


def about(elements_: Elements, end: str, option: str) -> dict[Any, frozenset[str]]:
    """Of a container's elements, those that one option of one interface is about: C(trusted) or C(firewall)."""
    names = {*_SOURCES, "mac"}
    found = {
        key: frozenset(member for member in members if member.partition(" ")[0] == end)
        for key, members in elements_.items()
        if (key[1] in names) == (option == "trusted")
    }
    return {key: members for key, members in found.items() if members}


def _of_the_card(options: Mapping[str, Any]) -> list[str]:
    """The addresses that follow from the MAC address (RFC 4291, appendix A): link-local, and in the subnets of its own
    that take one (RFC 4862), which a router's advertisement would have the container take."""
    octets = bytes.fromhex(options["mac"].replace(":", ""))
    low = int.from_bytes(bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:], "big")
    subnets = {ipaddress.ip_interface(a).network for a in options.get("ip", []) if a.endswith("/64")}
    high = {int(subnet.network_address) for subnet in subnets if subnet.version == 6}
    return [str(ipaddress.IPv6Address(prefix | low)) for prefix in sorted({0xFE80 << 112, *high})]


def _subnet(subnet: str) -> str:
    """As nft prints it: a subnet of one address is that address."""
    network = ipaddress.ip_network(subnet)
    return units.bare(subnet) if network.num_addresses == 1 else subnet


def _hex(address: str) -> str:
    return f"0x{int(ipaddress.IPv6Address(address)):032x}"
