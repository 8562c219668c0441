# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``carve.vps.snapshot`` or ``carve.vps.backup`` does, in a process of its own, which may be killed:
``killed_snapshot.py ROOM POINT``. ROOM is ``snapshots`` or ``backups``, the module's options are JSON on stdin, and
points are those of ``killed_run.py``, but for its steps."""

from __future__ import annotations

import importlib
import json
import sys

from ansible_collections.carve.vps.tests.integration.killed_run import Killer


def main() -> int:
    room, point = sys.argv[1:]
    ask = importlib.import_module(f"ansible_collections.carve.vps.plugins.module_utils.{room}.ask")
    options = json.load(sys.stdin)
    killer = Killer(point)
    killer.watch(None, "")
    result = ask.run(options, False)
    found = [point for point in killer.points if not point.startswith("step")]
    print(json.dumps({"points": found, "errors": result.get("errors")}))
    return 1 if result.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
