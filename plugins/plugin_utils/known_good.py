# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remembers, in the user's cache directory, the digest with which each file was last found good.

One small file for each manifest. Nothing here ever fails: what cannot be remembered is checked again.
"""

from __future__ import annotations

import contextlib

from . import cache

_DIRECTORY = "manifests"


def has(file: str, digest: str) -> bool:
    """Whether ``file`` was last found good with this digest."""
    try:
        return cache.entry(_DIRECTORY, file).read_bytes() == digest.encode()
    except (OSError, RuntimeError):
        return False


def add(file: str, digest: str) -> None:
    """Remember that ``file`` was found good, in place of what was remembered of it before."""
    with contextlib.suppress(OSError, RuntimeError):
        cache.write(cache.entry(_DIRECTORY, file), digest.encode())
