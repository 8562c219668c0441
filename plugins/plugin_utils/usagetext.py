# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers use and have used, as people read it. Pure: what ``carve.vps.node_info`` returned in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .outcome import natural
from .render import clean

_PAGE = 4096
# By unit; everything else is a number of things.
_PAGES = (
    "lockedpages", "privvmpages", "shmpages", "physpages", "vmguarpages", "oomguarpages", "swappages",
)  # fmt: skip
_BYTES = ("kmemsize", "tcpsndbuf", "tcprcvbuf", "othersockbuf", "dgramrcvbuf", "dcachesize")
_COLUMNS = ("held", "maxheld", "barrier", "limit", "failcnt")
_UNLIMITED = (1 << 63) - 1
# A limit that was met is no refusal: the kernel made room.
_REFUSED = ("oomguarpages", "numproc", "swappages")
_HEAD = (
    "container", "node", "ram", "swap", "processes", "disk", "cpu time", "read", "written", "net in", "out", "failures",
)  # fmt: skip
Containers = Mapping[str, Mapping[str, Any]]


class NoSuchContainer(Exception):
    """What was asked for is not among what was found."""


def table(nodes: Mapping[str, Containers], fleet: str) -> str:
    """A line for each of the fleet's containers, with totals over all of its runs."""
    rows = [_line(node, name, found) for node, name, found in _of(nodes, fleet)]
    if not rows:
        return f"There is no container of fleet {fleet}."
    return "\n".join(_aligned([_HEAD, *rows], left=(0, 1, len(_HEAD) - 1)))


def single(nodes: Mapping[str, Containers], fleet: str, wanted: str) -> str:
    """All that is known of one container. One that is on two nodes for a moment is shown twice."""
    places = [(node, found) for node, name, found in _of(nodes, fleet) if name == wanted]
    if not places:
        raise NoSuchContainer(f"there is no container {wanted!r} of fleet {fleet} on these nodes")
    return "\n\n".join("\n".join(_details(node, wanted, found)) for node, found in places)


def _of(nodes: Mapping[str, Containers], fleet: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    pairs = [(node, name) for node, containers in nodes.items() for name in containers]
    for node, name in sorted(pairs, key=lambda pair: (natural(pair[1]), natural(pair[0]))):
        found = nodes[node][name]
        if found.get("fleet") == fleet and "usage" in found:
            yield node, name, found


def _line(node: str, name: str, found: Mapping[str, Any]) -> list[str]:
    use, rows = found["usage"], found["usage"]["beancounters"]
    traffic = use["network_traffic"].values()
    refused = [f"{resource} {rows[resource]['failcnt']}" for resource in _REFUSED if rows[resource]["failcnt"]]
    return [
        clean(name),
        clean(node),
        _of_limit("physpages", rows) if found["state"] == "running" else clean(found["state"]),
        _of_limit("swappages", rows),
        _of_limit("numproc", rows),
        _disk(found),
        duration(use["cpu"]["cpu_us"]),
        size(use["disk_traffic"]["read_bytes"]),
        size(use["disk_traffic"]["written_bytes"]),
        size(sum(one["in_bytes"] for one in traffic)) if traffic else "-",
        size(sum(one["out_bytes"] for one in traffic)) if traffic else "-",
        ", ".join(refused) or "-",
    ]


def _of_limit(resource: str, rows: Mapping[str, Mapping[str, int | None]]) -> str:
    row = rows[resource]
    if row["held"] is None:
        return "-"
    held, limit = _shown(resource, row["held"]), row["limit"]
    return held if limit in (None, _UNLIMITED) else f"{held} of {_shown(resource, limit)}"


def _disk(found: Mapping[str, Any]) -> str:
    """What the container's own files take, of what it may have."""
    used, limit = found.get("disk_in_use"), (found.get("declared") or {}).get("disk")
    if used is None:
        return "-"
    return size(used) + (f" of {clean(limit)}" if limit else "")


def _disk_of_ids(found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each user and group inside that has limits of its own."""
    for option, what in (("disk_users", "user"), ("disk_groups", "group")):
        for ident, one in sorted((found.get(option) or {}).items(), key=lambda item: natural(item[0])):
            space = size(one["disk_in_use"]) + ("" if one["disk"] is None else f" of {size(one['disk'])}")
            inodes = f"{one['inodes_in_use']}" + ("" if one["inodes"] is None else f" of {one['inodes']}")
            yield f"{what} {clean(ident)}: {space}, inodes {inodes}"


def _details(node: str, name: str, found: Mapping[str, Any]) -> list[str]:
    use = found["usage"]
    lines = [f"{clean(name)} on {clean(node)}, {clean(found['state'])}"]
    rows: list[tuple[str, ...]] = [("resource", *_COLUMNS)]
    for resource, row in use["beancounters"].items():
        if all(row[column] is None for column in _COLUMNS):
            known = found["state"] == "running"
            rows.append((clean(resource), "not tracked" if known else "-", *["-"] * 4))
        else:
            counted = [_shown(resource, row[column]) for column in _COLUMNS[:-1]]
            rows.append((clean(resource), *counted, "-" if row["failcnt"] is None else str(row["failcnt"])))
    lines += [f"  {line}" for line in _aligned(rows, left=(0,))]
    cpu, disk = use["cpu"], use["disk_traffic"]
    lines.append(f"  cpu time {duration(cpu['cpu_us'])}, held back {duration(cpu['throttled_us'])}")
    lines.append(f"  disk: {_disk(found)}, read {size(disk['read_bytes'])}, written {size(disk['written_bytes'])}")
    lines += [f"    {line}" for line in _disk_of_ids(found)]
    if found.get("snapshots"):
        lines.append(f"  snapshots: {len(found['snapshots'])}, {size(found['snapshots_bytes'])}, not counted for disk")
    for interface, traffic in use["network_traffic"].items():
        parts = (
            f"{way} {size(traffic[f'{way}_bytes'])} ({traffic[f'{way}_packets']} packets)" for way in ("in", "out")
        )
        lines.append(f"  {clean(interface)}: {', '.join(parts)}")
    if use["network_buffers"] is not None:
        lines.append(f"  network buffers of all kinds: {size(use['network_buffers'])}")
    return lines


def _shown(resource: str, value: int | None) -> str:
    if value is None:
        return "-"
    if value == _UNLIMITED:
        return "unlimited"
    if resource in _PAGES:
        return size(value * _PAGE)
    return size(value) if resource in _BYTES else str(value)


def size(value: int | None) -> str:
    """Bytes to three digits, such as 1.25G."""
    if value is None:
        return "-"
    number, unit = float(value), ""
    for bigger in "KMGTPE":
        if number < 999.5:
            break
        number, unit = number / 1024, bigger
    digits = 0 if not unit or number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + unit


def duration(microseconds: int | None) -> str:
    """The two largest units, such as 3d 4h."""
    if microseconds is None:
        return "-"
    seconds = microseconds / 1_000_000
    if seconds < 60:
        return f"{seconds:.1f}s"
    left, parts = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= length or parts:
            parts.append(f"{left // length}{unit}")
            left %= length
    return " ".join(parts[:2])


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column in left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
