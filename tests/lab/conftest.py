# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the lab's tests: machines, gone after the tests that asked for them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.lab import nodes, place
from ansible_collections.carve.vps.tests.lab.nodes import MakeMachines, Pair


@pytest.fixture(scope="session", autouse=True)
def _alone_in_this_lab() -> Iterator[None]:
    """Machines of another session would be taken for those that a broken one has left."""
    place.ROOT.mkdir(parents=True, exist_ok=True)
    with (place.ROOT / "tests.lock").open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        nodes.remove_all()
        yield
        nodes.remove_all()


@pytest.fixture(scope="module")
def make_machines() -> Iterator[MakeMachines]:
    """Bare machines on one private segment, by (count, Debian's version). They are gone after the module."""
    with nodes.maker("") as make:
        yield make


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes, bootstrapped once for all tests."""
    with nodes.pair(tmp_path_factory.mktemp("pair")) as made:
        yield made
