# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory and swap: ``ram`` and ``swap``, each a limit of its own, and ``ram_guarantee``, what is not taken away.

Kernel: memory.max and memory.swap.max (cgroup-v2.rst). Version 1 (memory.rst) limits memory, and memory and swap
together (memsw), and never allows memory above memsw; so memsw is raised before and lowered after memory, and at no
moment is either unlimited.

A guarantee is memory.min. The softer memory.low protects next to nothing where the multi-generational LRU is on, as on
Debian 13 (multigen_lru.rst): that passes such a group over once, and takes from it the second time.

It protects no further than that of the group above does. So the group of all containers has the sum of theirs,
and not more, for where cgroup2 is mounted with memory_recursiveprot (systemd does) what is left over would protect
containers that have no guarantee. Version 1 has memory.soft_limit_in_bytes, where what is over its limit gives back
first: no guarantee is 0 there, not the kernel's default of no limit, which would be the greatest guarantee of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..kernel.cgroup import keyed, parse_limit
from ..steps import Change
from .base import Facet

_FILES = {"ram": "memory.max", "swap": "memory.swap.max"}
_LIMIT, _MEMSW = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
_GUARANTEE = {1: "memory.soft_limit_in_bytes", 2: "memory.min"}


class Memory(Facet):
    name = "memory"
    live_rows = ("ram", "swap", "ram_guarantee")

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        return {box.name: _observe(host, box) for box in boxes if box.pid}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        fields = box.record.fields
        lines: list[tuple[str, str]] = []
        if host.cgroup.version == 2:
            lines += [("lxc.cgroup2.memory.max", str(fields["ram"]))] if "ram" in fields else []
            lines += [("lxc.cgroup2.memory.swap.max", str(fields["swap"]))] if "swap" in fields else []
        else:
            lines += [(f"lxc.cgroup.{_LIMIT}", str(fields["ram"]))] if "ram" in fields else []
            if "ram" in fields and "swap" in fields:
                lines.append((f"lxc.cgroup.{_MEMSW}", str(fields["ram"] + fields["swap"])))
        prefix = "lxc.cgroup2." if host.cgroup.version == 2 else "lxc.cgroup."
        guarantee = fields.get("ram_guarantee")
        if guarantee is not None or host.cgroup.version == 1:
            lines.append((prefix + _GUARANTEE[host.cgroup.version], str(guarantee or 0)))
        return lines

    def at_start(self, host: Host, box: Box) -> None:
        # The container's own stands in its configuration; that of the group above is a sum, which has just grown.
        share_out(host)

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if box.pid:
            changed = {change.field: change.after for change in changes}
            if not changed.keys().isdisjoint(_FILES):
                _write(host, box, {**box.record.fields, **changed})
            if "ram_guarantee" in changed:
                _guarantee(host, box, changed["ram_guarantee"])


def _observe(host: Host, box: Box) -> dict[str, int | None]:
    if host.cgroup.version == 2:
        ram = parse_limit(host.cgroup.read(box.name, "memory", _FILES["ram"]))
        swap = parse_limit(host.cgroup.read(box.name, "memory", _FILES["swap"]))
    else:
        ram = parse_limit(host.cgroup.read(box.name, "memory", _LIMIT))
        both = parse_limit(host.cgroup.read(box.name, "memory", _MEMSW))
        swap = both - ram if both is not None and ram is not None else None
    guarantee = parse_limit(host.cgroup.read(box.name, "memory", _GUARANTEE[host.cgroup.version]))
    return {"ram": ram, "swap": swap, "ram_guarantee": guarantee or None}


def unshared(host: Host) -> tuple[int, int] | None:
    """Bytes that the group of all containers is guaranteed, and the sum that it ought to be, where these differ."""
    return host.cgroup.off_sum("memory", _GUARANTEE[2])


def share_out(host: Host) -> None:
    """Make that the sum."""
    host.cgroup.sum_up("memory", _GUARANTEE[2])


def in_use(host: Host, box: Box) -> int:
    """Bytes that reclaim cannot free: everything charged but the page cache of files."""
    stat = keyed(host.cgroup.read(box.name, "memory", "memory.stat"))
    if host.cgroup.version == 2:
        used = parse_limit(host.cgroup.read(box.name, "memory", "memory.current")) or 0
        cache = stat.get("active_file", 0) + stat.get("inactive_file", 0) + stat.get("slab_reclaimable", 0)
    else:
        used = parse_limit(host.cgroup.read(box.name, "memory", "memory.usage_in_bytes")) or 0
        cache = stat.get("total_active_file", 0) + stat.get("total_inactive_file", 0)
    return max(0, used - cache)


def swap_can_be_limited(host: Host) -> bool:
    """Version 1 has the control only when the kernel counts swap (swapaccount=1)."""
    if host.cgroup.version == 2:
        return True
    return host.cgroup.has("memory", _MEMSW)


def _write(host: Host, box: Box, declared: Mapping[str, Any]) -> None:
    """Bring the limits to what is declared; one that is not keeps what it has. ``OSError`` when more is in use."""
    ram, used = declared.get("ram"), in_use(host, box)
    if ram is not None and ram < used:
        # Version 2 would take the limit and kill processes until it holds.
        raise OSError(f"{used} bytes of memory are in use, more than the {ram} that ram would be")
    if host.cgroup.version == 2:
        files = [(row, file) for row, file in _FILES.items() if row in declared]
        _write_all(host, box, [(file, declared[row]) for row, file in files], "max")
        return
    found = _observe(host, box)
    ram, swap = (declared.get(row, found[row]) for row in ("ram", "swap"))
    both = None if ram is None or swap is None else ram + swap
    order = [(_MEMSW, both), (_LIMIT, ram)]
    if ram is not None and (found["ram"] is None or ram < found["ram"]):
        order.reverse()
    _write_all(host, box, order, -1)


def _guarantee(host: Host, box: Box, value: int | None) -> None:
    file = _GUARANTEE[host.cgroup.version]
    if host.cgroup.read(box.name, "memory", file) is not None:
        host.cgroup.write(box.name, "memory", file, value or 0)
    share_out(host)


def _write_all(host: Host, box: Box, values: list[tuple[str, int | None]], unlimited: str | int) -> None:
    for file, value in values:
        if host.cgroup.read(box.name, "memory", file) is not None:
            host.cgroup.write(box.name, "memory", file, unlimited if value is None else value)
