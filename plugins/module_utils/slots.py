# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which 65536 user ids belong to which container.

A slot is a range of host ids: slot ``s`` is the ids from ``s * 65536`` up. Slots 16 to 32767 are used, so that all ids
stay below 2^31 (user_namespaces(7) maps 32-bit ids, but not every file system and tool survives the sign bit) and above
the first ranges that distributions give to people in /etc/subuid. A fleet therefore has room for 32752 containers.

The slot of a container follows from its name, not from when it was made or where it runs: a container keeps its range
when it moves. Two names may fall on one slot; the later one in the manifest takes the next free slot, and what a
node has recorded for a container that exists wins over what the name would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

RANGE = 65536
FIRST, LAST = 16, 32767
COUNT = LAST - FIRST + 1


def base_id(slot: int) -> int:
    """The host id that is id 0 inside the container."""
    return slot * RANGE


def candidates(fleet: str, name: str) -> Iterator[int]:
    """Every slot, in the order in which this container would take one."""
    import hashlib  # here, for the hook of every start loads this module and never comes this way

    digest = hashlib.sha256(f"{fleet}/{name}".encode()).digest()
    start = int.from_bytes(digest[:8], "big") % COUNT
    for step in range(COUNT):
        yield FIRST + (start + step) % COUNT


def assign(fleet: str, names: Iterable[str], pinned: Mapping[str, int]) -> dict[str, int]:
    """A slot for each name, all different; ``pinned`` ones are taken first. Raises ``ValueError`` when none is left."""
    taken = set(pinned.values())
    result: dict[str, int] = {}
    for name in names:
        if name in pinned:
            result[name] = pinned[name]
            continue
        slot = next((s for s in candidates(fleet, name) if s not in taken), None)
        if slot is None:
            raise ValueError(f"no uid range is left for {name!r}: a fleet has room for {COUNT} containers")
        taken.add(slot)
        result[name] = slot
    return result


def overlaps(slot: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a slot's ids meet any ``(first, count)`` range, as /etc/subuid lists them."""
    first = base_id(slot)
    return any(start < first + RANGE and first < start + count for start, count in ranges)
