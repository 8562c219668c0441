# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container pretends to be on the networks that it shares with others."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration.support import NETWORKS, box
from ansible_collections.carve.vps.tests.isolation import wire
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import ADDRESSES, ATTACKER, LAN, VICTIM, Scene

_NA, _NS, _RA, _REDIRECT = 136, 135, 134, 137
_FOREIGN, _ALL_NODES = "02:00:00:00:00:99", "ff02::1"
# The attacker's own addresses, those of a third container, and the gateway's.
_ME, _THIRD, _GATEWAY = LAN[ATTACKER], ("10.213.0.68", "fd00:213::68"), ("10.213.0.1", "fd00:213::1")
BRIDGE = str(NETWORKS["lan"]["bridge"])
_FAR = ("198.18.113.68", "fd00:113::68")


@dataclass(frozen=True)
class Sender:
    card: str
    local: str  # its link-local address


@dataclass(frozen=True)
class End:
    """Who is to be taken in: the card that the frame is sent to, and addresses behind it."""

    whose: str
    card: str
    v4: str
    v6: str


Maker = Callable[[Sender, End, str], bytes]


def _v4(source: str, card: str | None = None, vlan: int | None = None) -> Maker:
    return lambda me, to, tag: wire.frame(card or me.card, to.card, wire.V4, wire.ipv4(source, to.v4, tag), vlan)


def _v6(source: str, card: str | None = None) -> Maker:
    return lambda me, to, tag: wire.frame(card or me.card, to.card, wire.V6, wire.datagram6(source, to.v6, tag))


def _arp(operation: int, address: str, asked: str = "", card: str | None = None) -> Maker:
    """Who answers, or asks, says that an address is at its card."""
    return lambda me, to, tag: wire.frame(
        me.card, to.card, wire.ARP, wire.arp(operation, card or me.card, address, asked or to.v4, tag)
    )


def _icmp6(kind: int, source: str = "", target: str = "", about: str = "", hidden: bool = False) -> Maker:
    """What is left out: its own link-local address, who is to be taken in, and the latter's address."""
    return lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V6,
        wire.icmp6(source or me.local, target or to.v6, kind, about or to.v6, tag, hidden),
    )  # fmt: skip


V4: Mapping[str, Maker] = {
    "from a third": _v4(_THIRD[0]),
    "from outside": _v4("192.0.2.1"),
    "from the gateway": _v4(_GATEWAY[0]),
    "from loopback": _v4("127.0.0.1"),
    "from nobody": _v4("0.0.0.0"),
    "in VLAN 0": _v4(_THIRD[0], vlan=0),
    "in VLAN 7": _v4(_THIRD[0], vlan=7),
}
V6: Mapping[str, Maker] = {
    "from a third": _v6(_THIRD[1]),
    "from outside": _v6("2001:db8::1"),
    "from the link": _v6("fe80::1"),
    "from nobody": _v6("::"),
}
MAC: Mapping[str, Maker] = {
    "v4 of its own": _v4(_ME[0], card=_FOREIGN),
    "v6 of its own": _v6(_ME[1], card=_FOREIGN),
    "v4 of its own in VLAN 7": _v4(_ME[0], vlan=7),
    "another protocol": lambda me, to, tag: wire.frame(me.card, to.card, 0x88B5, tag.encode()),
}
# A bridge learns from this one that the other is elsewhere; so it does not arrive where it was sent, whoever sends it.
THEIR_MAC: Mapping[str, Maker] = {
    "v4 from their card": lambda me, to, tag: wire.frame(to.card, to.card, wire.V4, wire.ipv4(_ME[0], to.v4, tag)),
}
ARP: Mapping[str, Maker] = {
    "a third is here, unasked": _arp(wire.REQUEST, _THIRD[0], _THIRD[0]),
    "a third is here": _arp(wire.REPLY, _THIRD[0]),
    "the gateway is here": _arp(wire.REPLY, _GATEWAY[0]),
    "it is elsewhere itself": _arp(wire.REPLY, _ME[0], card=_FOREIGN),
    "is yours free?": _arp(wire.REQUEST, "0.0.0.0"),
}
NDP: Mapping[str, Maker] = {
    "a third is here": _icmp6(_NA, _ME[1], about=_THIRD[1]),
    "a third says that it is here": _icmp6(_NA, _THIRD[1], about=_THIRD[1]),
    "the gateway is here, all": _icmp6(_NA, target=_ALL_NODES, about=_GATEWAY[1]),
    "a third is here, behind a header": _icmp6(_NA, _ME[1], about=_THIRD[1], hidden=True),
    "a third asks": _icmp6(_NS, _THIRD[1]),
    "is yours free?": _icmp6(_NS, "::", _ALL_NODES),
}
ROUTER: Mapping[str, Maker] = {
    "a router is here, all": _icmp6(_RA, target=_ALL_NODES, about="::"),
    "a router is here": _icmp6(_RA, about="::"),
    "a router is here, behind a header": _icmp6(_RA, target=_ALL_NODES, about="::", hidden=True),
    "the way is by here": _icmp6(_REDIRECT, about=_THIRD[1]),
}
DHCP: Mapping[str, Maker] = {
    "a lease": lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V4,
        wire.ipv4(_ME[0], "255.255.255.255", tag, (67, 68), wire.lease(to.card, _ME[0])),
    ),
    "a lease from another port": lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V4, wire.ipv4(_ME[0], to.v4, tag, (9, 68), wire.lease(to.card, _ME[0]))
    ),
    "a lease of IPv6": lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V6, wire.datagram6(me.local, to.v6, tag, (547, 546), wire.lease6())
    ),
}  # fmt: skip
ROUTED: Mapping[str, Maker] = {
    "v4 from a third": _v4(_FAR[0]),
    "v4 from outside": _v4("192.0.2.1"),
    "v4 in VLAN 0": _v4(_FAR[0], vlan=0),
    "v6 from a third": _v6(_FAR[1]),
    "v6 from outside": _v6("2001:db8::1"),
}
# The last octets of the addresses that no bridge passes on, as IEEE 802.1Q has it (01:80:c2:00:00:0x).
RESERVED = (0x0, 0x2, 0x3, 0xD, 0xE, 0xF)
# What a container may say.
OWN: Mapping[str, Maker] = {
    "ARP, unasked": _arp(wire.REQUEST, _ME[0], _ME[0]),
    "ARP, is its own free?": _arp(wire.REQUEST, "0.0.0.0", _ME[0]),
    "v6": _v6(_ME[1]),
    "v6 on the link": lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V6, wire.datagram6(me.local, to.v6, tag)
    ),
    "it is here": _icmp6(_NA, _ME[1], about=_ME[1]),
    "where are you?": _icmp6(_NS, _ME[1]),
    "is its own free?": _icmp6(_NS, "::", _ALL_NODES, _ME[1]),
    "a question for a lease": lambda me, to, tag: wire.frame(
        me.card, to.card, wire.V4, wire.ipv4(_ME[0], to.v4, tag, (68, 67))
    ),
}  # fmt: skip


def own_card(name: str, interface: str) -> str:
    return str(box(name).record.fields[f"network.{interface}.mac"])


def _bridged(scene: Scene) -> tuple[str, Sender, list[End]]:
    lines = scene.attacker("ip", "-o", "-6", "addr", "show", "dev", "eth1", "scope", "link").split()
    me = Sender(own_card(ATTACKER, "eth1"), lines[3].partition("/")[0])
    node = Path(f"/sys/class/net/{BRIDGE}/address").read_text(encoding="ascii").strip()
    return "eth1", me, [End("neighbour", own_card(VICTIM, "eth1"), *LAN[VICTIM]), End("node", node, *_GATEWAY)]


def _routed(_scene: Scene) -> tuple[str, Sender, list[End]]:
    end = network.host_end(box(ATTACKER), "eth0")
    way = Path(f"/sys/class/net/{end}/address").read_text(encoding="ascii").strip()
    return "eth0", Sender(own_card(ATTACKER, "eth0"), ""), [End("neighbour", way, *ADDRESSES[VICTIM])]


def _listen(scene: Scene, makers: Mapping[str, Maker], routed: bool) -> dict[str, Any]:
    """Frames of each kind for everybody, and everybody listening; and last what all may hear."""
    by, me, ends = _routed(scene) if routed else _bridged(scene)
    mine = ADDRESSES[ATTACKER] if routed else _ME
    made = {f"{name} ({end.whose})": (maker, end) for end in ends for name, maker in makers.items()}
    last = {f"last ({end.whose})": (_v4(mine[0]), end) for end in ends}
    places = {"neighbour": (VICTIM, by), "node": (None, BRIDGE)}
    scene.notes["ears"] = [wire.Ear(*places[end.whose], f"last ({end.whose})", list(made)) for end in ends]
    frames = [maker(me, end, wire.mark(name)) for name, (maker, end) in {**made, **last}.items()]
    return {"by": by, "frames": [frame.hex() for frame in frames]}


def _heard(scene: Scene) -> set[str]:
    return {name for ear in scene.notes["ears"] for name in ear.heard()}


def _close(scene: Scene) -> None:
    for ear in scene.notes.pop("ears", []):
        ear.close()


def _harm(scene: Scene, _report: Report) -> str | None:
    arrived = _heard(scene)
    return f"it arrived: {', '.join(sorted(arrived))}" if arrived else None


def _reserved(scene: Scene) -> dict[str, Any]:
    """Frames to the addresses that no bridge passes on: as from the neighbour's card, and with datagrams for a port of
    the node, from the address of a third. And last one that all may hear."""
    by, me, (neighbour, node) = _bridged(scene)
    everybody = End("neighbour", "ff:ff:ff:ff:ff:ff", neighbour.v4, neighbour.v6)
    # Its own frames say first where the neighbour is.
    scene.victim("ping", "-c1", "-W5", _GATEWAY[0])
    heard = scene.notes["port"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind(("", 0))
    heard.setblocking(False)
    ports = (9, heard.getsockname()[1])
    scene.notes["ears"] = [wire.Ear(VICTIM, by, "last (neighbour)", [])]
    frames = []
    for low in RESERVED:
        target = f"01:80:c2:00:00:{low:02x}"
        frames.append(wire.frame(neighbour.card, target, 0x88B5, b""))
        datagrams = [wire.ipv4(source, node.v4, "reserved", ports) for source in (_THIRD[0], _ME[0])]
        frames += [wire.frame(me.card, target, wire.V4, datagram) for datagram in datagrams]
    frames.append(_v4(_ME[0])(me, everybody, wire.mark("last (neighbour)")))
    return {"by": by, "frames": [frame.hex() for frame in frames]}


def _taken_in(scene: Scene, _report: Report | None = None) -> str | None:
    _heard(scene)
    harm = []
    known = subprocess.run(["bridge", "-j", "fdb", "show", "br", BRIDGE], check=True, capture_output=True).stdout
    card, end = own_card(VICTIM, "eth1"), network.host_end(box(ATTACKER), "eth1")
    if any(entry["mac"] == card and entry["ifname"] == end for entry in json.loads(known)):
        harm.append("the bridge sends the neighbour's frames to the attacker")
    with contextlib.suppress(BlockingIOError):
        scene.notes["port"].recv(100)
        harm.append("the node's port was reached")
    return "; ".join(harm) or None


def _close_port(scene: Scene) -> None:
    _close(scene)
    if "port" in scene.notes:
        scene.notes.pop("port").close()
    # Whatever was learned, the neighbour's own frames tell better.
    scene.victim("ping", "-c1", "-W5", _GATEWAY[0])


def taken_in(scene: Scene) -> str | None:
    """What frames to these addresses do to the neighbour and the node."""
    try:
        scene.python(ATTACKER, SENT.format(wire.SEND), _reserved(scene))
        return _taken_in(scene)
    finally:
        _close_port(scene)


def arriving(scene: Scene, makers: Mapping[str, Maker], routed: bool = False) -> set[str]:
    """Which of these arrive at those for whom they are, all for whom they are."""
    try:
        scene.python(ATTACKER, SENT.format(wire.SEND), _listen(scene, makers, routed))
        heard = _heard(scene)
    finally:
        _close(scene)
    whose = ("neighbour",) if routed else ("neighbour", "node")
    return {name for name in makers if all(f"{name} ({one})" in heard for one in whose)}


# As much of what runs before an attack's lines as these need.
SENT = """import json, socket, sys
given = json.loads(sys.argv[1])
def must(work, *args): return work(*args)
def tell(**facts): pass
{}"""


def _attack(name: str, tried: str, stopped_by: str, *kinds: Mapping[str, Maker], routed: bool = False) -> Attack:
    makers = {name: maker for kind in kinds for name, maker in kind.items()}
    return Attack(
        name=name, tried=tried, stopped_by=stopped_by, code=wire.SEND,
        prepare=lambda scene: _listen(scene, makers, routed), harm=_harm, tidy=_close,
    )  # fmt: skip


_GUARD = "nftables on the node's bridge"
ATTACKS: Sequence[Attack] = [
    _attack(
        "forged IPv4 senders",
        "frames from the addresses of a third, the gateway, others and nobody, in VLAN tags as well",
        f"{_GUARD} (own addresses only)",
        V4,
    ),
    _attack(
        "forged IPv6 senders",
        "frames from the addresses of a third, others, the link and nobody",
        f"{_GUARD} (own addresses only)",
        V6,
    ),
    _attack(
        "forged MAC addresses",
        "frames from a card that is nobody's, from the neighbour's and the node's; another protocol",
        f"{_GUARD} (own MAC address, ARP, IPv4 and IPv6 only)",
        MAC,
        THEIR_MAC,
    ),
    _attack(
        "ARP poisoning",
        "a third and the gateway said to be here, asked and unasked; addresses of others asked for as its own",
        f"{_GUARD} (ARP of its own addresses only)",
        ARP,
    ),
    _attack(
        "NDP poisoning",
        "the same by neighbour advertisements and solicitations, also behind another header",
        f"{_GUARD} (neighbour discovery of its own addresses only)",
        NDP,
    ),
    _attack(
        "a rogue router",
        "router advertisements and redirects, also behind another header",
        f"{_GUARD} (no router advertisements, no redirects)",
        ROUTER,
    ),
    _attack(
        "a rogue DHCP server",
        "leases of IPv4 and IPv6 for the neighbour and the node, from its own address",
        f"{_GUARD} (nothing to UDP ports 68 and 546)",
        DHCP,
    ),
    Attack(
        name="frames that no bridge passes on",
        tried="frames to 01:80:c2:00:00:0x (as of LLDP), from the neighbour's card, and with datagrams for the node",
        stopped_by=f"{_GUARD}, which learns nothing from them (no_linklocal_learn); nothing comes in by a port of it",
        code=wire.SEND,
        prepare=_reserved,
        harm=_taken_in,
        tidy=_close_port,
    ),
    _attack(
        "forged senders on a routed network",
        "IPv4 and IPv6 packets from the addresses of a third and of others, to the neighbour behind the node",
        "nftables in the node's own stack (own addresses only)",
        ROUTED,
        routed=True,
    ),
]
