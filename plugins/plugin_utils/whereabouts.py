# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where containers were last seen, and with which addresses: a hint from which the next run predicts.

One file for each manifest, in the user's cache directory. It is never trusted: every run asks the nodes, and a hint
that was wrong costs a second look. Nothing here ever fails; what cannot be remembered is found out again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import cache

_DIRECTORY = "whereabouts"
_FORMAT = 1


@dataclass(frozen=True)
class Whereabouts:
    """The node of each container that is somewhere, and its addresses by interface."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def digest(self) -> str:
        """Two that say the same have the same."""
        return hashlib.sha256(_text(self).encode()).hexdigest()


NOWHERE = Whereabouts()


def place(manifest: str) -> Path | None:
    """The file in which a manifest's whereabouts are remembered; ``None`` for a user who has no home."""
    try:
        return cache.entry(_DIRECTORY, manifest)
    except RuntimeError:
        return None


def load(path: Path) -> Whereabouts:
    """What is remembered; nothing, when there is nothing that can be read."""
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT:
            return NOWHERE
        return Whereabouts(
            {str(name): str(node) for name, node in found["nodes"].items()},
            {
                str(name): {str(interface): [str(a) for a in listed] for interface, listed in own.items()}
                for name, own in found["addresses"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NOWHERE


def save(path: Path, seen: Whereabouts) -> None:
    """Remember this in place of what was remembered before."""
    with contextlib.suppress(OSError):
        cache.write(path, _text(seen).encode())


def _text(seen: Whereabouts) -> str:
    content: dict[str, Any] = {
        "format": _FORMAT,
        "nodes": dict(seen.nodes),
        "addresses": {name: {i: list(a) for i, a in own.items()} for name, own in seen.addresses.items()},
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
