# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in the user's cache directory, one of a kind for each manifest. They may go at any time."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def entry(kind: str, file: str) -> Path:
    """Where something of this kind is kept about a file. Raises ``RuntimeError`` when the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "carve" / kind / hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()[:32]


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole. Raises ``OSError``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Aside and renamed, as several runs may do this at once.
    handle, aside = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    Path(aside).replace(path)
