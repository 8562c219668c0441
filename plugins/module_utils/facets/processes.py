# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many processes: ``processes``. Kernel: pids.max (cgroup-v2.rst, and pids.rst for version 1), the same in both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..host import Box, Host
from ..kernel.cgroup import parse_limit
from ..steps import Change
from .base import Facet


class Processes(Facet):
    name = "processes"
    live_rows = ("processes",)

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        running = [box.name for box in boxes if box.pid]
        return {name: {"processes": parse_limit(host.cgroup.read(name, "pids", "pids.max"))} for name in running}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        prefix = "lxc.cgroup2." if host.cgroup.version == 2 else "lxc.cgroup."
        limit = box.record.fields.get("processes")
        return [] if limit is None else [(f"{prefix}pids.max", str(limit))]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if box.pid:
            for change in changes:
                host.cgroup.write(box.name, "pids", "pids.max", "max" if change.after is None else change.after)
