# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers for the facets' tests: a record of what is declared, and control groups that are plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.kernel.cgroup import Cgroup
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.record import Record

UNLIMITED = {
    1: {
        "memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712",
        "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.shares": "1024", "cpuset.cpus": "0-1",
        "pids.max": "max", "memory.usage_in_bytes": "0", "memory.stat": "",
        "memory.soft_limit_in_bytes": "9223372036854771712",
    },
    2: {
        "memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 100000", "cpu.weight": "100", "cpuset.cpus": "",
        "pids.max": "max", "memory.current": "0", "memory.stat": "", "memory.min": "0",
    },
}  # fmt: skip


DECLARED = {
    "id": 20, "state": "running", "hostname": "web", "autostart": True, "start_order": 100, "start_delay": 0,
}  # fmt: skip


class FileCgroup(Cgroup):
    """A control group of either version in a directory; ``written`` is every write in its order."""

    def __init__(self, directory: Path, version: int) -> None:
        self.version = version
        self.directory = directory
        self.written: list[tuple[str, str]] = []
        for file, text in UNLIMITED[version].items():
            (directory / file).write_text(f"{text}\n", encoding="ascii")

    def directories(self, name: str, parent: str = "carve") -> list[str]:
        return [str(self.directory)]

    def path(self, name: str, controller: str, file: str) -> str:
        return str(self.directory / file)

    def offers(self, controller: str) -> bool:
        return True

    def write(self, name: str, controller: str, file: str, value: object) -> None:
        assert file.partition(".")[0] == controller
        super().write(name, controller, file, value)
        self.written.append((file, str(value)))


def host(directory: Path, version: int = 2, apparmor: bool = False) -> Host:
    place = directory / "cgroup"
    place.mkdir()
    paths = Paths(str(directory / "lib"), str(directory / "run"))
    return Host(paths=paths, cgroup=FileCgroup(place, version), apparmor=apparmor)


def box(fields: dict[str, Any], pid: int | None = 1, directory: str = "/nowhere") -> Box:
    """A container ``web`` with range 20; one that runs has a process id."""
    defaults = {
        "id": 20,
        "state": "running",
        "hostname": "web",
        "autostart": True,
        "start_order": 100,
        "start_delay": 0,
    }
    return Box(Record("acme", "web", "d1gest", "overlay", {**defaults, **fields}, uuid="0" * 32), directory, pid)
