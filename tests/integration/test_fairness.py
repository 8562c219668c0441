# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares and limits hold under load. Loosely, for the machine is shared; `./dev bench isolation` gives the figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.bench.isolation import MEASUREMENTS
from ansible_collections.carve.vps.tests.bench.isolation.stage import Row, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(seconds=4)
    yield made
    made.destroy()


def measured(stage: Stage, name: str) -> list[Row]:
    rows = list(MEASUREMENTS[name](stage))
    assert rows
    return rows


def test_busy_processors_are_shared_by_weight(stage: Stage) -> None:
    for row in measured(stage, "weights"):
        assert abs(row.error() or 0) < 0.25, row


def test_a_limit_of_processor_time_is_not_exceeded(stage: Stage) -> None:
    for row in measured(stage, "limits"):
        assert row.asked * 0.7 < row.got < row.asked * 1.1, row


def test_what_an_idle_neighbour_could_have_is_used(stage: Stage) -> None:
    (row,) = measured(stage, "idle")
    assert row.got < 0.5, row


@pytest.mark.parametrize("name", ["bandwidth", "operations"])
def test_a_limit_of_the_disk_is_reached_and_not_exceeded(stage: Stage, name: str) -> None:
    for row in measured(stage, name):
        assert row.asked * 0.5 < row.got < row.asked * 1.15, row


def test_rates_of_networks_are_reached_and_not_exceeded(stage: Stage) -> None:
    for row in measured(stage, "network"):
        assert row.asked * 0.5 < row.got < row.asked * 1.15, row
