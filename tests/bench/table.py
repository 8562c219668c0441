# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results as a table of medians, with ratios to Carve, and what was expected of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from measure import BOOTED, CHANGE, CREATE, DESTROY, NOOP, ROWS, Result

LABELS = {
    CREATE: "create and start {count}",
    BOOTED: "... until all have booted",
    NOOP: "nothing to do on {count}",
    CHANGE: "change RAM and CPU of {count}",
    DESTROY: "destroy {count}",
}
# How many times faster than each Carve is meant to be, by row, from so many containers on: below, Ansible's start is
# most of its time. The boot is systemd's, so nothing is promised for it.
EXPECTED_FROM = 50
EXPECTED = {
    "lxc_container": {CREATE: 10, NOOP: 10, CHANGE: 50},
    "incus, a loop": {CREATE: 1, NOOP: 1, CHANGE: 1, DESTROY: 1},
    "incus, 4 at once": {CREATE: 1, NOOP: 1, CHANGE: 1, DESTROY: 1},
}


def render(results: Sequence[Result], count: int, rounds: int, machine: str) -> str:
    """Markdown that reads as well on a terminal."""
    carve = next((result for result in results if result.name == "carve"), None)
    header = ["", *(result.name for result in results)]
    rows = [
        [LABELS[row].format(count=count), *(_cell(result, carve, row) for result in results)]
        for row in ROWS
        if any(result.seconds[row] for result in results)
    ]
    rows.append(["restarted by the change", *(str(result.restarted) for result in results)])
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    median_of = f", medians of {rounds} rounds" if rounds > 1 else ""
    lines = [
        f"{machine}.",
        f"{count} systemd containers of one Debian 13 root filesystem{median_of}; "
        + ("in brackets: times Carve's." if carve else "Carve was not measured."),
        "",
        *(_line(cells, widths) for cells in (header, rule, *rows)),
        "",
        *(f"- {result.name}: {result.note}." for result in results),
        *(f"- {result.name}: {result.survival}." for result in results if result.survival),
    ]
    if carve and count >= EXPECTED_FROM:
        lines += [f"- {verdict}" for verdict in _verdicts(carve, results)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    figures = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"| {' | '.join((cells[0].ljust(widths[0]), *figures))} |"


def _cell(result: Result, carve: Result | None, row: str) -> str:
    if not result.seconds[row]:
        return "-"
    seconds = median(result.seconds[row])
    if carve is None or result is carve or not carve.seconds[row]:
        return f"{seconds:.2f} s"
    return f"{seconds:.2f} s ({seconds / median(carve.seconds[row]):.1f}x)"


def _verdicts(carve: Result, results: Sequence[Result]) -> Iterator[str]:
    short = []
    for result in results:
        for row, times in EXPECTED.get(result.name, {}).items():
            ratio = median(result.seconds[row]) / median(carve.seconds[row])
            if ratio < times:
                short.append(f"{row} is {ratio:.2f} times as fast as {result.name}, expected {times}")
    if carve.restarted:
        short.append(f"the change restarted {carve.restarted} of Carve's containers, expected none")
    if any(result.name in EXPECTED for result in results):
        yield from (f"FALLS SHORT: {line}" for line in short)
        if not short:
            yield "All that is expected of Carve here is met."
