# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers get of what they are promised, measured on this machine. Called by `./dev bench isolation`."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import machine
from isolation import MEASUREMENTS
from isolation.stage import Row, Stage

LOCK = Path("/run/lock/carve-integration-tests")


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    if os.geteuid() != 0:
        print("the bench starts containers: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    with LOCK.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the integration tests use the same machine
        about = machine.describe()
        print(about, flush=True)
        stage = Stage(options.seconds)
        rows: list[Row] = []
        try:
            for name in options.only:
                print(f"  {name}", file=sys.stderr, flush=True)
                rows += MEASUREMENTS[name](stage)
        finally:
            stage.destroy()
        after = os.getloadavg()[0]
    print(f"{_table(rows)}\n\nEach measured for {options.seconds:g} s; load after the run {after:.2f}.")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench isolation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each thing is measured (10)")
    parser.add_argument("only", nargs="*", metavar="WHAT", help=f"any of {', '.join(MEASUREMENTS)}; all unless given")
    options = parser.parse_args(argv)
    if unknown := set(options.only) - set(MEASUREMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(MEASUREMENTS)}")
    options.only = [name for name in MEASUREMENTS if name in options.only or not options.only]
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
