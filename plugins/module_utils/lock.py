# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a node: a lock that its holder's death releases (flock(2)) and that says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator

from .paths import Paths


class Busy(Exception):
    """Somebody else is at work on the node."""


@contextlib.contextmanager
def held(paths: Paths, exclusive: bool, who: dict[str, str], timeout: float) -> Iterator[None]:
    """Hold the node's lock. Readers share it. Raises ``Busy`` after ``timeout`` seconds, naming the holder."""
    os.makedirs(paths.run, mode=0o711, exist_ok=True)
    fd = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, timeout)
        os.ftruncate(fd, 0)  # what a writer who was killed has left is not to be blamed on a reader
        if exclusive:
            text = json.dumps({**who, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
            os.pwrite(fd, text.encode(), 0)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, how: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(_describe(fd)) from None
            time.sleep(0.1)


def _describe(fd: int) -> str:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
        pid = f"process {holder.pop('pid')} (since {holder.pop('since')})"
        rest = ", ".join(f"{key} {value}" for key, value in holder.items())
        return f"the node is locked by {pid}: {rest}; wait for it, or end that process"
    except (ValueError, KeyError):
        return "the node is locked by a run that is reading it; try again"
