# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers start and stop in their order, several at once, and one that fails holds up nobody."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import power
from ansible_collections.carve.vps.plugins.module_utils.host import Box
from ansible_collections.carve.vps.plugins.module_utils.record import Record

HOST: Any = None


def box(name: str, order: int, delay: int = 0) -> Box:
    return Box(Record("acme", name, "d", "overlay", {"id": 20, "start_order": order, "start_delay": delay}), "/nowhere")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    guard = threading.Lock()

    def note(what: str) -> None:
        with guard:
            told.append(what)

    def start(host: Any, started: Box) -> None:
        note(started.name)
        if started.name == "bad":
            raise power.lxc.EngineError("no")

    monkeypatch.setattr(power, "start", start)
    monkeypatch.setattr(power, "stop", lambda host, stopped: note(stopped.name))
    monkeypatch.setattr(power.time, "sleep", lambda seconds: note(f"{seconds} s"))
    return told


def test_starts_in_order_with_delays_between(log: list[str]) -> None:
    boxes = [box("c", 30, delay=9), box("b", 20, delay=2), box("a", 10), box("bad", 20, delay=5)]
    failures = power.start_in_order(HOST, boxes)
    assert [*log[:1], *sorted(log[1:3]), *log[3:]] == ["a", "b", "bad", "5 s", "c"]
    assert {name: str(error) for name, error in failures.items()} == {"bad": "no"}


def test_stops_in_reverse(log: list[str]) -> None:
    assert power.stop_in_order(HOST, [box("a", 10), box("c", 30), box("b", 20)]) == {}
    assert log == ["c", "b", "a"]


def test_nobody_to_start(log: list[str]) -> None:
    assert power.start_in_order(HOST, []) == power.stop_in_order(HOST, []) == {}
    assert log == []


def test_several_at_once_but_not_all() -> None:
    at_work, most = [0], [0]
    guard = threading.Lock()
    full = threading.Event()

    def work(_box: Box) -> None:
        with guard:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            if at_work[0] == power.AT_ONCE:
                full.set()
        assert full.wait(30)
        with guard:
            at_work[0] -= 1

    assert power.each(work, [box(f"c{number}", 1) for number in range(20)]) == {}
    assert most[0] == power.AT_ONCE


def test_one_that_has_lost_its_memory_in_being_made_anew_is_started_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its processes have run for a moment, so the images are gone already when that fails."""
    images, started = ["memory"], []

    def start(_host: Any, _box: Box) -> None:
        started.append(bool(images))
        if images:
            images.clear()
            raise power.lxc.EngineError("its init ended at once")

    monkeypatch.setattr(power, "start", start)
    monkeypatch.setattr(power.suspend, "is_suspended", lambda _directory: bool(images))
    monkeypatch.setattr(power.suspend, "discard", lambda _directory: images.clear())
    assert power.start_anyhow(HOST, box("a", 10)) == "its init ended at once"
    assert started == [True, False]
    assert power.start_anyhow(HOST, box("a", 10)) is None


def test_one_that_had_no_memory_is_not_started_twice(log: list[str]) -> None:
    with pytest.raises(power.lxc.EngineError):
        power.start_anyhow(HOST, box("bad", 10))
    assert log == ["bad"]
