# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remembers, in the user's cache directory, the digest with which each file was last found good.

One small file for each manifest. Nothing here ever fails: what cannot be remembered is checked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


def has(file: str, digest: str) -> bool:
    """Whether ``file`` was last found good with this digest."""
    try:
        return _entry(file).read_bytes() == digest.encode()
    except (OSError, RuntimeError):
        return False


def add(file: str, digest: str) -> None:
    """Remember that ``file`` was found good, in place of what was remembered of it before."""
    with contextlib.suppress(OSError, RuntimeError):
        entry = _entry(file)
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Aside and renamed, as several runs may do this at once.
        handle, aside = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(digest.encode())
        Path(aside).replace(entry)


def _entry(file: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "carve" / "manifests" / hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()[:32]
