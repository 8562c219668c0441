# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of the node for attacks to aim at: one that succeeds hits nothing that matters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.isolation.attack import Report
from ansible_collections.carve.vps.tests.isolation.scene import Scene

# On the node; what attacks aim at, so that one that succeeds hits nothing that matters.
CANARY = Path("/run/carve-attack-canary")
_SONG = "sings\n"


def canary(_scene: Scene) -> dict[str, Any]:
    CANARY.mkdir(exist_ok=True)
    for name in ("hosts", "resolv.conf", "hostname", "authorized_keys"):
        (CANARY / name).write_text(_SONG, encoding="ascii")
    return {"canary": str(CANARY)}


def silenced(_scene: Scene, _report: Report) -> str | None:
    there = {path.name: path.read_text(encoding="utf-8") for path in CANARY.iterdir()}
    if there != dict.fromkeys(("hosts", "resolv.conf", "hostname", "authorized_keys"), _SONG):
        return f"the node's files were changed: {there}"
    return None


def no_canary(_scene: Scene) -> None:
    shutil.rmtree(CANARY, ignore_errors=True)
