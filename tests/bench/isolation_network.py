# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``rate_in`` and ``rate_out`` let through: payload of one TCP connection between two containers.

What a container sends or receives is counted where it arrives, after a second in which the connection finds its pace.
Headers count for the rate and not for what is measured: about 5% of full packets.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import Fleet, booted, force_remove, rootfs_archive, sha256

LOCK = Path("/run/lock/carve-integration-tests")
MBIT = 10**6
ADDRESSES = {
    "lan": {"t-limited": "10.213.0.5", "t-other": "10.213.0.6"},
    "public": {"t-limited": "198.18.113.5", "t-other": "198.18.113.6"},
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


class Row(NamedTuple):
    """Bits in a second."""

    what: str
    wanted: int
    measured: float


def measure(seconds: float = 4) -> list[Row]:
    """Rates both ways, on a bridged and on a routed network, set on a container that runs.

    The caller has the machine to itself (``LOCK``).
    """
    force_remove("t-")
    archive = rootfs_archive()
    fleet = Fleet("carve-test", {"base": {"archive": str(archive), "sha256": sha256(archive)}})
    try:
        return list(_rows(fleet, seconds))
    finally:
        fleet.destroy()


def _rows(fleet: Fleet, seconds: float) -> Iterator[Row]:
    for on, addresses in ADDRESSES.items():
        fleet.containers = {}
        for option, wanted in (("rate_in", 20), ("rate_in", 200), ("rate_out", 10), ("rate_out", 200)):
            for name, address in addresses.items():
                limits = {option: f"{wanted}mbit"} if name == "t-limited" else {}
                fleet.declare(name, network={"eth0": {"on": on, "ip": address, **limits}})
            result = fleet.run(["restart"])
            if result.get("failed"):
                raise RuntimeError(result["msg"])
            for name in addresses:
                booted(name)
            ends = ("t-other", "t-limited") if option == "rate_in" else ("t-limited", "t-other")
            yield Row(f"{option} {wanted}mbit, {on}", wanted * MBIT, _pace(*ends, addresses[ends[1]], seconds))


def _pace(sender: str, receiver: str, address: str, seconds: float) -> float:
    """The payload that arrives, in bits a second."""
    receiving = subprocess.Popen(_python(receiver, _RECEIVE, str(seconds)), stdout=subprocess.PIPE, text=True)
    assert receiving.stdout is not None
    receiving.stdout.readline()
    with subprocess.Popen(_python(sender, _SEND, address)):
        output, _errors = receiving.communicate()
    return float(output)


def _python(name: str, script: str, *arguments: str) -> list[str]:
    lxc = ["lxc-attach", "-P", Paths().containers, "-n", name, "--clear-env", "--"]
    return [*lxc, "python3", "-c", script, *arguments]


def main() -> int:
    with LOCK.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = measure()
    for row in rows:
        off = 100 * (row.measured / row.wanted - 1)
        print(f"{row.what:24} {row.wanted / MBIT:8.1f} {row.measured / MBIT:8.1f} Mbit/s {off:+6.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
