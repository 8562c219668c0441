# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run in a process of its own, which may be killed: ``killed_run.py POINT``, the module's options as JSON on stdin.

POINT is ``step N``, the N-th time that the run tells of a step, before or after it; or ``FILE:LINE CALL N``, the N-th
time that this line of the collection comes to this call, which changes something on the node. With ``never`` the run
ends in peace, and says on stdout which points there were, in their order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import reconcile
from ansible_collections.carve.vps.plugins.module_utils.steps import Step

_SOURCES = f"{Path(reconcile.__file__).parent}/"
_SYSCALLS = f"{_SOURCES}kernel/syscalls.py"
# Python's own doors to the kernel through which something on the node is changed or waited for.
_DOORS = {
    "chmod", "chown", "fchmod", "fchown", "fork", "fork_exec", "fsync", "ioctl", "kill", "mkdir", "open", "poll",
    "pwrite", "rename", "rmdir", "send", "sendmsg", "sendto", "symlink", "truncate", "unlink", "waitpid", "write",
}  # fmt: skip


class Killer:
    """Counts the points of a run, and ends it at one of them as the kernel would: with no word to anybody."""

    def __init__(self, point: str) -> None:
        self.points: dict[str, None] = {}
        self._point = point
        # A process forked off by the run must not be taken for it: what waits for its end does its work then.
        self._victim = os.getpid()
        self._carrying_out = False
        self._times: Counter[str] = Counter()
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def watch(self, _step: Step, _status: str) -> None:
        self._carrying_out = True
        self._reached("step")

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._carrying_out or os.getpid() != self._victim:
            return
        code = frame.f_code
        if event == "call" and code.co_name == "observe" and code.co_filename == f"{_SOURCES}observe.py":
            self._carrying_out = False  # what was done is being looked at
        elif event == "call" and code.co_filename == _SYSCALLS and code.co_name[0].isalpha():
            self._reached(_place(frame.f_back) + code.co_name)
        elif event == "c_call" and argument.__name__ in _DOORS:
            self._reached(_place(frame) + argument.__name__)

    def _reached(self, place: str) -> None:
        self._times[place] += 1
        point = f"{place} {self._times[place]}"
        # Of what is done a thousand times, such as removing a file, a few times will do; of waiting, once.
        once = place.endswith("poll")
        if place == "step" or self._times[place] == 1 or (not once and self._times[place].bit_count() == 1):
            self.points[point] = None
        if point == self._point:
            os.kill(self._victim, signal.SIGKILL)
            signal.pause()


def _place(frame: FrameType | None) -> str:
    """The line of the collection's that led to a frame."""
    while frame is not None and not frame.f_code.co_filename.startswith(_SOURCES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.removeprefix(_SOURCES)}:{frame.f_lineno} " if frame else ""


def main() -> int:
    killer = Killer(sys.argv[1])
    result = reconcile.run(json.load(sys.stdin), check=False, watch=killer.watch)
    print(json.dumps({"points": list(killer.points), "errors": result.get("errors")}))
    return 1 if result.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
