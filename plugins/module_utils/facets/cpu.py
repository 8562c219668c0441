# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processor time: ``cpus`` (a limit), ``cpu_weight`` (a share), ``cpu_set`` (a choice).

Kernel: cpu.max, cpu.weight and cpuset.cpus (cgroup-v2.rst); cfs_quota_us, shares and cpuset.cpus in version 1.

A limit is a quota of microseconds in each period. The period is part of it, though no option: in a long one a container
stands still for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..kernel.cgroup import PERIOD, parse_limit
from ..steps import Change
from ..units import cpu_numbers, parse_cpu_set
from .base import Facet

# cpu.shares of weight 100 is 1024, so that default stands on default.
_SHARES = 10.24
_DEFAULT_WEIGHT = 100


_QUOTA, _PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


class OtherPeriod(float):
    """As many processors as the number says, though by a period that is not Carve's: never what was declared."""

    def __new__(cls, processors: float, period: int) -> OtherPeriod:
        made = super().__new__(cls, processors)
        made.period = period
        return made

    period: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OtherPeriod) and float(self) == float(other) and self.period == other.period

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((float(self), self.period))

    def __format__(self, form: str) -> str:
        return f"{float(self):{form}} in periods of {self.period} us"


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
            found = settings(host, {change.field: change.after for change in changes})
            if any(file == _QUOTA for _controller, file, _value in found):
                found = _with_period(host, box, found)
            for controller, file, value in found:
                host.cgroup.write(box.name, controller, file, value)


def _observe(host: Host, box: Box) -> dict[str, Any]:
    group, name = host.cgroup, box.name
    seen: dict[str, Any] = {}
    if group.version == 2:
        quota, _sep, period = (group.read(name, "cpu", "cpu.max") or "max 100000").partition(" ")
        weight = parse_limit(group.read(name, "cpu", "cpu.weight"))
    else:
        quota = group.read(name, "cpu", _QUOTA) or "-1"
        period = group.read(name, "cpu", _PERIOD) or str(PERIOD)
        shares = parse_limit(group.read(name, "cpu", "cpu.shares"))
        weight = round(shares / _SHARES) if shares else None
    seen["cpus"] = _processors(parse_limit(quota), int(period))
    seen["cpu_weight"] = weight
    cpus = group.read(name, "cpuset", "cpuset.cpus")
    seen["cpu_set"] = parse_cpu_set(cpus) if cpus else None
    return seen


def _processors(quota: int | None, period: int) -> float | None:
    if not quota:
        return None
    found = round(quota / period, 2)
    return found if period == PERIOD else OtherPeriod(found, period)


def _with_period(host: Host, box: Box, found: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Version 1 has a file for each: in this order no moment allows more than what was before or what comes after."""
    period = int(host.cgroup.read(box.name, "cpu", _PERIOD) or PERIOD)
    if period == PERIOD:
        return found
    line = ("cpu", _PERIOD, str(PERIOD))
    return [*found, line] if period > PERIOD else [line, *found]


def settings(host: Host, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """``(controller, file, value)`` for every declared option; for one that is ``None`` the value that undoes it."""
    result = []
    two = host.cgroup.version == 2
    if "cpus" in fields:
        quota = None if fields["cpus"] is None else round(fields["cpus"] * PERIOD)
        if two:
            result.append(("cpu", "cpu.max", f"{quota or 'max'} {PERIOD}"))
        else:
            result.append(("cpu", _QUOTA, str(quota or -1)))
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


def online() -> frozenset[int]:
    """The numbers of the node's processors that are on (sysfs-devices-system-cpu)."""
    return cpu_numbers(_all_cpus())


def _all_cpus() -> str:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as handle:
        return handle.read().strip()


def _declared(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("cpus", "cpu_weight", "cpu_set") if name in fields}
