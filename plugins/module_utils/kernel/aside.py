# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look that may never end, as where a container has a filesystem of its own making (FUSE) that does not answer.

A process that waits for such a filesystem may not even be killed (fuse.rst, "Aborting a filesystem connection"). So it
is a child that looks, and a child that is left behind.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable
from typing import Any


def ask(look: Callable[[], Any], patience: float) -> Any:
    """What a function returns, as JSON has it; ``None`` where that takes longer than ``patience`` seconds, or fails."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # Nothing of the caller's is to be held by one that stays: neither its locks, nor whom it speaks to.
            null = os.open("/dev/null", os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.dup2(theirs, 3)
            os.closerange(4, 1 << 20)
            os.write(3, json.dumps(look()).encode("ascii"))
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        answer = os.read(ours, 1 << 16) if select.select([ours], [], [], patience)[0] else b""
    finally:
        os.close(ours)
    if not answer:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0 if answer else os.WNOHANG)
    return json.loads(answer) if answer else None
