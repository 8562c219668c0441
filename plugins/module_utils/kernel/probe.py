# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking who has an address: the neighbours on a bridge, before somebody else is given it; a container, whether it
answers for its own."""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator

from . import frames

# asm-generic/socket.h, linux/if_ether.h
_ATTACH_FILTER, _ALL = 26, 0x0003
# A classic BPF program (Documentation/networking/filter.rst): 2048 bytes of ARP and of IPv6's ICMP, nothing of others.
_ANSWERS = (
    (0x28, 0, 0, 12),
    (0x15, 3, 0, frames.ARP),
    (0x15, 0, 3, frames.IPV6),
    (0x30, 0, 0, 20),
    (0x15, 0, 1, frames.ICMPV6),
    (0x06, 0, 0, 2048),
    (0x06, 0, 0, 0),
)
_TIMES, _WAIT = 2, 0.5  # seconds that neighbours have for an answer, each time


def holders(link: str, addresses: Collection[str]) -> dict[str, set[str]]:
    """The MAC addresses, as ``02:00:00:aa:bb:cc``, that answer for each of these addresses on a link.

    On a bridge it is everybody who is asked; at the node's end of a pair, a port of a bridge or none, it is the
    container alone, whatever the bridge lets through. Takes a second. Nobody answers on a link that is down. Raises
    ``OSError``.
    """
    found: dict[str, set[str]] = {}
    if not addresses:
        return found
    with _line(link) as line:
        mac = line.getsockname()[4]
        for _turn in range(_TIMES):
            for address in addresses:
                with contextlib.suppress(OSError):  # down (ENETDOWN)
                    line.send(frames.probe(mac, address))
            for frame in _heard(line, _WAIT):
                claim = frames.claimed(frame)
                if claim and claim[0] in addresses:
                    found.setdefault(claim[0], set()).add(claim[1].hex(":"))
    return found


def _line(link: str) -> socket.socket:
    """All frames of a link that may be an answer. By protocol, what comes in by a port would be its bridge's alone."""
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        program = b"".join(struct.pack("=HBBI", *step) for step in _ANSWERS)
        held = ctypes.create_string_buffer(program)
        line.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(_ANSWERS), ctypes.addressof(held)))
        line.bind((link, _ALL))
    except BaseException:
        line.close()
        raise
    return line


def _heard(line: socket.socket, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([line], [], [], left)[0]:
            with contextlib.suppress(OSError):  # down, which is said once (packet(7)), or nothing there after all
                yield line.recv(2048)
