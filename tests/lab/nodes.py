# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines for as long as somebody needs them: bare, or two that became nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.carve.vps.tests.lab.image import OPERATOR
from ansible_collections.carve.vps.tests.lab.machine import Machine, machines
from ansible_collections.carve.vps.tests.lab.ssh import free_port
from ansible_collections.carve.vps.tests.lab.support import LabFleet, Run

_TEST = "test-"
MakeMachines = Callable[..., list[Machine]]
# For whoever works on these tests: machines stay, and are used again. To become nodes is most of a run's time.
KEEP = bool(os.environ.get("CARVE_LAB_KEEP"))


def remove_all() -> None:
    """Remove the machines that a broken run has left."""
    if KEEP:
        return
    for machine in machines():
        if machine.name.startswith(_TEST):
            machine.destroy()


@contextmanager
def maker(kind: str) -> Iterator[MakeMachines]:
    """Makes bare machines on one private segment, by (count, Debian's version). They are gone with the context."""
    made: list[Machine] = []
    segment = free_port()

    def make(count: int, version: int = 13) -> list[Machine]:
        first = len(made)
        for index in range(first, first + count):
            name = f"{_TEST}{kind}{version}-{chr(ord('a') + index)}"
            kept = KEEP and name in (machine.name for machine in machines())
            made.append(Machine(name) if kept else Machine.create(name, version, index + 1, segment))
        # Side by side: most of the time they read what the image's boot left in memory.
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.boot, made[first:]))
        return made[first:]

    try:
        yield make
    finally:
        for machine in [] if KEEP else made:
            machine.destroy()


@dataclass
class Pair:
    """Two machines that were bare and became nodes, and what Ansible said while they did.

    The first is reached as root and has ext4, the other by a user with sudo and has XFS.
    """

    fleet: LabFleet
    one: Machine
    two: Machine
    predicted: Run
    first: Run


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Bootstrapped in one play, since that takes minutes."""
    with maker("node") as make:
        one, two = make(2)
        fleet = LabFleet(directory)
        fleet.node(one, carve_storage_device="/dev/vdb")
        fleet.node(two, OPERATOR, carve_storage_device="/dev/vdb", carve_storage_filesystem="xfs")
        yield Pair(fleet, one, two, *_bootstrapped(fleet, one))


def _bootstrapped(fleet: LabFleet, one: Machine) -> tuple[Run, Run]:
    """What bootstrap has said, first in check mode and then in earnest."""
    if KEEP and one.run("which lxc-start", check=False).startswith("0"):
        again = fleet.play("bootstrap").ok()
        return again, again
    predicted = fleet.play("bootstrap", "--check", "--limit", one.name).ok()
    for trace in ("which lxc-start", "findmnt /dev/vdb", "ls /etc/carve /var/lib/carve /etc/sysctl.d/80-carve.conf"):
        assert not one.run(trace, check=False).startswith("0"), trace
    return predicted, fleet.play("bootstrap").ok()
