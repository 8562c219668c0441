# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frames that tell neighbours where an address is, byte by byte."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import announce

MAC = bytes.fromhex("020000aabbcc")


def test_a_gratuitous_arp_request_names_the_address_twice() -> None:
    made = announce.frame(MAC, "10.20.0.5")
    ip = bytes([10, 20, 0, 5])
    assert made[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert made[14:] == bytes.fromhex("0001080006040001") + MAC + ip + bytes(6) + ip


def test_a_neighbour_advertisement_overrides_what_was_known() -> None:
    made = announce.frame(MAC, "fd00:20::5")
    ip = ipaddress.IPv6Address("fd00:20::5").packed
    assert made[:14] == bytes.fromhex("333300000001") + MAC + b"\x86\xdd"
    header, body = made[14:54], made[54:]
    assert header[6:8] == bytes([58, 255]) and header[8:24] == ip and struct.unpack("!H", header[4:6])[0] == len(body)
    assert body[0] == 136 and body[4:8] == b"\x20\0\0\0" and body[8:24] == ip and body[24:] == b"\x02\x01" + MAC
    # Summed up with its checksum in place, an intact message comes to nothing (RFC 1071).
    pseudo = header[8:40] + struct.pack("!I3xB", len(body), 58)
    assert announce.checksum(pseudo + body) == 0
    assert announce.checksum(pseudo + body[:-1] + b"\0") != 0


@pytest.mark.parametrize(("data", "expected"), [(bytes.fromhex("0001f203f4f5f6f7"), 0x220D), (b"\x01", 0xFEFF)])
def test_the_checksum_is_the_one_of_the_rfc(data: bytes, expected: int) -> None:
    assert announce.checksum(data) == expected
