# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the lab's tests: bare machines, gone after the test that asked for them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.carve.vps.tests.lab import place
from ansible_collections.carve.vps.tests.lab.machine import Machine, machines
from ansible_collections.carve.vps.tests.lab.ssh import free_port

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


@pytest.fixture(scope="module")
def make_machines() -> Iterator[MakeMachines]:
    """Bare machines on one private segment, by (count, Debian's version). They are gone after the module."""
    made: list[Machine] = []
    segment = free_port()

    def make(count: int, version: int = 13) -> list[Machine]:
        new = [
            Machine.create(
                f"{_TEST}{version}-{chr(ord('a') + len(made) + number)}", version, len(made) + number + 1, segment
            )
            for number in range(count)
        ]
        made.extend(new)
        for machine in new:
            machine.boot()
        return new

    yield make
    for machine in made:
        machine.destroy()
