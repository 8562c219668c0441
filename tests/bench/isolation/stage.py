# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The containers that are measured, what they are kept busy with, and what the kernel counts of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.kernel import disks
from ansible_collections.carve.vps.plugins.module_utils.kernel.disks import Disk
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    booted,
    force_remove,
    host,
    inside,
    rootfs_archive,
    sha256,
)

FLEET, PREFIX = "carve-bench-isolation", "bi-"
# What the shells of busy work, and their work itself, are known by, to be ended by.
_MARK, _WORK = "carve-busy", "dd|python3"
_SETTLE = 1.5  # seconds of work before counting: a limit's first period is not like the others


@dataclass(frozen=True)
class Row:
    """One line of the table: what was asked for, what was measured, and how it is written."""

    what: str
    asked: float
    got: float
    unit: str
    note: str = ""

    def error(self) -> float | None:
        """How far the measured value is from what was asked for, as a share of that."""
        return None if not self.asked else (self.got - self.asked) / self.asked


class Stage:
    """A fleet of containers on this machine. ``seconds`` is how long each thing is measured."""

    def __init__(self, seconds: float) -> None:
        archive = rootfs_archive()
        self.seconds = seconds
        self._fleet = Fleet(FLEET, {"base": {"archive": str(archive), "sha256": sha256(archive)}})

    @contextmanager
    def containers(self, **declared: dict[str, Any]) -> Iterator[None]:
        """Containers as declared, running and booted, for a while."""
        self.declare(**declared)
        for name in declared:
            booted(PREFIX + name)
        try:
            yield
        finally:
            self._fleet.containers = {}
            self._carry_out()

    def declare(self, **declared: dict[str, Any]) -> None:
        """Containers anew; those that exist are changed as they run."""
        for name, options in declared.items():
            self._fleet.declare(PREFIX + name, **{"stop_timeout": 0, **options})
        self._carry_out()

    def destroy(self) -> None:
        self._fleet.networks = {}
        self._fleet.destroy()
        force_remove(PREFIX)

    def _carry_out(self) -> None:
        result = self._fleet.run(["restart", "rebuild", "destroy"])
        if result.get("failed"):
            raise RuntimeError(result["msg"])

    def inside(self, name: str, *command: str) -> str:
        return inside(PREFIX + name, *command)

    @contextmanager
    def busy(self, *work: tuple[str, str]) -> Iterator[None]:
        """Keep containers busy, each with a shell's command that is repeated for ever."""
        started = [self._repeat(name, command) for name, command in work]
        try:
            with _before_all_others():
                time.sleep(_SETTLE)
                yield
        finally:
            for name, _command in work:
                inside(PREFIX + name, "pkill", "-KILL", "-f", _MARK, check=False)
                inside(PREFIX + name, "pkill", "-KILL", "-x", _WORK, check=False)
            for process in started:
                process.wait()

    def _repeat(self, name: str, command: str) -> subprocess.Popen[bytes]:
        script = f"while :; do {command} >/dev/null 2>&1; done # {_MARK}"
        words = ["lxc-attach", "-P", Paths().containers, "-n", PREFIX + name, "--clear-env", "--", "sh", "-c", script]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def rates(self, *counters: Callable[[], float]) -> list[float]:
        """By how much each counter grows in a second."""
        began, before = time.monotonic(), [counter() for counter in counters]
        time.sleep(self.seconds)
        after, seconds = [counter() for counter in counters], time.monotonic() - began
        return [(last - first) / seconds for first, last in zip(before, after, strict=True)]


@contextmanager
def _before_all_others() -> Iterator[None]:
    """The containers go before all else that runs on this machine, so that it is they who compete with each other."""
    two = host().cgroup.version == 2
    file, most = ("cpu.weight", "10000") if two else ("cpu.shares", "262144")
    group = Path(host().cgroup.path(PREFIX, "cpu", "-")).parent.parent / file
    before = group.read_text(encoding="ascii")
    group.write_text(most, encoding="ascii")
    try:
        yield
    finally:
        group.write_text(before, encoding="ascii")


def processor_seconds(name: str) -> float:
    """How much processor time a container has used since it started."""
    group = host().cgroup
    if group.version == 2:
        return _keyed(PREFIX + name, "cpu", "cpu.stat")["usage_usec"] / 1e6
    return int(group.read(PREFIX + name, "cpuacct", "cpuacct.usage") or 0) / 1e9


def throttled(name: str) -> tuple[int, int]:
    """In how many periods a container's limit was reached, and how many there were."""
    stat = _keyed(PREFIX + name, "cpu", "cpu.stat")
    return stat["nr_throttled"], stat["nr_periods"]


def _keyed(name: str, controller: str, file: str) -> dict[str, int]:
    text = host().cgroup.read(name, controller, file) or ""
    return {key: int(value) for key, value in (line.split() for line in text.splitlines())}


def disk() -> Disk | None:
    """The disk that the containers are on."""
    return disks.holding(Paths().base)


def disk_count(name: str, word: str) -> float:
    """Bytes or operations of a container on that disk: ``rbytes``, ``wbytes``, ``rios`` or ``wios``, as in io.stat."""
    group, found = host().cgroup, disk()
    number = found.number if found else ""
    if group.version == 2:
        lines = (group.read(PREFIX + name, "io", "io.stat") or "").splitlines()
        pairs = next((line.split()[1:] for line in lines if line.startswith(f"{number} ")), [])
        return float(dict(pair.split("=") for pair in pairs).get(word, 0))
    file = "blkio.throttle.io_service_bytes" if word.endswith("bytes") else "blkio.throttle.io_serviced"
    direction = "Read" if word.startswith("r") else "Write"
    lines = (group.read(PREFIX + name, "blkio", file) or "").splitlines()
    return float(next((line.split()[2] for line in lines if line.startswith(f"{number} {direction} ")), 0))
