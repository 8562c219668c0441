# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling neighbours that an address is here now, lest they go on speaking to the machine that had it before.

Gratuitous ARP (RFC 5227, section 3) and unsolicited neighbour advertisements (RFC 4861, section 7.2.6), sent as raw
frames: an IPv6 address that is still being probed for duplicates cannot be sent from in any other way.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Mapping, Sequence

from . import namespaces, syscalls

_BROADCAST = b"\xff" * 6
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_ETH_P_ARP, _ETH_P_IPV6, _ICMPV6 = 0x0806, 0x86DD, 58
_TIMES, _PAUSE = 3, 0.2  # a frame may be lost, as while a bridge's port is still learning


def addresses(pid: int, interfaces: Mapping[str, Sequence[str]]) -> None:
    """Announce ``address/length`` by interface, in the network namespace of a process. Raises ``OSError``."""
    if any(interfaces.values()):
        namespaces.inside(lambda: _send(interfaces), (syscalls.CLONE_NEWNET, f"/proc/{pid}/ns/net"))


def _send(interfaces: Mapping[str, Sequence[str]]) -> None:
    for turn in range(_TIMES):
        for interface, found in interfaces.items():
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as line:
                line.bind((interface, 0))
                mac = line.getsockname()[4]
                for address in found:
                    line.send(frame(mac, address.partition("/")[0]))
        if turn < _TIMES - 1:
            time.sleep(_PAUSE)


def frame(mac: bytes, address: str) -> bytes:
    """The Ethernet frame that announces one address."""
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ip.packed + bytes(6) + ip.packed
        return _BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + request
    override = 0x20000000
    option = struct.pack("!BB", 2, 1) + mac  # target link-layer address
    body = struct.pack("!BBHI", 136, 0, 0, override) + ip.packed + option
    pseudo = ip.packed + _ALL_NODES + struct.pack("!I3xB", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 0x60000000, len(body), _ICMPV6, 255) + ip.packed + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _ETH_P_IPV6) + header + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
