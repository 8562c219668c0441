# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts that outlive what counts them."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils import tally
from hypothesis import given
from hypothesis import strategies as st

UUID = "0" * 32
NAMES = ("cpu_us", "fail.numproc", "net.eth0.in_bytes")
READINGS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1000))
# Runs: of each, what is read of it from time to time. Counts may fall, as when a control group inside is removed.
RUNS = st.lists(st.lists(READINGS, max_size=4), max_size=4)


def readings(runs: list[list[dict[str, int]]]) -> list[tuple[str, dict[str, int]]]:
    return [(f"boot:{number}", reading) for number, run in enumerate(runs) for reading in run]


@given(RUNS)
def test_no_total_ever_falls_and_no_reading_counts_twice(runs: list[list[dict[str, int]]]) -> None:
    kept = tally.empty(UUID)
    for run, reading in readings(runs):
        after = tally.fold(kept, run, reading, reading)
        assert all(after["totals"][name] >= value for name, value in kept["totals"].items())
        assert all(after["peaks"][name] >= value for name, value in kept["peaks"].items())
        assert tally.fold(after, run, reading, reading) == after
        kept = after


@given(RUNS, st.integers(0, 3))
def test_how_often_it_was_looked_at_does_not_matter(runs: list[list[dict[str, int]]], every: int) -> None:
    """Counts that only rise come to the same whether each reading was kept or only the last of a run."""
    often, seldom = tally.empty(UUID), tally.empty(UUID)
    for number, run in enumerate(runs):
        count = dict.fromkeys(NAMES, 0)
        for step, reading in enumerate(run):
            count = {name: value + reading.get(name, 0) for name, value in count.items()}
            often = tally.fold(often, f"boot:{number}", count, {})
            if step + 1 == len(run) or (every and step % every == 0):
                seldom = tally.fold(seldom, f"boot:{number}", count, {})
    assert often == seldom
    everything = [reading.get(name, 0) for run in runs for reading in run for name in NAMES]
    assert sum(often["totals"].values()) == sum(everything)


@given(RUNS)
def test_a_peak_is_the_highest_of_all_runs(runs: list[list[dict[str, int]]]) -> None:
    kept = tally.empty(UUID)
    for run, reading in readings(runs):
        kept = tally.fold(kept, run, {}, reading)
    for name in NAMES:
        seen = [reading[name] for run in runs for reading in run if name in reading]
        assert kept["peaks"].get(name) == (max(seen) if seen else None)


def test_a_container_that_does_not_run_counts_nothing() -> None:
    kept = tally.fold(tally.empty(UUID), "boot:1", {"cpu_us": 5}, {"numproc": 3})
    assert tally.fold(kept, None, {}, {}) == kept


def test_what_is_on_disk_is_believed_only_if_it_is_this_containers() -> None:
    kept = tally.fold(tally.empty(UUID), "boot:1", {"cpu_us": 5}, {})
    assert tally.of(kept, UUID) == kept
    for data in (
        None,
        [],
        "text",
        {},
        {"version": 1, "uuid": UUID},
        {**kept, "version": 2},
        {**kept, "uuid": "1" * 32},
    ):
        assert tally.of(data, UUID) == tally.empty(UUID)
