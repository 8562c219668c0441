# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the lab's tests: bare machines, gone after the test that asked for them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from ansible_collections.carve.vps.tests.lab import place
from ansible_collections.carve.vps.tests.lab.image import OPERATOR
from ansible_collections.carve.vps.tests.lab.machine import Machine, machines
from ansible_collections.carve.vps.tests.lab.ssh import free_port
from ansible_collections.carve.vps.tests.lab.support import LabFleet, Run

_TEST = "test-"
MakeMachines = Callable[..., list[Machine]]


@pytest.fixture(scope="session", autouse=True)
def _alone_in_this_lab() -> Iterator[None]:
    """Machines of another session would be taken for those that a broken one has left."""
    place.ROOT.mkdir(parents=True, exist_ok=True)
    with (place.ROOT / "tests.lock").open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _remove_all()
        yield
        _remove_all()


def _remove_all() -> None:
    for machine in machines():
        if machine.name.startswith(_TEST):
            machine.destroy()


@contextmanager
def _maker(kind: str) -> Iterator[MakeMachines]:
    made: list[Machine] = []
    segment = free_port()

    def make(count: int, version: int = 13) -> list[Machine]:
        first = len(made)
        for index in range(first, first + count):
            name = f"{_TEST}{kind}{version}-{chr(ord('a') + index)}"
            made.append(Machine.create(name, version, index + 1, segment))
        # Side by side: most of the time they read what the image's boot left in memory.
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.boot, made[first:]))
        return made[first:]

    try:
        yield make
    finally:
        for machine in made:
            machine.destroy()


@pytest.fixture(scope="module")
def make_machines() -> Iterator[MakeMachines]:
    """Bare machines on one private segment, by (count, Debian's version). They are gone after the module."""
    with _maker("") as make:
        yield make


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


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Bootstrapped once for all tests, in one play, since that takes minutes."""
    with _maker("node") as make:
        one, two = make(2)
        fleet = LabFleet(tmp_path_factory.mktemp("pair"))
        fleet.node(one, carve_storage_device="/dev/vdb")
        fleet.node(two, OPERATOR, carve_storage_device="/dev/vdb", carve_storage_filesystem="xfs")
        predicted = fleet.play("bootstrap", "--check", "--limit", one.name).ok()
        for trace in (
            "which lxc-start",
            "findmnt /dev/vdb",
            "ls /etc/carve /var/lib/carve /etc/sysctl.d/80-carve.conf",
        ):
            assert not one.run(trace, check=False).startswith("0"), trace
        yield Pair(fleet, one, two, predicted, fleet.play("bootstrap").ok())
