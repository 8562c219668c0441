# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``rate_in`` and ``rate_out`` let through: one TCP connection between two containers.

What a container sends or receives is counted where it arrives, after a second in which the connection finds its pace,
and with it the headers that full packets have: they count for the rate, too.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

from .stage import PREFIX, Row, Stage

MBIT = 10**6
# Of an Ethernet frame with 1500 octets of IPv4 and TCP with timestamps, what is payload.
PAYLOAD = 1448 / 1514
ADDRESSES = {
    "lan": {"limited": "10.213.0.5", "other": "10.213.0.6"},
    "public": {"limited": "198.18.113.5", "other": "198.18.113.6"},
}
_RECEIVE = """
import socket, sys, time
with socket.create_server(("", 5001)) as server:
    print("listening", flush=True)
    made, _who = server.accept()
    begun = count = 0
    first = time.monotonic()
    while True:
        got = len(made.recv(1 << 20))
        now = time.monotonic()
        if begun:
            count += got
        elif now - first > 1:
            begun = now
        if begun and now - begun > float(sys.argv[1]):
            break
print(count * 8 / (now - begun))
"""
_SEND = """
import contextlib, socket, sys
with contextlib.suppress(OSError), socket.create_connection((sys.argv[1], 5001)) as made:
    while True:
        made.sendall(bytes(1 << 18))
"""


def network_rates(stage: Stage) -> Iterator[Row]:
    """Rates both ways, on a bridged and on a routed network, set on a container that runs."""
    for on, addresses in ADDRESSES.items():
        with stage.containers(**{name: _declared(on, address) for name, address in addresses.items()}):
            for option, wanted in (("rate_in", 20), ("rate_in", 200), ("rate_out", 10), ("rate_out", 200)):
                stage.declare(limited=_declared(on, addresses["limited"], **{option: f"{wanted}mbit"}))
                ends = ("other", "limited") if option == "rate_in" else ("limited", "other")
                pace = _pace(*ends, addresses[ends[1]], stage.seconds) / PAYLOAD
                yield Row(f"{option}, {on}", wanted, pace / MBIT, "Mbit/s")


def _declared(on: str, address: str, **limits: str) -> dict[str, object]:
    return {"network": {"eth0": {"on": on, "ip": address, **limits}}}


def _pace(sender: str, receiver: str, address: str, seconds: float) -> float:
    """The payload that arrives, in bits a second."""
    receiving = subprocess.Popen(_python(receiver, _RECEIVE, str(seconds)), stdout=subprocess.PIPE, text=True)
    assert receiving.stdout is not None
    receiving.stdout.readline()
    with subprocess.Popen(_python(sender, _SEND, address)):
        output, _errors = receiving.communicate()
    return float(output)


def _python(name: str, script: str, *arguments: str) -> list[str]:
    lxc = ["lxc-attach", "-P", Paths().containers, "-n", PREFIX + name, "--clear-env", "--"]
    return [*lxc, "python3", "-c", script, *arguments]
