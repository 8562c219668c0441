# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that keeps containers' snapshots as they are scheduled: ``scheduled``, called by a timer on the node.

Schedules are in the containers' records, so no controller speaks. What fails with one container is said, and the others
have their turn; what is still due is tried again at the next call. A container whose memory cannot be kept does not
stand still for it again and again: its files are kept alone, and why is said once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .. import lock, record
from ..checkpoint import suspend
from ..engines import lxc
from ..host import Host, apparmor_enabled
from ..paths import Paths
from . import schedule, shelf, take
from .shelf import Snapshot, SnapshotError

_PATIENCE = 600.0  # seconds that a run which is at work on the node may take


def main(_arguments: list[str]) -> int:
    paths = Paths()
    paths.make()
    failures = keep(Host(paths=paths, apparmor=apparmor_enabled()), datetime.now(timezone.utc))
    for name, failure in failures:
        sys.stderr.write(f"carve: {name}: {failure}\n")
    return 1 if failures else 0


def keep(host: Host, now: datetime) -> list[tuple[str, Exception]]:
    """Take what is due, and remove what has had its time. What went wrong, by container."""
    failures: list[tuple[str, Exception]] = []
    for name in sorted({*lxc.names(host), *shelf.containers(host.paths)}):
        try:
            _keep_one(host, name, now)
        except (SnapshotError, lxc.EngineError, lock.Busy, OSError) as error:
            failures.append((name, error))
    return failures


def _keep_one(host: Host, name: str, now: datetime) -> None:
    here = record.load(host.paths.container(name))
    found = shelf.listed(host.paths, name)
    schedules: Mapping[str, Mapping[str, Any]] = (here.fields.get("snapshots") if here else None) or {}
    mine = [one for one in found if _is_of(one, here)]
    without: list[str] = []
    try:
        for which in schedule.due(schedules, [one.taken for one in mine], now):
            without += _take(host, name, schedule.name_for(which, now), which, bool(schedules[which].get("memory")))
    finally:
        gone = {one.name for one in found if _is_over(one, mine, schedules, now)}
        taken = [one.taken for one in shelf.listed(host.paths, name) if one.name not in gone and _is_of(one, here)]
        gone |= set(schedule.superfluous(schedules, taken))
        if gone:
            with shelf.alone(host.paths, _PATIENCE):
                for old in sorted(gone):
                    shelf.remove(host.paths, name, old)
    if without:
        raise SnapshotError("; ".join(without))


def _take(host: Host, name: str, snapshot: str, which: str, memory: bool) -> list[str]:
    """Take the snapshot of a schedule. Why it has not the memory that it should have; what is down has none to keep."""
    wrong: list[str] = []
    if memory and lxc.init_pid(host, name) is not None:
        wrong = _with_memory(host, name, snapshot, which)
        if not wrong:
            return []
    take.take(host, name, snapshot, which, _PATIENCE)
    return [f"{snapshot} has the files alone, for the memory cannot be kept: {'; '.join(wrong)}"] if wrong else []


def _with_memory(host: Host, name: str, snapshot: str, which: str) -> list[str]:
    """Take it with its memory; if not, what forbids that, a sentence each."""
    unfit = take.memory_unfit(host, name)
    if not unfit:
        try:
            take.take(host, name, snapshot, which, _PATIENCE, memory=True)
        except suspend.AtWork:
            raise  # it passes, and the snapshot is still due
        except (lxc.EngineError, OSError) as error:
            return [str(error)]
    return unfit


def _is_of(one: Snapshot, here: record.Record | None) -> bool:
    return here is not None and one.record.uuid == here.uuid


def _is_over(one: Snapshot, mine: list[Snapshot], schedules: Mapping[str, Mapping[str, Any]], now: datetime) -> bool:
    """Of a snapshot that no schedule counts, whether its own one would have removed it by now."""
    if one in mine and one.taken.schedule in schedules:
        return False
    its = (one.record.fields.get("snapshots") or {}).get(one.taken.schedule)
    return schedule.outlived(one.taken, its, now)
