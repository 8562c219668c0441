# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frames of every kind, as root of a container can send them, and who hears them.

Each frame bears a mark. The last one is what the sender may send; whoever has heard that has heard all that will come.
"""

from __future__ import annotations

import ipaddress
import json
import struct
import subprocess
from collections.abc import Collection

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import patience

ARP, V4, V6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
_UDP, _ICMP6, _HOP_BY_HOP = 17, 58, 0
REQUEST, REPLY = 1, 2
_NOWHERE = (9, 9)  # ports that nobody listens on

# Goes through what was given to it as ``frames``, by the interface ``by``.
SEND = """
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((given["by"], 0))
    for frame in given["frames"]:
        must(out.send, bytes.fromhex(frame))
tell(sent=len(given["frames"]))
"""
_LISTEN = """
import json, socket, sys
interface, seconds, last, *marks = sys.argv[1:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as heard:
    heard.bind((interface, 3))
    heard.settimeout(float(seconds))
    print("listening", flush=True)
    found = []
    while last not in found:
        frame = heard.recv(2000)
        found += [mark for mark in (last, *marks) if mark.encode() in frame and mark not in found]
print(json.dumps(found))
"""


class Ear:
    """Listens at an interface of a container, or of the node, until the last frame has come."""

    def __init__(self, container: str | None, interface: str, last: str, others: Collection[str]) -> None:
        self._last, self._others = last, others
        at = ["lxc-attach", "-P", Paths().containers, "-n", container, "--clear-env", "--"] if container else []
        marks = [mark(name) for name in (last, *others)]
        self._process = subprocess.Popen(
            [*at, "/usr/bin/python3", "-c", _LISTEN, interface, str(30 * patience()), *marks],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def heard(self) -> set[str]:
        """The names of the frames that came, without the last one's: if that did not come, nothing is known."""
        output, errors = self._process.communicate()
        assert self._process.returncode == 0, f"nothing more arrived, not even the last one: {errors.decode()}"
        found = json.loads(output)
        return {name for name in self._others if mark(name) in found}

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def mark(name: str) -> str:
    """A tag that is no part of another one."""
    return f"<{name}>"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(source: str, target: str, kind: int, body: bytes, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else struct.pack(">HH", VLAN, vlan)
    return (mac(target) + mac(source) + tag + struct.pack(">H", kind) + body).ljust(60, b"\0")


def arp(operation: int, card: str, address: str, asked: str, tag: str) -> bytes:
    sender = mac(card) + ipaddress.IPv4Address(address).packed
    target = bytes(6) + ipaddress.IPv4Address(asked).packed
    return struct.pack(">HHBBH", 1, V4, 6, 4, operation) + sender + target + tag.encode()


def ipv4(source: str, target: str, tag: str, ports: tuple[int, int] = _NOWHERE, body: bytes = b"") -> bytes:
    """A datagram, the tag behind its body."""
    content = struct.pack(">HHHH", *ports, 8 + len(body) + len(tag), 0) + body + tag.encode()
    addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(target).packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, _UDP, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + content


def ipv6(source: str, target: str, content: bytes, following: int = _UDP) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(target).packed
    return struct.pack(">IHBB", 6 << 28, len(content), following, 255) + addresses + content


def datagram6(source: str, target: str, tag: str, ports: tuple[int, int] = _NOWHERE, body: bytes = b"") -> bytes:
    head = struct.pack(">HHHH", *ports, 8 + len(body) + len(tag), 0)
    return ipv6(source, target, head + body + tag.encode())


def lease(card: str, router: str) -> bytes:
    """What a DHCP server offers who asks (RFC 2131): an address, and a router."""
    address = ipaddress.IPv4Address(router).packed
    head = struct.pack(">BBBBIHH", 2, 1, 6, 0, 0x0CA57E, 0, 0x8000) + bytes(4) + address * 2 + bytes(4)
    options = bytes((53, 1, 2, 54, 4)) + address + bytes((3, 4)) + address + bytes((255,))
    return head + mac(card).ljust(16, b"\0") + bytes(192) + bytes.fromhex("63825363") + options


def lease6() -> bytes:
    """The beginning of what a DHCPv6 server advertises (RFC 8415)."""
    return bytes((2, 0, 0, 1)) + struct.pack(">HHHH", 2, 4, 3, 1)


def icmp6(source: str, target: str, kind: int, about: str, tag: str, hidden: bool = False) -> bytes:
    """A message of neighbour discovery; ``hidden`` behind another header."""
    content = struct.pack(">BBHI", kind, 0, 0, 0x60000000) + ipaddress.IPv6Address(about).packed + tag.encode()
    if hidden:
        return ipv6(source, target, bytes((_ICMP6, 0, 1, 4, 0, 0, 0, 0)) + content, _HOP_BY_HOP)
    return ipv6(source, target, content, _ICMP6)
