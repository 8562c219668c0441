# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel and the containers' own systemd say: no contender's word is taken for it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commands import CommandFailed, output
from machine import unified_cgroups

BOOT_SECONDS = 300
# Properties of systemd's manager, org.freedesktop.systemd1(5).
STATE, FINISHED = "SystemState", "FinishTimestampMonotonic"


class NotAsAsked(Exception):
    """Containers are not what the contender was asked for, so its timing means nothing."""


@dataclass(frozen=True)
class Init:
    """The first process of a container; a restart gives another start time."""

    pid: int
    started: int


@dataclass(frozen=True)
class Limits:
    cpus: float
    ram: int


def inits(pids: Mapping[str, int]) -> dict[str, Init]:
    """By name; a container whose init is gone is absent."""
    found = {}
    for name, pid in pids.items():
        try:
            # Field 22 of proc_pid_stat(5), counted after the parenthesised command name.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[name] = Init(pid, int(fields[19]))
    return found


def wait_booted(pids: Mapping[str, int], count: int) -> float:
    """Wait until systemd in every container has finished booting; return the monotonic time the last one did."""
    if len(pids) != count:
        raise NotAsAsked(f"{len(pids)} containers instead of {count} are running")
    deadline = time.monotonic() + BOOT_SECONDS
    last = 0.0
    for name, pid in sorted(pids.items()):
        while True:
            state, finished = _systemd(pid)
            if finished:
                break
            if time.monotonic() > deadline:
                raise NotAsAsked(f"{name} did not finish booting in {BOOT_SECONDS} s (systemd says: {state})")
            # Coarse on purpose: the asking must not slow down the boots.
            time.sleep(0.5)
        if state not in ("running", "degraded"):
            raise NotAsAsked(f"systemd in {name} is {state}, not running")
        last = max(last, finished)
    return last


def _systemd(pid: int) -> tuple[str, float]:
    """State of the systemd with this pid, and when its boot ended: CLOCK_MONOTONIC, which no container changes."""
    try:
        said = output(("nsenter", "-t", str(pid), "-a", "systemctl", "show", f"-p{STATE}", f"-p{FINISHED}"))
    except CommandFailed as error:
        if not Path(f"/proc/{pid}").exists():
            raise NotAsAsked(f"the container with init {pid} died while booting") from error
        return "not reached yet", 0.0
    values = dict(re.findall(r"^(\w+)=(.*)$", said, re.MULTILINE))
    return values.get(STATE, ""), int(values.get(FINISHED) or 0) / 1e6


def check_limits(pids: Mapping[str, int], wanted: Limits) -> None:
    for name, pid in sorted(pids.items()):
        found = Limits(_cpus(pid), _ram(pid))
        if found != wanted:
            raise NotAsAsked(f"the kernel holds {name} to {found}, not to {wanted}")


def _ram(pid: int) -> int:
    """Bytes. The least over the cgroup and those above it, which is what the kernel enforces."""
    values = _values(pid, "memory", "memory.max", "memory.limit_in_bytes")
    return min((int(value) for value in values if value != "max"), default=0)


def _cpus(pid: int) -> float:
    quotas = _values(pid, "cpu", "cpu.max", "cpu.cfs_quota_us")
    if not unified_cgroups():
        periods = _values(pid, "cpu", "cpu.max", "cpu.cfs_period_us")
        quotas = [f"{quota} {period}" for quota, period in zip(quotas, periods, strict=True)]
    pairs = [quota.split() for quota in quotas]
    return min((int(quota) / int(period) for quota, period in pairs if quota not in ("max", "-1")), default=0.0)


def _values(pid: int, controller: str, unified: str, legacy: str) -> list[str]:
    """Contents of one limit's file from the process's cgroup up to the root."""
    path, name = _cgroup(pid, controller, unified, legacy)
    values = []
    while path.name != "cgroup" and path != path.parent:
        file = path / name
        if file.exists():
            values.append(file.read_text(encoding="utf-8").strip())
        path = path.parent
    return values


def _cgroup(pid: int, controller: str, unified: str, legacy: str) -> tuple[Path, str]:
    inside = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        _unused, controllers, path = line.split(":", 2)
        inside.update(dict.fromkeys(controllers.split(","), path))
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _unused, where, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(",") and controller in inside:
            return Path(where + inside[controller]), legacy
    return Path("/sys/fs/cgroup" + inside[""]), unified
