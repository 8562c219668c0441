# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carve beside what people use today: the same containers, the same verbs, one run. Called by `./dev bench`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import machine
import packages
import rootfs
import table
from commands import CommandFailed, run
from contenders import FAMILIES
from contenders.base import Bench
from measure import Result, measure, survive
from observe import Limits, NotAsAsked

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench"
# Not in the checkout: users of unprivileged containers must be able to pass through every directory above theirs.
STATE = Path("/var/lib/carve-bench")
BEFORE = Limits(cpus=1.0, ram=256 * 1024**2)
AFTER = Limits(cpus=0.5, ram=384 * 1024**2)
WATCH_SECONDS = 60


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    if os.geteuid() != 0:
        print("the bench starts containers: run it as root", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        report = _bench(options)
    except (CommandFailed, NotAsAsked) as error:
        print(f"\nbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted; what it had started is gone again", file=sys.stderr)
        return 130
    finally:
        _forget_state()
    (CACHE / "last.md").write_text(report, encoding="utf-8")
    print(f"\n{report}")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--count", type=_positive, default=50, help="containers (50)")
    parser.add_argument("--rounds", type=_positive, default=1, help="rounds; the table shows medians (1)")
    parser.add_argument("--only", type=_families, default=list(FAMILIES), help=f"any of {','.join(FAMILIES)}")
    parser.add_argument("--survivors", type=int, default=120, help="how many Carve must keep up; 0 to leave out (120)")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def _families(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(FAMILIES):
        raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))} here; choose from {', '.join(FAMILIES)}")
    return [name for name in FAMILIES if name in chosen]


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Stop once; a second Ctrl-C must not stop the clearing away."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _forget_state() -> None:
    """The directory goes when every contender has taken its own away; what could not be removed stays to be seen."""
    if STATE.exists() and not any(STATE.iterdir()):
        STATE.rmdir()


def _bench(options: argparse.Namespace) -> str:
    about = machine.describe()
    print(about, flush=True)
    packages.forget_backports()
    log = CACHE / "logs" / "setup.log"
    bench = Bench(options.count, rootfs.ensure(CACHE, log), BEFORE, AFTER, CACHE, STATE)
    results: list[Result] = []
    for family in options.only:
        print(f"{family}", flush=True)
        with FAMILIES[family](bench) as contenders:
            # Writing back what the preparation wrote must not fall into the first row.
            run(("sync",), log)
            for contender in contenders:
                watch = WATCH_SECONDS if family == "carve" and options.survivors else 0
                results.append(measure(contender, bench, options.rounds, watch))
        if family == "carve" and options.survivors:
            more = replace(bench, count=options.survivors)
            with FAMILIES[family](more) as (contender,):
                results[-1].survival += f"; {survive(contender, more, WATCH_SECONDS)}"
    return table.render(results, options.count, options.rounds, about)


if __name__ == "__main__":
    sys.exit(main())
