# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When snapshots are due, how they are called, and which go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible_collections.carve.vps.plugins.module_utils import units
from ansible_collections.carve.vps.plugins.module_utils.snapshots import schedule
from ansible_collections.carve.vps.plugins.module_utils.snapshots.schedule import Taken

NOON = datetime(2026, 11, 22, 12, 0, 7, tzinfo=UTC)
DAILY = {"every": "1d", "keep": 3}
HOURLY = {"every": "1h", "keep": 2}


def taken(name: str | None, *ages: float) -> list[Taken]:
    """Snapshots so many hours old."""
    return [Taken(f"{name or 'mine'}-{age}", name, NOON - timedelta(hours=age)) for age in ages]


def test_a_schedule_without_snapshots_is_due() -> None:
    assert schedule.due({"daily": DAILY, "hourly": HOURLY}, [], NOON) == ["daily", "hourly"]


@pytest.mark.parametrize(
    ("age", "due"),
    [(0.001, []), (0.9, ["hourly"]), (11.9, ["hourly"]), (12.1, ["daily", "hourly"]), (900, ["daily", "hourly"])],
)
def test_each_part_of_time_gets_one(age: float, due: list[str]) -> None:
    """A day begins at midnight, an hour on the hour: what was taken late does not make the next one late."""
    have = [*taken("daily", age), *taken("hourly", age)]
    assert schedule.due({"daily": DAILY, "hourly": HOURLY}, have, NOON) == due


def test_schedules_go_by_their_own_snapshots_only() -> None:
    have = [*taken(None, 0), *taken("other", 0), *taken("hourly", 0)]
    assert schedule.due({"daily": DAILY}, have, NOON) == ["daily"]


def test_a_year_of_days_drifts_nowhere() -> None:
    """The timer comes late, now by seconds, now by minutes: there is one snapshot for each day."""
    have: list[Taken] = []
    for number in range(366 * 24 * 4):
        now = NOON + timedelta(minutes=15 * number, seconds=number * 7919 % 600)
        due = schedule.due({"daily": DAILY}, have[-1:], now)
        have += [Taken(schedule.name_for(name, now), name, now) for name in due]
    assert len({one.time.date() for one in have}) == len(have) == 367


def test_the_oldest_go_and_what_was_made_by_hand_stays() -> None:
    have = [*taken("daily", 1, 25, 49, 73, 97), *taken(None, 1000, 2000), *taken("hourly", 5, 1, 3)]
    assert schedule.superfluous({"daily": DAILY, "hourly": HOURLY}, have) == ["daily-97", "daily-73", "hourly-5"]


def test_of_a_schedule_that_is_no_longer_declared_nothing_goes_at_once() -> None:
    have = taken("daily", *range(0, 240, 24))
    assert schedule.superfluous({}, have) == []
    left = [one.name for one in have if not schedule.outlived(one, DAILY, NOON)]
    assert left == ["daily-0", "daily-24", "daily-48", "daily-72"]


def test_what_was_made_by_hand_is_never_too_old() -> None:
    (one,) = taken(None, 100_000)
    assert not schedule.outlived(one, None, NOON) and not schedule.outlived(one, DAILY, NOON)


def test_names_are_labels_and_tell_the_time() -> None:
    name = schedule.name_for("daily", NOON)
    assert name == "daily-20261122t120007z"
    assert units.parse_label(name) == name
    assert schedule.is_stamp(name.partition("-")[2]) and not schedule.is_stamp("before-upgrade")


def test_times_are_written_in_utc_and_read_back() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert schedule.as_text(there) == "2026-11-22T12:00:07Z"
    assert schedule.from_text(schedule.as_text(there)) == NOON


@pytest.mark.parametrize(("text", "canonical", "seconds"), [
    ("30m", "30m", 1800), ("60m", "1h", 3600), (" 24H", "1d", 86400), ("1w", "7d", 604800), ("36h", "36h", 129600),
])  # fmt: skip
def test_periods(text: str, canonical: str, seconds: int) -> None:
    assert units.parse_period(text) == canonical and units.seconds_of(canonical) == seconds
    assert units.parse_period(canonical) == canonical


@pytest.mark.parametrize("text", ["", "1", "1y", "0d", "9m", "367d", "1.5h", "-1d", "1d 2h", True, None, 60, "1\nd"])
def test_what_is_no_period_is_told(text: object) -> None:
    with pytest.raises(ValueError, match="write one"):
        units.parse_period(text)
