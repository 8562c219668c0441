# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signs of life while long work runs: one updating line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

# Seconds between signs.
ON_TERMINAL, ELSEWHERE = 1.0, 10.0
_ERASE = "\r\x1b[K"


class Heartbeat:
    """Prints ``STATUS, N s`` while ``status`` returns text.

    ``write`` shows text at once and as it is. ``lock`` must be the one that everybody holds who prints, and that is
    held across forks: Ansible forks its workers from the process in which the heart beats, and a lock of our own that
    is held at that moment would stay locked in the worker for ever.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        status: Callable[[], str],
        lock: AbstractContextManager[Any],
        terminal: bool,
    ) -> None:
        self._write, self._status, self._lock, self._terminal = write, status, lock, terminal
        self._interval = ON_TERMINAL if terminal else ELSEWHERE
        self._process = os.getpid()
        self._since = time.monotonic()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown = False

    def start(self) -> None:
        """Counts from now; the first sign comes when one interval has passed."""
        self._since = time.monotonic()
        if self._thread is None:
            self._done.clear()
            self._thread = threading.Thread(target=self._run, name="carve-heartbeat", daemon=True)
            # The interpreter does not wait for a daemon, and would end in the middle of its line.
            atexit.register(self.stop)
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None and os.getpid() == self._process:
            self._done.set()
            self._thread.join()
            self._thread = None
            atexit.unregister(self.stop)
            self.erase()

    def erase(self) -> None:
        """Takes the updating line off the screen, so that what is printed next starts on an empty one."""
        with self._lock:
            if self._shown and os.getpid() == self._process:
                self._shown = False
                self._write(_ERASE)

    def beat(self) -> None:
        with self._lock:
            text = self._status()
            if not text:
                return
            text = f"{text}, {round(self._elapsed())} s"
            if not self._terminal:
                self._write(text + "\n")
            else:
                # Longer than the screen is wide, it could not be taken off again.
                self._write(_ERASE + text[: shutil.get_terminal_size().columns - 1])
                self._shown = True

    def _run(self) -> None:
        while not self._done.wait(self._interval - self._elapsed() % self._interval):
            with self._lock:
                # While the lock was awaited, the work may have ended or other work begun.
                if not self._done.is_set() and self._elapsed() >= self._interval:
                    self.beat()

    def _elapsed(self) -> float:
        return time.monotonic() - self._since
