# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frames of every kind, sent by root of one container as they are, and what of them arrives at another.

Each frame bears a tag. The last one is what the sender may send; whoever has that has all that will come.
"""

from __future__ import annotations

import ipaddress
import json
import struct
import subprocess
from collections.abc import Mapping

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

ARP, V4, V6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
_UDP, _ICMP6, _HOP_BY_HOP = 17, 58, 0
REQUEST, REPLY = 1, 2
LAST = "last one"

_SEND = """
import json, socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind(("eth0", 0))
    for frame in json.load(sys.stdin):
        out.send(bytes.fromhex(frame))
"""
_LISTEN = """
import json, socket, sys
tags = sys.argv[1:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as heard:
    heard.bind(("eth0", 3))
    heard.settimeout(30)
    print("listening", flush=True)
    found = []
    while tags[-1] not in found:
        frame = heard.recv(2000)
        found += [tag for tag in tags if tag.encode() in frame and tag not in found]
print(json.dumps(found))
"""


def arriving(sender: str, receiver: str, frames: Mapping[str, bytes]) -> set[str]:
    """The tags of the frames that arrive, the last one's left out: without that one, nothing is known."""
    listening = subprocess.Popen(
        [*_inside(receiver), "python3", "-c", _LISTEN, *map(mark, frames)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert listening.stdout is not None
    assert listening.stdout.readline() == b"listening\n"
    sent = json.dumps([frame.hex() for frame in frames.values()])
    subprocess.run([*_inside(sender), "python3", "-c", _SEND], input=sent.encode(), check=True)
    output, errors = listening.communicate()
    assert listening.returncode == 0, f"nothing more arrived, not even the last one: {errors.decode()}"
    found = json.loads(output)
    return {name for name in frames if mark(name) in found} - {LAST}


def mark(name: str) -> str:
    """A tag that is no part of another one."""
    return f"<{name}>"


def _inside(name: str) -> list[str]:
    return ["lxc-attach", "-P", Paths().containers, "-n", name, "--clear-env", "--"]


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(source: str, target: str, kind: int, body: bytes, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else struct.pack(">HH", VLAN, vlan)
    return (mac(target) + mac(source) + tag + struct.pack(">H", kind) + body).ljust(60, b"\0")


def arp(operation: int, card: str, address: str, asked: str, tag: str) -> bytes:
    sender = mac(card) + ipaddress.IPv4Address(address).packed
    target = bytes(6) + ipaddress.IPv4Address(asked).packed
    return struct.pack(">HHBBH", 1, V4, 6, 4, operation) + sender + target + tag.encode()


def ipv4(source: str, target: str, tag: str) -> bytes:
    """A datagram to a port that nobody listens on."""
    content = struct.pack(">HHHH", 9, 9, 8 + len(tag), 0) + tag.encode()
    addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(target).packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, _UDP, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + content


def ipv6(source: str, target: str, content: bytes, following: int = _UDP) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(target).packed
    return struct.pack(">IHBB", 6 << 28, len(content), following, 255) + addresses + content


def datagram6(source: str, target: str, tag: str) -> bytes:
    return ipv6(source, target, struct.pack(">HHHH", 9, 9, 8 + len(tag), 0) + tag.encode())


def icmp6(source: str, target: str, kind: int, about: str, tag: str, hidden: bool = False) -> bytes:
    """A message of neighbour discovery; ``hidden`` behind another header."""
    content = struct.pack(">BBHI", kind, 0, 0, 0x60000000) + ipaddress.IPv6Address(about).packed + tag.encode()
    if hidden:
        return ipv6(source, target, bytes((_ICMP6, 0, 1, 4, 0, 0, 0, 0)) + content, _HOP_BY_HOP)
    return ipv6(source, target, content, _ICMP6)
