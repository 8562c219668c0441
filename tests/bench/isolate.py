# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers get of what they are promised, measured on this machine. Called by `./dev bench isolation`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from ansible_collections.carve.vps.tests.integration.support import hold_this_machine

import machine
from isolation import MEASUREMENTS, TOLERANCE, latency
from isolation.stage import Row, Stage

# What a neighbour feels: a table of its own.
LATENCY = "latency"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    if os.geteuid() != 0:
        print("the bench starts containers: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    hold_this_machine()
    about = machine.describe()
    print(about, flush=True)
    off: list[str] = []
    if names := [name for name in options.only if name != LATENCY]:
        measured = _measured(names, options.seconds)
        print(_table([row for rows in measured.values() for row in rows]))
        off = _off(measured)
        print(f"\nEach measured for {options.seconds:g} s; load after the run {os.getloadavg()[0]:.2f}.", flush=True)
    if LATENCY in options.only:
        print("\n" + latency.render(latency.measure()))
    for line in off:
        print(line, file=sys.stderr)
    return 1 if off else 0


def _measured(names: Sequence[str], seconds: float) -> dict[str, list[Row]]:
    stage = Stage(seconds)
    rows: dict[str, list[Row]] = {}
    try:
        for name in names:
            print(f"  {name}", file=sys.stderr, flush=True)
            rows[name] = list(MEASUREMENTS[name](stage))
    finally:
        stage.destroy()
    return rows


def _off(measured: Mapping[str, Sequence[Row]]) -> list[str]:
    """What is further from what was asked for than it may be on a quiet machine."""
    return [
        f"{row.what}: {row.got:.4g} instead of {row.asked:.4g} {row.unit}, off by more than {100 * TOLERANCE[name]:g} %"
        for name, rows in measured.items()
        for row in rows
        if name in TOLERANCE and abs(row.error() or 0) > TOLERANCE[name]
    ]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench isolation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each thing is measured (10)")
    every = [*MEASUREMENTS, LATENCY]
    parser.add_argument("only", nargs="*", metavar="WHAT", help=f"any of {', '.join(every)}; all unless given")
    options = parser.parse_args(argv)
    if unknown := set(options.only) - set(every):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(every)}")
    options.only = [name for name in every if name in options.only or not options.only]
    return options


def _table(rows: Sequence[Row]) -> str:
    lines = [["measured", "asked", "got", "off by", "note"], ["---", "--:", "--:", "--:", "---"]]
    for row in rows:
        error = row.error()
        off = "" if error is None else f"{100 * error:+.1f} %"
        lines.append([row.what, f"{row.asked:.4g} {row.unit}", f"{row.got:.4g} {row.unit}", off, row.note])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
