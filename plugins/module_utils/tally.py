# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts that outlive what counts them. Pure.

The kernel counts from the start of a container's run to its end, and forgets. So a tally keeps totals, and what of the
present run is in them already. Counting the same reading twice changes nothing, and no total ever falls.
"""

from __future__ import annotations

from typing import Any

VERSION = 1
Tally = dict[str, Any]


def empty(uuid: str) -> Tally:
    """The tally of a container of which nothing has been counted."""
    return {"version": VERSION, "uuid": uuid, "run": None, "totals": {}, "seen": {}, "peaks": {}}


def of(data: Any, uuid: str) -> Tally:
    """What is on disk, if it is the tally of this container and not of one that had its name before."""
    ours = isinstance(data, dict) and data.get("version") == VERSION and data.get("uuid") == uuid
    return data if ours and set(data) == set(empty(uuid)) else empty(uuid)


def fold(before: Tally, run: str | None, counters: dict[str, int], peaks: dict[str, int]) -> Tally:
    """The tally after a reading of the run ``run``; ``None`` is no run, of which nothing can be read."""
    if run is None:
        return before
    seen = before["seen"] if before["run"] == run else {}
    totals, highest = dict(before["totals"]), dict(before["peaks"])
    for name, value in counters.items():
        # Within a run a count falls when a control group inside the container is removed with what it has counted.
        totals[name] = totals.get(name, 0) + max(0, value - seen.get(name, 0))
    for name, value in peaks.items():
        highest[name] = max(highest.get(name, 0), value)
    return {**before, "run": run, "totals": totals, "seen": {**seen, **counters}, "peaks": highest}
