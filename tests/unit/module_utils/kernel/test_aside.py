# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look that may never end is waited for so long and no longer, and holds nothing of who asks for it."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import NoReturn

from ansible_collections.carve.vps.plugins.module_utils.kernel import aside


def fails() -> NoReturn:
    raise OSError("no")


def test_an_answer_comes_back() -> None:
    assert aside.ask(lambda: (5, None), 10) == [5, None]
    assert aside.ask(lambda: None, 10) is None


def test_who_fails_or_does_not_answer_is_not_waited_for() -> None:
    began = time.monotonic()
    assert aside.ask(fails, 10) is None
    assert aside.ask(lambda: time.sleep(30), 0.2) is None
    assert time.monotonic() - began < 5


def test_it_holds_no_lock_of_the_callers(tmp_path: Path) -> None:
    """What a child that stays had of it would keep a lock for as long as it stays."""
    path = tmp_path / "lock"
    with path.open("w", encoding="ascii") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        held = aside.ask(lambda: mine.closed or _is_open(mine.fileno()), 10)
    assert held is False


def _is_open(number: int) -> bool:
    return Path(f"/proc/self/fd/{number}").exists()
