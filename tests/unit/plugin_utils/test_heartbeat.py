# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of life."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import heartbeat
from ansible_collections.carve.vps.plugins.plugin_utils.heartbeat import Heartbeat

LINE = "\r\x1b[K"


def made(terminal: bool, status: str = "node1: applying") -> tuple[Heartbeat, list[str]]:
    written: list[str] = []
    return Heartbeat(written.append, lambda: status, threading.RLock(), terminal), written


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until, "nothing came of it"
        time.sleep(0.01)


def test_a_terminal_gets_one_line_that_is_taken_off_again() -> None:
    heart, written = made(terminal=True)
    heart.beat()
    heart.beat()
    assert written == [f"{LINE}node1: applying, 0 s"] * 2
    heart.erase()
    heart.erase()
    assert written[2:] == [LINE]


def test_elsewhere_there_are_whole_lines() -> None:
    heart, written = made(terminal=False)
    heart.beat()
    heart.erase()
    assert written == ["node1: applying, 0 s\n"]


def test_nothing_to_say() -> None:
    heart, written = made(terminal=True, status="")
    heart.beat()
    heart.erase()
    assert written == []


def test_the_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    heart, written = made(terminal=True)
    heart.beat()
    assert written == [f"{LINE}node1: appl"]


def test_it_beats_by_itself_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "ON_TERMINAL", 0.05)
    heart, written = made(terminal=True)
    heart.start()
    wait_for(lambda: len(written) > 2)
    heart.stop()
    assert written[-1] == LINE
    count = len(written)
    time.sleep(0.2)
    assert len(written) == count


def test_new_work_counts_from_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "ELSEWHERE", 0.4)
    heart, written = made(terminal=False)
    heart.start()
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        heart.start()
        time.sleep(0.02)
    assert written == []
    wait_for(lambda: written)
    heart.stop()


def test_a_fork_neither_hangs_nor_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ansible does: it holds the lock when it forks, and its workers print through what they inherited."""
    monkeypatch.setattr(heartbeat, "ON_TERMINAL", 0.01)
    read, write = os.pipe()
    lock = threading.RLock()

    def show(text: str) -> None:
        os.write(write, text.encode())

    heart = Heartbeat(show, lambda: "busy", lock, True)
    heart.start()
    for _attempt in range(20):
        time.sleep(0.01)
        with lock:
            heart.beat()
            child = os.fork()
            if child == 0:
                before = os.getpid()
                os.write(write, b"[child]")
                heart.erase()
                heart.stop()
                os._exit(0 if before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    heart.stop()
    os.close(write)
    with os.fdopen(read, "rb") as reader:
        text = reader.read()
    # After a child has said that it is there, only this process goes on.
    assert text.count(b"[child]") == 20
    assert b"[child]\r\x1b[K[child]" not in text
