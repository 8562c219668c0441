# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A move in a process of its own, which may be killed: ``killed_move.py NAMESPACE POINT``, the module's options as JSON
on stdin. POINT is ``before NAME`` or ``after NAME``, of a function of ``departure.py``; with ``never`` the move ends in
peace, and its result is on stdout."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.kernel import syscalls
from ansible_collections.carve.vps.plugins.module_utils.moves import departure, ends


def main() -> int:
    namespace, point = sys.argv[1:]
    fd = os.open(namespace, os.O_RDONLY)
    syscalls.setns(fd, syscalls.CLONE_NEWNS)
    when, _sep, name = point.partition(" ")
    event = {"before": "call", "after": "return"}.get(when)

    def profile(frame: FrameType, happened: str, _argument: Any) -> None:
        code = frame.f_code
        if happened == event and code.co_name == name and code.co_filename == departure.__file__:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(profile)
    print(json.dumps(ends.at_source(json.load(sys.stdin), check=False)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
