# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every container has ids of its own, and keeps them."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.carve.vps.plugins.module_utils import slots
from hypothesis import given, settings
from hypothesis import strategies as st

names = st.text("abc123-", min_size=1, max_size=6)
slot = st.integers(slots.FIRST, slots.LAST)


@settings(max_examples=10)
@given(names, names)
def test_candidates_are_all_slots_once(fleet: str, name: str) -> None:
    found = list(slots.candidates(fleet, name))
    assert len(found) == slots.COUNT
    assert set(found) == set(range(slots.FIRST, slots.LAST + 1))


@given(names, st.lists(names, unique=True), st.dictionaries(names, slot))
def test_all_are_different_and_pins_hold(fleet: str, wanted: list[str], pinned: dict[str, int]) -> None:
    pinned = {name: number for number, name in {v: k for k, v in pinned.items()}.items()}
    result = slots.assign(fleet, wanted, pinned)
    assert set(result) == set(wanted)
    assert len(set(result.values())) == len(result)
    others = {number for name, number in pinned.items() if name not in wanted}
    assert not others & set(result.values())
    assert all(result[name] == number for name, number in pinned.items() if name in wanted)


@given(names, st.lists(names, unique=True), st.data())
def test_what_was_assigned_and_is_pinned_stays_in_any_order(fleet: str, wanted: list[str], data: st.DataObject) -> None:
    first = slots.assign(fleet, wanted, {})
    again = data.draw(st.permutations([*wanted, "new-one"]))
    second = slots.assign(fleet, again, first)
    assert {name: second[name] for name in wanted} == first


def test_a_name_that_collides_takes_the_next_slot() -> None:
    first, second = itertools.islice(slots.candidates("acme", "web"), 2)
    assert slots.assign("acme", ["web"], {}) == {"web": first}
    assert slots.assign("acme", ["web"], {"db": first}) == {"web": second}


def test_a_full_fleet_says_so() -> None:
    pinned = {str(number): number for number in range(slots.FIRST, slots.LAST + 1)}
    with pytest.raises(ValueError, match=r"room for 32752 containers"):
        slots.assign("acme", ["one-more"], pinned)


def test_ids_stay_below_the_sign_bit() -> None:
    assert slots.base_id(slots.FIRST) == 1 << 20
    assert slots.base_id(slots.LAST) + slots.RANGE == 1 << 31


@pytest.mark.parametrize(
    ("start", "count", "meets"),
    [(0, 65536, True), (-1, 1, False), (-1, 2, True), (65535, 1, True), (65536, 9, False), (-9, 99999, True)],
)
def test_ranges_that_touch_do_not_overlap(start: int, count: int, meets: bool) -> None:
    assert slots.overlaps(20, [(slots.base_id(20) + start, count)]) == meets


@given(slot, st.lists(st.tuples(st.integers(0, 1 << 31), st.integers(1, 1 << 20)), max_size=3))
def test_overlaps_means_one_id_in_common(number: int, ranges: list[tuple[int, int]]) -> None:
    ids = range(slots.base_id(number), slots.base_id(number) + slots.RANGE)
    common = any(range(max(ids.start, start), min(ids.stop, start + count)) for start, count in ranges)
    assert slots.overlaps(number, ranges) == common
