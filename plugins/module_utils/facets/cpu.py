# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processor time: ``cpus`` (a limit), ``cpu_weight`` (a share), ``cpu_set`` (a choice).

Kernel: cpu.max, cpu.weight and cpuset.cpus (cgroup-v2.rst); cfs_quota_us, shares and cpuset.cpus in version 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..kernel.cgroup import PERIOD, parse_limit
from ..steps import Change
from ..units import parse_cpu_set
from .base import Facet

# cpu.shares of weight 100 is 1024, so that default stands on default.
_SHARES = 10.24
_DEFAULT_WEIGHT = 100


class Cpu(Facet):
    name = "cpu"
    live_rows = ("cpus", "cpu_weight", "cpu_set")

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        return {box.name: _observe(host, box) for box in boxes if box.pid}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        prefix = "lxc.cgroup2." if host.cgroup.version == 2 else "lxc.cgroup."
        return [(prefix + file, value) for _controller, file, value in settings(host, _declared(box.record.fields))]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if box.pid:
            for controller, file, value in settings(host, {change.field: change.after for change in changes}):
                host.cgroup.write(box.name, controller, file, value)


def _observe(host: Host, box: Box) -> dict[str, Any]:
    group, name = host.cgroup, box.name
    seen: dict[str, Any] = {}
    if group.version == 2:
        quota, _sep, period = (group.read(name, "cpu", "cpu.max") or "max 100000").partition(" ")
        weight = parse_limit(group.read(name, "cpu", "cpu.weight"))
    else:
        quota = group.read(name, "cpu", "cpu.cfs_quota_us") or "-1"
        period = group.read(name, "cpu", "cpu.cfs_period_us") or str(PERIOD)
        shares = parse_limit(group.read(name, "cpu", "cpu.shares"))
        weight = round(shares / _SHARES) if shares else None
    limit = parse_limit(quota)
    seen["cpus"] = round(limit / int(period), 2) if limit else None
    seen["cpu_weight"] = weight
    cpus = group.read(name, "cpuset", "cpuset.cpus")
    seen["cpu_set"] = parse_cpu_set(cpus) if cpus else None
    return seen


def settings(host: Host, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """``(controller, file, value)`` for every declared option; for one that is ``None`` the value that undoes it."""
    result = []
    two = host.cgroup.version == 2
    if "cpus" in fields:
        quota = None if fields["cpus"] is None else round(fields["cpus"] * PERIOD)
        if two:
            result.append(("cpu", "cpu.max", f"{quota or 'max'} {PERIOD}"))
        else:
            result.append(("cpu", "cpu.cfs_quota_us", str(quota or -1)))
    if "cpu_weight" in fields:
        weight = fields["cpu_weight"] or _DEFAULT_WEIGHT
        if two:
            result.append(("cpu", "cpu.weight", str(weight)))
        else:
            result.append(("cpu", "cpu.shares", str(max(2, round(weight * _SHARES)))))
    if fields.get("cpu_set"):
        result.append(("cpuset", "cpuset.cpus", fields["cpu_set"]))
    elif "cpu_set" in fields:
        result.append(("cpuset", "cpuset.cpus", "" if two else _all_cpus()))
    return result


def _all_cpus() -> str:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as handle:
        return handle.read().strip()


def _declared(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("cpus", "cpu_weight", "cpu_set") if name in fields}
