# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenVZ's beancounters, from what a mainline kernel counts. Pure: readings and totals in, rows and text out.

A value that the kernel does not track is ``None`` in a row and a dash in the text, never a number. Units are OpenVZ's:
pages of 4096 bytes, bytes, or things. ``UNLIMITED`` is what OpenVZ prints where there is no limit.
"""

from __future__ import annotations

UNLIMITED = (1 << 63) - 1
COLUMNS = ("held", "maxheld", "barrier", "limit", "failcnt")
# In the order of /proc/user_beancounters, which has places that hold nothing.
_PLACES = (
    "kmemsize", "lockedpages", "privvmpages", "shmpages", "dummy", "numproc", "physpages", "vmguarpages",
    "oomguarpages", "numtcpsock", "numflock", "numpty", "numsiginfo", "tcpsndbuf", "tcprcvbuf", "othersockbuf",
    "dgramrcvbuf", "numothersock", "dcachesize", "numfile", "dummy", "dummy", "dummy", "numiptent",
)  # fmt: skip
# The kernel of OpenVZ shows swap only in /proc/bc/ID/resources, in this form.
RESOURCES = (*(place for place in _PLACES if place != "dummy"), "swappages")
Row = dict[str, "int | None"]


def rows(levels: dict[str, Row], totals: dict[str, int], peaks: dict[str, int]) -> dict[str, Row]:
    """A row for each resource. ``levels`` is what stands in the kernel now (held, barrier, limit); ``totals`` and
    ``peaks`` are kept over the ends of runs, by ``fail.RESOURCE`` and RESOURCE."""
    found: dict[str, Row] = {}
    for resource in RESOURCES:
        row = dict.fromkeys(COLUMNS)
        row.update(levels.get(resource, {}))
        row["maxheld"] = peaks.get(resource)
        row["failcnt"] = totals.get(f"fail.{resource}")
        found[resource] = row
    return found


def as_text(uid: int, found: dict[str, Row]) -> str:
    """The rows as /proc/user_beancounters has them, version 2.5, and ``swappages`` after them."""
    lines = ["Version: 2.5", _line("       uid", "resource", COLUMNS)]
    margin = f"{uid:>9}:"
    for place in (*_PLACES, "swappages"):
        row = found.get(place)
        values = ["0" if row is None else "-" if row[column] is None else str(row[column]) for column in COLUMNS]
        lines.append(_line(margin, place, values))
        margin = " " * 10
    return "\n".join(lines) + "\n"


def _line(margin: str, name: str, values: tuple[str, ...] | list[str]) -> str:
    return f"{margin}  {name:<12} " + " ".join(f"{value:>20}" for value in values)
