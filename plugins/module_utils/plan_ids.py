# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which range of host user ids a container gets."""

from __future__ import annotations

from itertools import chain

from . import slots
from .desired import Desired
from .steps import NodeSeen


class Ids:
    """Hands out uid ranges to containers that are to be created."""

    def __init__(self, desired: Desired, node: NodeSeen, notes: list[str], errors: list[str]) -> None:
        self._desired, self._node, self._notes, self._errors = desired, node, notes, errors
        self._taken = {
            seen.recorded["id"]: name
            for name, seen in {**node.aside, **node.containers}.items()
            if "id" in seen.recorded
        }

    def take(self, name: str, wanted: int | None) -> int | None:
        first = wanted if wanted is not None else next(slots.candidates(self._desired.fleet, name))
        for slot in chain((first,), slots.candidates(self._desired.fleet, name)):
            if slot in self._taken or slots.overlaps(slot, self._node.foreign_ids):
                continue
            if self._node.own_ids and not self._covered(slot):
                continue
            if slot != first:
                holder = self._taken.get(first, "another user of /etc/subuid")
                self._notes.append(f"{name} gets uid range {slot}: range {first} belongs to {holder} on this node")
            self._taken[slot] = name
            return slot
        self._errors.append(f"{name}: no uid range is left on this node; extend root's line in /etc/subuid")
        return None

    def _covered(self, slot: int) -> bool:
        first = slots.base_id(slot)
        return any(start <= first and first + slots.RANGE <= start + n for start, n in self._node.own_ids)
