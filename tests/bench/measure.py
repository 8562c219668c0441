# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of a contender, each row checked against the kernel, so that a fast failure is never taken for speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import observe
from commands import Command, run, said
from contenders.base import Bench, Contender

CREATE, BOOTED, NOOP, CHANGE, DESTROY = ROWS = ("create", "booted", "noop", "change", "destroy")


@dataclass
class Result:
    """Seconds by row, one per round, and what else was seen."""

    name: str
    note: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {row: [] for row in ROWS})
    restarted: int = 0
    survival: str = ""


def measure(contender: Contender, bench: Bench, rounds: int, watch: int) -> Result:
    """All rounds of one contender; in the first, the containers are watched for `watch` seconds."""
    result = Result(contender.name, contender.note)
    for number in range(rounds):
        print(f"  {contender.name}, round {number + 1} of {rounds}", flush=True)
        contender.wipe()
        try:
            _round(contender, bench, result, watch if number == 0 else 0)
        except BaseException:
            contender.wipe()
            raise
    return result


def _round(contender: Contender, bench: Bench, result: Result, watch: int) -> None:
    log = bench.log(contender.name.split(",")[0])

    def timed(row: str, verb: Callable[[], Command]) -> None:
        # What the verb writes for its command must not wait for the disk in the command's time.
        seconds = run(verb(), log)
        result.seconds[row].append(seconds)
        print(f"    {row:8} {seconds:8.2f} s", flush=True)

    began = time.monotonic()
    timed(CREATE, contender.create)
    pids = contender.pids()
    # Not before the command's end, though a slow command's last container may have booted by then.
    result.seconds[BOOTED].append(max(result.seconds[CREATE][-1], observe.wait_booted(pids, bench.count) - began))
    observe.check_limits(pids, bench.before)
    first = observe.inits(pids)
    if watch:
        result.survival = _survive(contender, bench.count, first, watch)
        print(f"    {result.survival}", flush=True)

    timed(NOOP, contender.noop)
    if changed := contender.changed(said(log)):
        raise observe.NotAsAsked(f"{contender.name} changed something when there was nothing to do:\n{changed}")
    if observe.inits(contender.pids()) != first:
        raise observe.NotAsAsked(f"{contender.name} restarted containers when there was nothing to do")

    timed(CHANGE, contender.change)
    pids = contender.pids()
    observe.wait_booted(pids, bench.count)
    observe.check_limits(pids, bench.after)
    second = observe.inits(pids)
    result.restarted = sum(second[name] != init for name, init in first.items())

    timed(DESTROY, contender.destroy)
    if left := contender.pids():
        raise observe.NotAsAsked(f"{contender.name} left {len(left)} containers running after destroying all")


def survive(contender: Contender, bench: Bench, watch: int) -> str:
    """Create `bench.count` containers, only to see how many still run `watch` seconds after the last has booted."""
    print(f"  {contender.name}, {bench.count} containers for {watch} s", flush=True)
    contender.wipe()
    try:
        run(contender.create(), bench.log(contender.name))
        pids = contender.pids()
        observe.wait_booted(pids, bench.count)
        survived = _survive(contender, bench.count, observe.inits(pids), watch)
    finally:
        contender.wipe()
    print(f"    {survived}", flush=True)
    return survived


def _survive(contender: Contender, count: int, first: dict[str, observe.Init], watch: int) -> str:
    time.sleep(watch)
    now = observe.inits(contender.pids())
    same = sum(now.get(name) == init for name, init in first.items())
    return f"{same} of {count} still run {watch} s after booting, with the same init"
