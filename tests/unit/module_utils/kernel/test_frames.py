# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frames that tell neighbours where an address is, and ask them, byte by byte."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import frames

MAC = bytes.fromhex("020000aabbcc")


def test_a_gratuitous_arp_request_names_the_address_twice() -> None:
    made = frames.announcement(MAC, "10.20.0.5")
    ip = bytes([10, 20, 0, 5])
    assert made[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert made[14:] == bytes.fromhex("0001080006040001") + MAC + ip + bytes(6) + ip


def test_a_neighbour_advertisement_overrides_what_was_known() -> None:
    made = frames.announcement(MAC, "fd00:20::5")
    ip = ipaddress.IPv6Address("fd00:20::5").packed
    assert made[:14] == bytes.fromhex("333300000001") + MAC + b"\x86\xdd"
    header, body = made[14:54], made[54:]
    assert header[6:8] == bytes([58, 255]) and header[8:24] == ip and struct.unpack("!H", header[4:6])[0] == len(body)
    assert body[0] == 136 and body[4:8] == b"\x20\0\0\0" and body[8:24] == ip and body[24:] == b"\x02\x01" + MAC
    assert _sums_up(header, body) and not _sums_up(header, body[:-1] + b"\0")


def _sums_up(header: bytes, body: bytes) -> bool:
    """Summed up with its checksum in place, an intact message comes to nothing (RFC 1071)."""
    return frames.checksum(header[8:40] + struct.pack("!I3xB", len(body), 58) + body) == 0


def test_a_probe_by_arp_comes_from_nobody() -> None:
    made = frames.probe(MAC, "10.20.0.5")
    assert made[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert made[14:] == bytes.fromhex("0001080006040001") + MAC + bytes(4) + bytes(6) + bytes([10, 20, 0, 5])


def test_a_probe_by_neighbour_discovery_goes_to_those_who_may_have_it() -> None:
    made = frames.probe(MAC, "fd00:20::ab:cdef")
    assert made[:14] == bytes.fromhex("3333ffabcdef") + MAC + b"\x86\xdd"
    header, body = made[14:54], made[54:]
    # Not from nobody: that would be taken for somebody who is about to take the address, too.
    assert header[7] == 255 and header[8:24] == ipaddress.IPv6Address("fe80::ff:feaa:bbcc").packed
    assert header[24:] == ipaddress.IPv6Address("ff02::1:ffab:cdef").packed
    assert body[0] == 135 and body[8:24] == ipaddress.IPv6Address("fd00:20::ab:cdef").packed and _sums_up(header, body)
    assert body[24:] == b"\x01\x01" + MAC


@pytest.mark.parametrize("address", ["10.20.0.5", "fd00:20::5"])
def test_who_announces_an_address_claims_it_and_who_asks_does_not(address: str) -> None:
    said = frames.announcement(MAC, address)
    assert frames.claimed(said) == (address, MAC)
    assert frames.claimed(frames.probe(MAC, address)) is None
    # What is cut off says nothing, wherever.
    assert [frames.claimed(said[:length]) for length in range(42)] == [None] * 42


def test_an_answer_by_arp_is_a_claim() -> None:
    other = bytes.fromhex("020000ddeeff")
    answer = MAC + other + bytes.fromhex("0806 0001080006040002") + other + bytes([10, 20, 0, 5]) + MAC + bytes(4)
    assert frames.claimed(answer + bytes(18)) == ("10.20.0.5", other)


@pytest.mark.parametrize(("data", "expected"), [(bytes.fromhex("0001f203f4f5f6f7"), 0x220D), (b"\x01", 0xFEFF)])
def test_the_checksum_is_the_one_of_the_rfc(data: bytes, expected: int) -> None:
    assert frames.checksum(data) == expected
