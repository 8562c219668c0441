# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking who has an address: the neighbours on a bridge, before somebody else is given it; a container, whether it
answers for its own."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Collection, Iterator

from . import frames

_TIMES, _WAIT = 2, 0.5  # seconds that neighbours have for an answer, each time


def holders(link: str, addresses: Collection[str]) -> dict[str, set[str]]:
    """The MAC addresses, as ``02:00:00:aa:bb:cc``, that answer for each of these addresses on a link.

    ``link`` is a bridge or no port of one: what comes in by a port is the bridge's. Takes a second. Nobody answers on a
    link that is down. Raises ``OSError``.
    """
    found: dict[str, set[str]] = {}
    if not addresses:
        return found
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(_line(link, kind)) for kind in (frames.ARP, frames.IPV6)]
        mac = lines[0].getsockname()[4]
        for _turn in range(_TIMES):
            for address in addresses:
                with contextlib.suppress(OSError):  # down (ENETDOWN)
                    lines[0].send(frames.probe(mac, address))
            for frame in _heard(lines, _WAIT):
                claim = frames.claimed(frame)
                if claim and claim[0] in addresses:
                    found.setdefault(claim[0], set()).add(claim[1].hex(":"))
    return found


def _line(link: str, kind: int) -> socket.socket:
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        line.bind((link, kind))
    except BaseException:
        line.close()
        raise
    return line


def _heard(lines: list[socket.socket], seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for line in select.select(lines, [], [], left)[0]:
            with contextlib.suppress(OSError):  # down, which is said once (packet(7)), or nothing there after all
                yield line.recv(2048)
