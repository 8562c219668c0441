# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When snapshots are due by a container's schedules, how they are called, and which have had their time. Pure.

Times are UTC. A schedule divides time, from 1970 on, into parts as long as ``every``; a part in which there is no
snapshot yet lacks one. So nothing drifts, and a node that was off has missed what it missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from .. import units

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Taken(NamedTuple):
    """A snapshot as far as schedules are concerned; ``schedule`` is ``None`` for one made by hand."""

    name: str
    schedule: str | None
    time: datetime


def as_text(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime(_FORMAT)


def from_text(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=timezone.utc)


def name_for(schedule: str, time: datetime) -> str:
    """The name of a snapshot that a schedule asks for, such as ``daily-20261122t000000z``."""
    return f"{schedule}-{stamp(time)}"


def stamp(time: datetime) -> str:
    """A time as it stands in names, which are DNS labels."""
    return time.astimezone(timezone.utc).strftime("%Y%m%dt%H%M%Sz")


def is_stamp(text: str) -> bool:
    return re.fullmatch(r"\d{8}t\d{6}z", text) is not None


def due(schedules: Mapping[str, Mapping[str, Any]], taken: Iterable[Taken], now: datetime) -> list[str]:
    """The schedules that lack a snapshot now."""
    have = list(taken)
    lacking = []
    for name, schedule in schedules.items():
        length = units.seconds_of(schedule["every"])
        parts = {_part(one.time, length) for one in have if one.schedule == name}
        if _part(now, length) not in parts:
            lacking.append(name)
    return lacking


def _part(time: datetime, length: int) -> int:
    return int(time.timestamp()) // length


def superfluous(schedules: Mapping[str, Mapping[str, Any]], taken: Iterable[Taken]) -> list[str]:
    """The snapshots that are more than their schedules keep, oldest first. What was made by hand is not among them."""
    have = sorted(taken, key=lambda one: (one.time, one.name))
    gone: list[Taken] = []
    for name, schedule in schedules.items():
        mine = [one for one in have if one.schedule == name]
        gone += mine[: max(0, len(mine) - schedule["keep"])]
    return [one.name for one in sorted(gone, key=lambda one: (one.time, one.name))]


def outlived(one: Taken, schedule: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether a snapshot that no schedule counts any more is older than its own one kept any: the container has left,
    or the schedule is no longer declared. ``schedule`` is as it was when the snapshot was taken."""
    if one.schedule is None or schedule is None:
        return False
    return now - one.time > timedelta(seconds=units.seconds_of(schedule["every"]) * schedule["keep"])
