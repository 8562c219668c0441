# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processor, memory and disk: shares, limits and guarantees, in Carve's words and in OpenVZ's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import disks
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.support import Fleet, booted, brief, exists, host, inside, pid

M = 1 << 20
TWO = host().cgroup.version == 2
DISK = disks.holding(str(Path(Paths().base).parent))
NUMBER = DISK.number if DISK else ""
# As either version prints it: the second says a word, the first the last whole page of a signed number.
UNLIMITED = "max" if TWO else str((1 << 63) - 4096)


def file(controller: str, one: str, two: str) -> Callable[[str], str]:
    """Reads a control file of a container, by its names in versions 1 and 2."""
    place = (controller if TWO or controller != "io" else "blkio", two if TWO else one)
    return lambda name: host().cgroup.read(name, *place) or ""


def write(controller: str, one: tuple[str, str], two: tuple[str, str]) -> Callable[[str], None]:
    place = controller if TWO or controller != "io" else "blkio"
    return lambda name: host().cgroup.write(name, place, *(two if TWO else one))


def of_disk(key: str, one: str) -> Callable[[str], str]:
    """Reads one of the disk's limits; empty where there is none."""

    def read(name: str) -> str:
        lines = file("io", one, "io.max")(name).splitlines()
        found = next((rest for number, _sep, rest in (line.partition(" ") for line in lines) if number == NUMBER), "")
        pairs = dict(word.split("=") for word in found.split()) if TWO else {key: found}
        return pairs.get(key, "").replace("max", "")

    return read


def may_run_on(name: str) -> str:
    """The processors that init itself may be put on, as the scheduler has it."""
    text = Path(f"/proc/{pid(name)}/status").read_text(encoding="ascii")
    return text.partition("Cpus_allowed_list:")[2].split()[0]


def throttle(key: str, what: str, first: int, second: int) -> tuple[Any, ...]:
    """What a case says of one of the disk's limits, behind its words: how it is read, its values, who spoils it."""
    one = f"blkio.throttle.{what}_device"
    meddle = write("io", (one, f"{NUMBER} 99999999"), ("io.max", f"{NUMBER} {key}=99999999"))
    return of_disk(key, one), str(first), str(second), meddle, ""


@contextmanager
def scheduler(name: str) -> Iterator[None]:
    """The disk with another scheduler, for a while."""
    layers = DISK.layers() if DISK else []
    files = {Path(f"/sys/block/{layer.name}/queue/scheduler"): layer.scheduler() for layer in layers}
    for place in files:
        place.write_text(name, encoding="ascii")
    try:
        yield
    finally:
        for place, before in files.items():
            place.write_text(before, encoding="ascii")


@pytest.fixture
def bfq() -> Iterator[None]:
    """The disk with the scheduler that knows weights, for the time of a test."""
    with scheduler("bfq"):
        yield


def test_processor_and_memory(fleet: Fleet) -> None:
    """The processor in OpenVZ's words, which are Carve's own as soon as they are read."""
    group = host().cgroup
    every = Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").strip()
    cases = [
        Case(
            "cpus", {"cpulimit": "150%"}, {"cpulimit": 50}, file("cpu", "cpu.cfs_quota_us", "cpu.max"),
            "150000 100000" if TWO else "150000", "50000 100000" if TWO else "50000",
            write("cpu", ("cpu.cfs_quota_us", "70000"), ("cpu.max", "70000 100000")),
            "max 100000" if TWO else "-1",
        ),
        Case(
            "cpu_weight", {"cpuunits": 500}, {"cpuunits": 2500}, file("cpu", "cpu.shares", "cpu.weight"),
            "50" if TWO else "512", "250" if TWO else "2560",
            write("cpu", ("cpu.shares", "4096"), ("cpu.weight", "400")), "100" if TWO else "1024",
        ),
        Case(
            "ram_guarantee", {"ram_guarantee": "64M"}, {"ram_guarantee": "32M"},
            file("memory", "memory.soft_limit_in_bytes", "memory.min"), str(64 * M), str(32 * M),
            write("memory", ("memory.soft_limit_in_bytes", str(16 * M)), ("memory.min", str(16 * M))), "0",
        ),
        Case(
            "ram", {"ram": "256M"}, {"ram": "192M"}, file("memory", "memory.limit_in_bytes", "memory.max"),
            str(256 * M), str(192 * M),
            write("memory", ("memory.limit_in_bytes", str(160 * M)), ("memory.max", str(160 * M))), UNLIMITED,
        ),
        Case(
            "cpu_set", {"cpu_set": "0"}, {"cpu_set": "1"}, may_run_on, "0", "1",
            lambda name: group.write(name, "cpuset", "cpuset.cpus", "0-1"), every,
        ),
        Case(
            "processes", {"processes": 300}, {"processes": 200}, lambda name: group.read(name, "pids", "pids.max"),
            "300", "200", lambda name: group.write(name, "pids", "pids.max", "max"), "max",
        ),
    ]  # fmt: skip
    prove(fleet, "t-limits", cases)


def test_swap(fleet: Fleet) -> None:
    """By itself: version 1 counts it together with memory, so that one who spoils either spoils both."""
    cases = [
        Case(
            "swap", {"swap": "64M"}, {"swap": "0"}, file("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
            str(64 * M) if TWO else str(192 * M), "0" if TWO else str(128 * M),
            write("memory", ("memory.memsw.limit_in_bytes", str(160 * M)), ("memory.swap.max", str(32 * M))),
            UNLIMITED,
        ),
    ]  # fmt: skip
    prove(fleet, "t-swap", cases, ram="128M")


@pytest.mark.usefixtures("bfq")
def test_disk(fleet: Fleet) -> None:
    cases = [
        Case(
            "io_weight", {"ioprio": 7}, {"io_weight": 300},
            lambda name: file("io", "blkio.bfq.weight", "io.bfq.weight")(name).splitlines()[0].split()[-1],
            "128", "300", write("io", ("blkio.bfq.weight", "70"), ("io.bfq.weight", "70")), "100",
        ),
        Case("io_read", {"iolimit": "20M"}, {"io_read": "50M"}, *throttle("rbps", "read_bps", 20 * M, 50 * M)),
        Case("io_write", {"iolimit": "20M"}, {"io_write": "30M"}, *throttle("wbps", "write_bps", 20 * M, 30 * M)),
        Case("io_read_ops", {"iopslimit": 500}, {"io_read_ops": 2000}, *throttle("riops", "read_iops", 500, 2000)),
        Case("io_write_ops", {"iopslimit": 500}, {"io_write_ops": 3000}, *throttle("wiops", "write_iops", 500, 3000)),
    ]  # fmt: skip
    prove(fleet, "t-disk", cases)


def test_words_change_and_nothing_else(fleet: Fleet) -> None:
    """The same limits in other words are no change; both words for one are refused."""
    fleet.declare("t-words", cpulimit="50%", cpuunits=2000, iolimit="20M", iopslimit=500)
    fleet.apply()
    each = {"io_read": "20M", "io_write": "20M", "io_read_ops": 500, "io_write_ops": 500}
    fleet.declare("t-words", cpus=0.5, cpu_weight=200, **each)
    assert brief(fleet.check()) == []
    fleet.declare("t-words", cpus=0.5, cpulimit="50%")
    refused = fleet.check()
    assert refused["failed"]
    assert "cpulimit: says again what cpus says beside it" in refused["msg"]


def test_a_weight_that_nobody_goes_by_is_refused(fleet: Fleet) -> None:
    """Before anything is changed."""
    fleet.declare("t-weight", io_weight=200)
    with scheduler("none"):
        refused = fleet.run()
    assert refused["failed"]
    assert "t-weight: io_weight: the scheduler of " in refused["msg"]
    assert not exists("t-weight")


def test_a_group_of_its_own_is_no_way_out(fleet: Fleet) -> None:
    """Version 2 limits a group with all that is below it. Version 1 counts each group by itself: there the container's
    root can make none, and what it had made is undone."""
    fleet.declare("t-flat")
    fleet.apply()
    booted("t-flat")
    mount = "mkdir -p /b && mount -t cgroup2 none /b" if TWO else "mkdir -p /b && mount -t cgroup -o blkio none /b"
    make = "mkdir /b/own && { sleep 999 >/dev/null 2>&1 & echo $! > /b/own/cgroup.procs; } && echo made"
    assert inside("t-flat", "sh", "-c", f"{mount} && {make}") == "made"
    fleet.declare("t-flat", io_write="10M")
    fleet.apply()
    here = Path(host().cgroup.path("t-flat", "io" if TWO else "blkio", "-")).parent
    for again in (False, True):
        if again:
            fleet.declare("t-flat", io_write="10M", state="stopped")
            fleet.apply()
            fleet.declare("t-flat", io_write="10M")
            fleet.apply()
            booted("t-flat")
            inside("t-flat", "sh", "-c", mount)
        assert inside("t-flat", "sh", "-c", make, check=False).startswith("0 made") == (TWO and again)
        inside("t-flat", "sh", "-c", f"echo '{NUMBER} wbps=max' > /b/io.max", check=False)
        assert (here / "own").exists() == TWO
        assert of_disk("wbps", "blkio.throttle.write_bps_device")("t-flat") == str(10 * M)
