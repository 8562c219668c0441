# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling neighbours that an address is here now, lest they go on speaking to the machine that had it before.

By raw frames: an IPv6 address that is still being probed for duplicates cannot be sent from in any other way.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence

from ..units import bare
from . import frames, namespaces, syscalls

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
                    line.send(frames.announcement(mac, bare(address)))
        if turn < _TIMES - 1:
            time.sleep(_PAUSE)
