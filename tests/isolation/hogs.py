# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that take all they get of one thing, and what their neighbour's work is measured by."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import inside
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, VICTIM, Scene

_MANY = """
import os, socket, sys, time
for _more in range({processes}):
    if not os.fork():
        break
print("hogging", flush=True)
"""
# Each runs until it is killed.
HOGS = {
    "cpu": _MANY.format(processes=3) + "while True: sum(range(10000))\n",
    "memory": _MANY.format(processes=1)
    + """
one, other = bytearray(32 << 20), bytearray(os.urandom(1 << 20) * 32)
while True:
    one[:] = other
""",
    "disk": _MANY.format(processes=1)
    + """
path = f"/root/hog-{os.getpid()}"
while True:
    with open(path, "wb") as file:
        for _block in range(16):
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
""",
    "network": _MANY.format(processes=1)
    + """
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    flood.sendto(bytes(1400), ("10.213.0.1", 9))
""",
}
_TIMED = """
import json, os, subprocess, sys, time
times = []
def timed(work):
    began = time.perf_counter()
    work()
    times.append((time.perf_counter() - began) * 1e6)
count = int(sys.argv[1])
"""
# Each prints the microseconds of every time that it did its work.
WORK = {
    "a small loop of work": _TIMED
    + """
for _time in range(count):
    timed(lambda: sum(range(50000)))
print(json.dumps(times))
""",
    "4 KiB written and synced": _TIMED
    + """
file = os.open("/root/work", os.O_CREAT | os.O_WRONLY, 0o600)
def write():
    os.pwrite(file, bytes(4096), 0)
    os.fsync(file)
for _time in range(count):
    timed(write)
print(json.dumps(times))
""",
    "a ping to the node": _TIMED
    + """
said = subprocess.run(["ping", "-n", "-i", "0.01", "-c", str(count), "10.213.0.1"], capture_output=True, text=True)
answers = [line.split("time=")[1] for line in said.stdout.splitlines() if "time=" in line]
print(json.dumps([float(answer.split()[0]) * 1000 for answer in answers]))
""",
}


@contextmanager
def hogging(scene: Scene, hog: str) -> Iterator[None]:
    """The attacker takes all that it gets of one thing."""
    command = ["lxc-attach", "-P", Paths().containers, "-n", ATTACKER, "--clear-env", "--"]
    with subprocess.Popen(
        [*command, "/usr/bin/python3", "-c", f"# carve-hog\n{HOGS[hog]}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None and process.stdout.readline() == "hogging\n"
            yield
            # It was there until the end.
            assert process.poll() is None
        finally:
            inside(ATTACKER, "pkill", "-KILL", "-f", "carve-hog", check=False)
            inside(ATTACKER, "sh", "-c", "rm -f /root/hog-*", check=False)


def worked(work: str, count: int) -> list[float]:
    """The neighbour does its work so many times: microseconds of each."""
    times: list[float] = json.loads(inside(VICTIM, "/usr/bin/python3", "-c", WORK[work], str(count)))
    return times
