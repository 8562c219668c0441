# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the attacks: one attacker and one neighbour for all attacks of a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration import support
from ansible_collections.carve.vps.tests.integration.support import Fleet, force_remove
from ansible_collections.carve.vps.tests.isolation.scene import Scene, armed_fleet, scene


@pytest.fixture(scope="session", autouse=True)
def _alone_on_this_machine() -> None:
    support.hold_this_machine()


@pytest.fixture(scope="session")
def templates() -> dict[str, Any]:
    return armed_fleet().templates


@pytest.fixture(scope="module")
def stage(templates: dict[str, Any]) -> Iterator[Scene]:
    force_remove("t-")
    made = Fleet("carve-test", templates)
    try:
        with scene(made) as ready:
            yield ready
    finally:
        made.destroy()
