# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Ethernet frames by which neighbours learn who has an address: ARP (RFC 826, 5227) and neighbour discovery of IPv6
(RFC 4861, 4862). MAC addresses are six bytes."""

from __future__ import annotations

import ipaddress
import struct

# EtherTypes (IEEE 802.3), and what IPv6 calls its ICMP.
ARP, IPV6 = 0x0806, 0x86DD
ICMPV6 = 58
_REQUEST = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
_BROADCAST = b"\xff" * 6
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_SOLICITATION, _ADVERTISEMENT, _SOURCE_MAC, _TARGET_MAC = 135, 136, 1, 2


def announcement(mac: bytes, address: str) -> bytes:
    """Says that an address is at this MAC address: a gratuitous ARP request (RFC 5227, section 3), or an unsolicited
    neighbour advertisement that overrides what was known (RFC 4861, section 7.2.6)."""
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return _arp(mac, ip.packed, ip.packed)
    override = 0x20000000
    body = struct.pack("!I", override) + ip.packed + struct.pack("!BB", _TARGET_MAC, 1) + mac
    return _icmpv6(mac, ip.packed, _ALL_NODES, _ADVERTISEMENT, body)


def probe(mac: bytes, address: str) -> bytes:
    """Asks who has an address: by ARP as somebody who has none (RFC 5227, section 2.1.1), by neighbour discovery from
    the link-local address of this MAC address (RFC 4861, section 7.2.2).

    From no address, whoever is about to take it would think it a duplicate and give it up (RFC 4862, section 5.4.3).
    """
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return _arp(mac, bytes(4), ip.packed)
    solicited = bytes.fromhex("ff0200000000000000000001ff") + ip.packed[-3:]
    body = bytes(4) + ip.packed + struct.pack("!BB", _SOURCE_MAC, 1) + mac
    return _icmpv6(mac, _link_local(mac), solicited, _SOLICITATION, body)


def _link_local(mac: bytes) -> bytes:
    """By RFC 4291, appendix A."""
    return bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def claimed(frame: bytes) -> tuple[str, bytes] | None:
    """The address that the sender of a frame says it has, and its MAC address; None where it says no such thing."""
    kind, body = frame[12:14], frame[14:]
    if kind == struct.pack("!H", ARP) and len(body) >= 28 and any(body[14:18]):
        return str(ipaddress.IPv4Address(body[14:18])), body[8:14]
    if kind == struct.pack("!H", IPV6) and len(body) >= 64 and (body[6], body[40]) == (ICMPV6, _ADVERTISEMENT):
        return str(ipaddress.IPv6Address(body[48:64])), frame[6:12]
    return None


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _arp(mac: bytes, sender: bytes, target: bytes) -> bytes:
    return _BROADCAST + mac + struct.pack("!H", ARP) + _REQUEST + mac + sender + bytes(6) + target


def _icmpv6(mac: bytes, source: bytes, group: bytes, kind: int, content: bytes) -> bytes:
    """A message of neighbour discovery to a multicast group; its hop limit shows that no router has passed it on."""
    head = struct.pack("!BB", kind, 0)
    pseudo = source + group + struct.pack("!I3xB", len(content) + 4, ICMPV6)
    body = head + struct.pack("!H", checksum(pseudo + head + bytes(2) + content)) + content
    header = struct.pack("!IHBB", 0x60000000, len(body), ICMPV6, 255) + source + group
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!H", IPV6) + header + body
