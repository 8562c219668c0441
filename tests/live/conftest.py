# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the long tests on the lab's two nodes; for live moves, a database on one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.lab import live as parts
from ansible_collections.carve.vps.tests.lab.conftest import _alone_in_this_lab, make_machines, pair
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

__all__ = ["_alone_in_this_lab", "make_machines", "pair"]


@pytest.fixture(scope="module")
def live(pair: Pair) -> Iterator[parts.Live]:
    """A database in a container on the first node, and a client on the second one."""
    with pair.fleet.borrowed(), archives_served(base=parts.archive(), tiny=tiny_archive()) as templates:
        pair.fleet.manifest["templates"] = templates
        made = parts.Live(pair.fleet, pair.one, pair.two)
        made.begin()
        yield made
        made.end()
        pair.fleet.carve("destroy", "-e", "carve_destroy=lab").ok()
