# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that have a node to themselves (``own_node.py``): each file a fresh one, each test a fleet on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.own_node import fleet_of, own_node
from ansible_collections.carve.vps.tests.integration.support import Fleet


@pytest.fixture(scope="module", autouse=True)
def _node() -> Iterator[None]:
    with own_node():
        yield


@pytest.fixture
def fleet(base_template: dict[str, Any]) -> Iterator[Fleet]:
    with fleet_of(base_template) as made:  # pylint: disable=contextmanager-generator-missing-cleanup
        yield made
