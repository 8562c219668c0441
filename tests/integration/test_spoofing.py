# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root of one container forges what it sends: none of it arrives at a neighbour, by whatever network they are joined.

Where the interface is trusted the very same frames arrive, all of them: the tests can fail.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration import wire
from ansible_collections.carve.vps.tests.integration.support import Fleet, booted, box, inside, pings, start_time

NA, NS, RA, REDIRECT = 136, 135, 134, 137
FOREIGN, EVERYBODY = "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"
ALL_NODES = "ff02::1"


def card(name: str) -> str:
    return str(box(name).record.fields["network.eth0.mac"])


def link_local(name: str) -> str:
    lines = inside(name, "ip", "-o", "-6", "addr", "show", "dev", "eth0", "scope", "link").split()
    return lines[3].partition("/")[0]


def bridged(mine: str, theirs: str, local: str) -> dict[str, bytes]:
    """Frames of the container .5 for its neighbour .6: each but the last pretends something. .7 is a third one."""
    one, two, third = ("10.213.0.5", "fd00:213::5"), ("10.213.0.6", "fd00:213::6"), ("10.213.0.7", "fd00:213::7")
    gateway = ("10.213.0.1", "fd00:213::1")

    def v4(source: str, tag: str, card_: str = mine, vlan: int | None = None) -> bytes:
        return wire.frame(card_, theirs, wire.V4, wire.ipv4(source, two[0], tag), vlan)

    def v6(body: bytes, card_: str = mine) -> bytes:
        return wire.frame(card_, theirs, wire.V6, body)

    def arp(operation: int, card_: str, address: str, asked: str, tag: str) -> bytes:
        return wire.frame(mine, theirs, wire.ARP, wire.arp(operation, card_, address, asked, tag))

    made: dict[str, Callable[[str], bytes]] = {
        "v4 third": lambda t: v4(third[0], t),
        "v4 outside": lambda t: v4("192.0.2.1", t),
        "v4 gateway": lambda t: v4(gateway[0], t),
        "v4 loop": lambda t: v4("127.0.0.1", t),
        "v4 none": lambda t: v4("0.0.0.0", t),
        "v4 tag 0": lambda t: v4(third[0], t, vlan=0),
        "v4 tag 7": lambda t: v4(third[0], t, vlan=7),
        "own v4 in tag": lambda t: v4(one[0], t, vlan=7),
        "v4 MAC": lambda t: v4(one[0], t, FOREIGN),
        "v6 third": lambda t: v6(wire.datagram6(third[1], two[1], t)),
        "v6 outside": lambda t: v6(wire.datagram6("2001:db8::1", two[1], t)),
        "v6 local": lambda t: v6(wire.datagram6("fe80::1", two[1], t)),
        "v6 none": lambda t: v6(wire.datagram6("::", two[1], t)),
        "v6 MAC": lambda t: v6(wire.datagram6(one[1], two[1], t), FOREIGN),
        "ARP gratuitous": lambda t: arp(wire.REQUEST, mine, third[0], third[0], t),
        "ARP gateway": lambda t: arp(wire.REPLY, mine, gateway[0], two[0], t),
        "ARP reply": lambda t: arp(wire.REPLY, mine, third[0], two[0], t),
        "ARP sender": lambda t: arp(wire.REPLY, FOREIGN, one[0], two[0], t),
        "ARP probe": lambda t: arp(wire.REQUEST, mine, "0.0.0.0", two[0], t),
        "NA third": lambda t: v6(wire.icmp6(one[1], two[1], NA, third[1], t)),
        "NA gateway": lambda t: v6(wire.icmp6(local, ALL_NODES, NA, gateway[1], t)),
        "NA as third": lambda t: v6(wire.icmp6(third[1], two[1], NA, third[1], t)),
        "NA hidden": lambda t: v6(wire.icmp6(one[1], two[1], NA, third[1], t, hidden=True)),
        "NS as third": lambda t: v6(wire.icmp6(third[1], two[1], NS, two[1], t)),
        "DAD of theirs": lambda t: v6(wire.icmp6("::", ALL_NODES, NS, two[1], t)),
        "RA": lambda t: v6(wire.icmp6(local, ALL_NODES, RA, "::", t)),
        "redirect": lambda t: v6(wire.icmp6(local, two[1], REDIRECT, third[1], t)),
        "other protocol": lambda t: wire.frame(mine, theirs, 0x88B5, t.encode()),
        # A bridge learns from this one that the neighbour is elsewhere.
        "v4 their MAC": lambda t: v4(one[0], t, theirs),
        wire.LAST: lambda t: wire.frame(mine, EVERYBODY, wire.V4, wire.ipv4(one[0], two[0], t)),
    }  # fmt: skip
    return {name: build(wire.mark(name)) for name, build in made.items()}


def own(mine: str, theirs: str, local: str) -> dict[str, bytes]:
    """What the container may send."""
    one, two = ("10.213.0.5", "fd00:213::5"), ("10.213.0.6", "fd00:213::6")
    made: dict[str, Callable[[str], tuple[int, bytes]]] = {
        "ARP gratuitous": lambda t: (wire.ARP, wire.arp(wire.REQUEST, mine, one[0], one[0], t)),
        "ARP probe": lambda t: (wire.ARP, wire.arp(wire.REQUEST, mine, "0.0.0.0", one[0], t)),
        "v6": lambda t: (wire.V6, wire.datagram6(one[1], two[1], t)),
        "v6 local": lambda t: (wire.V6, wire.datagram6(local, two[1], t)),
        "NA": lambda t: (wire.V6, wire.icmp6(one[1], two[1], NA, one[1], t)),
        "NA local": lambda t: (wire.V6, wire.icmp6(local, two[1], NA, local, t)),
        "NS": lambda t: (wire.V6, wire.icmp6(one[1], two[1], NS, two[1], t)),
        "DAD": lambda t: (wire.V6, wire.icmp6("::", ALL_NODES, NS, one[1], t)),
        wire.LAST: lambda t: (wire.V4, wire.ipv4(one[0], two[0], t)),
    }
    return {name: wire.frame(mine, theirs, *build(wire.mark(name))) for name, build in made.items()}


def routed(mine: str, node: str) -> dict[str, bytes]:
    """The same for a neighbour behind the node."""
    two = ("198.18.113.6", "fd00:113::6")
    made: dict[str, Callable[[str], bytes]] = {
        "v4 third": lambda t: wire.frame(mine, node, wire.V4, wire.ipv4("198.18.113.7", two[0], t)),
        "v4 outside": lambda t: wire.frame(mine, node, wire.V4, wire.ipv4("192.0.2.1", two[0], t)),
        "v4 tag 0": lambda t: wire.frame(mine, node, wire.V4, wire.ipv4("198.18.113.7", two[0], t), vlan=0),
        "v6 third": lambda t: wire.frame(mine, node, wire.V6, wire.datagram6("fd00:113::7", two[1], t)),
        "v6 outside": lambda t: wire.frame(mine, node, wire.V6, wire.datagram6("2001:db8::1", two[1], t)),
        wire.LAST: lambda t: wire.frame(mine, node, wire.V4, wire.ipv4("198.18.113.5", two[0], t)),
    }
    return {name: build(wire.mark(name)) for name, build in made.items()}


def test_nothing_forged_arrives_on_a_bridged_network(fleet: Fleet) -> None:
    def declare(**options: object) -> None:
        eth0 = {"on": "lan", "ip": ["10.213.0.5", "fd00:213::5"], **options}
        fleet.declare("t-one", network={"eth0": eth0})
        fleet.apply()

    fleet.declare("t-two", network={"eth0": {"on": "lan", "ip": ["10.213.0.6", "fd00:213::6"]}})
    declare()
    for name in ("t-one", "t-two"):
        booted(name)
    born = start_time("t-one")
    pings("t-one", "10.213.0.6")
    pings("t-one", "fd00:213::6")
    mine, theirs, local = card("t-one"), card("t-two"), link_local("t-one")
    forged, honest = bridged(mine, theirs, local), own(mine, theirs, local)
    assert wire.arriving("t-one", "t-two", honest) == set(honest) - {wire.LAST}
    assert wire.arriving("t-one", "t-two", forged) == set()
    # What passes a shaper for what is sent comes back behind some of the kernel's hooks.
    declare(rate_out="1gbit")
    assert wire.arriving("t-one", "t-two", forged) == set()
    declare(trusted=True)
    assert wire.arriving("t-one", "t-two", forged) == set(forged) - {wire.LAST, "v4 their MAC"}
    declare(trusted=True, rate_out="1gbit")
    declare()
    assert wire.arriving("t-one", "t-two", forged) == set()
    assert start_time("t-one") == born


def test_nothing_forged_arrives_on_a_routed_network(fleet: Fleet) -> None:
    def declare(**options: object) -> None:
        eth0 = {"on": "public", "ip": ["198.18.113.5", "fd00:113::5"], **options}
        fleet.declare("t-one", network={"eth0": eth0})
        fleet.apply()

    fleet.declare("t-two", network={"eth0": {"on": "public", "ip": ["198.18.113.6", "fd00:113::6"]}})
    declare()
    for name in ("t-one", "t-two"):
        booted(name)
    pings("t-one", "198.18.113.6")
    pings("t-one", "fd00:113::6")
    end = network.host_end(box("t-one"), "eth0")
    forged = routed(card("t-one"), Path(f"/sys/class/net/{end}/address").read_text(encoding="ascii").strip())
    assert wire.arriving("t-one", "t-two", forged) == set()
    declare(rate_out="1gbit")
    assert wire.arriving("t-one", "t-two", forged) == set()
    declare(trusted=True)
    assert wire.arriving("t-one", "t-two", forged) == set(forged) - {wire.LAST}
    declare()
    assert wire.arriving("t-one", "t-two", forged) == set()
