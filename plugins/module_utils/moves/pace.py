# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the last live move from this node has kept a container still: what the next one is likely to take."""

from __future__ import annotations

from typing import Any

from .. import files
from ..paths import Paths

_FILE = "pace.json"


def keep(paths: Paths, memory_bytes: int, still_s: float) -> None:
    files.write_json(f"{paths.base}/{_FILE}", {"memory_bytes": memory_bytes, "still_s": still_s})


def last(paths: Paths) -> tuple[int, float] | None:
    """The bytes of its memory, and the seconds."""
    found: dict[str, Any] | None = files.read_json(f"{paths.base}/{_FILE}")
    return (int(found["memory_bytes"]), float(found["still_s"])) if found else None
