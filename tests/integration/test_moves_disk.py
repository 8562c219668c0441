# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container with a filesystem of its own goes to another node, which makes it one of the same size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import store
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import ALL, host, inside, wait_for
from ansible_collections.carve.vps.tests.integration.test_moves import NAME, Pair
from ansible_collections.carve.vps.tests.integration.two_nodes import Node, two_nodes

MIB = 1 << 20
pytestmark = pytest.mark.skipif("project" in host().quota, reason="containers have quota here, and no filesystems")


def images() -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [text for text in (file.read_text(encoding="utf-8") for file in files) if NAME in text]


def as_it_was(pair: Pair, here: Node, there: Node) -> None:
    with here.here():
        assert pair.fleet.check()["steps"] == []
        assert inside(NAME, "cat", "/root/data") == "mine"
        size = inside(NAME, "df", "--output=size", "-B1", "/").splitlines()[-1]
        assert 200 * MIB < int(size) <= 320 * MIB
        assert store.kind_of(f"{Paths().container(NAME)}/{store.IMAGE}") == "xfs"
    with there.here():
        left = [list(Path(place).iterdir()) for place in (Paths().containers, Paths().departing, Paths().incoming)]
        assert not left[0] and not left[1]
    wait_for("one loop device", lambda: len(images()) == 1)


def test_there_and_back_while_it_runs_and_while_it_stands(base_template: dict[str, Any]) -> None:
    with two_nodes() as (one, other):
        pair = Pair(one, other, base_template)
        with one.here():
            pair.fleet.run(ALL, containers={})
            pair.fleet.declare(NAME, disk="320M", stop_timeout=0)
            pair.fleet.apply()
            inside(NAME, "sh", "-c", "echo mine >/root/data")
        result = pair.move(one, other)
        assert result["moves"][NAME]["result"] == "moved", result
        as_it_was(pair, other, one)
        result = pair.move(other, one)
        assert result["moves"][NAME]["result"] == "moved", result
        as_it_was(pair, one, other)


def test_a_move_that_is_killed_is_finished_by_the_next(base_template: dict[str, Any]) -> None:
    with two_nodes() as (one, other):
        pair = Pair(one, other, base_template)
        with one.here():
            pair.fleet.run(ALL, containers={})
            pair.fleet.declare(NAME, disk="320M", stop_timeout=0)
            pair.fleet.apply()
            inside(NAME, "sh", "-c", "echo mine >/root/data")
        assert pair.killed("before _hand_over")
        result = pair.move(one, other)
        # It has come back, or gone on its way: in the end it is whole on one of both.
        if result["moves"][NAME]["result"] != "moved":
            result = pair.move(one, other)
        assert result["moves"][NAME]["result"] == "moved", result
        as_it_was(pair, other, one)
