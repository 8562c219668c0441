# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a neighbour feels: the median and 99th percentile of its work, alone and under each hog, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ansible_collections.carve.vps.tests.integration.support import Fleet, force_remove
from ansible_collections.carve.vps.tests.isolation.hogs import HOGS, WORK, hogging, worked
from ansible_collections.carve.vps.tests.isolation.scene import armed_fleet, scene

ALONE = "alone"
COUNT = 300
Row = dict[str, str]


def measure(count: int = COUNT) -> list[Row]:
    """A row for each kind of work: what it is, and by hog the median and 99th percentile of its microseconds.

    Both containers have the same limits, one processor each. The caller has the machine to itself.
    """
    force_remove("t-")
    fleet = Fleet("carve-test", armed_fleet().templates)
    rows: list[Row] = [{"the neighbour's work": work} for work in WORK]
    try:
        with scene(fleet) as here:
            for row, work in zip(rows, WORK, strict=True):
                worked(work, 10)  # what is only slow the first time is not what others do to it
                row[ALONE] = _brief(worked(work, count))
            for hog in HOGS:
                with hogging(here, hog):
                    for row, work in zip(rows, WORK, strict=True):
                        row[f"{hog} hog"] = _brief(worked(work, count))
    finally:
        fleet.destroy()
    return rows


def _brief(times: Sequence[float]) -> str:
    return f"{_milliseconds(statistics.median(times))} / {_milliseconds(statistics.quantiles(times, n=100)[98])}"


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:.3g}"


def render(rows: Sequence[Row]) -> str:
    """Markdown that reads as well on a terminal."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    table = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines]
    return "\n".join(["Milliseconds, median / 99th percentile:", "", *table])
