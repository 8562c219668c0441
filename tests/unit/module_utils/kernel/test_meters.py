# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel's files say of a container, in both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import meters
from ansible_collections.carve.vps.plugins.module_utils.kernel.cgroup import Cgroup

# As cgroup-v2.rst has them, cut down to what is read and a little more.
VERSION_2 = {
    "memory.current": "41943040", "memory.peak": "83886080", "memory.max": "134217728", "memory.high": "max",
    "memory.min": "8388608",
    "memory.stat": "anon 4096\nfile 8192\nkernel 5242880\nkernel_stack 65536\nsock 12288\nshmem 20480\n"
                   "unevictable 4096\nslab_reclaimable 1048576\nslab 2097152",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0",
    "memory.swap.current": "409600", "memory.swap.peak": "819200", "memory.swap.max": "0",
    "memory.swap.events": "high 0\nmax 3\nfail 4",
    "pids.current": "12", "pids.peak": "40", "pids.max": "400", "pids.events": "max 5", "pids.events.local": "max 0",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\nsystem_usec 2\nnr_periods 9\nnr_throttled 4\nthrottled_usec 250",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dios=0\n7:3 rbytes=1 wbytes=9000 rios=1 wios=1\n8:0",
}  # fmt: skip
VERSION_1 = {
    "memory.usage_in_bytes": "41943040", "memory.max_usage_in_bytes": "83886080",
    "memory.limit_in_bytes": "134217728", "memory.memsw.limit_in_bytes": "201326592", "memory.failcnt": "7",
    "memory.memsw.usage_in_bytes": "42352640", "memory.memsw.max_usage_in_bytes": "84705280",
    "memory.memsw.failcnt": "3", "memory.soft_limit_in_bytes": "9223372036854771712",
    "memory.kmem.usage_in_bytes": "5242880", "memory.kmem.max_usage_in_bytes": "6291456",
    "memory.stat": "cache 1\nshmem 2\ntotal_shmem 20480\ntotal_swap 409600\ntotal_unevictable 4096",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1",
    "pids.current": "12", "pids.peak": "40", "pids.max": "max", "pids.events": "max 2",
    "cpuacct.usage": "1500000999", "cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 250000",
    "blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288",
    "blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3",
}  # fmt: skip


class Files(Cgroup):
    """A container's control groups as plain files, with one more group inside."""

    def __init__(self, place: Path, version: int, files: dict[str, str]) -> None:
        self.version, self._place = version, place
        for directory in (place / "top", place / "top/system.slice"):
            directory.mkdir()
            for file, text in files.items():
                (directory / file).write_text(f"{text}\n", encoding="ascii")

    def directories(self, name: str, parent: str = "carve") -> list[str]:
        return [str(self._place / name)]

    def offers(self, controller: str) -> bool:
        return True

    def path(self, name: str, controller: str, file: str) -> str:
        return str(self._place / name / file)


def test_version_2(tmp_path: Path) -> None:
    found = meters.read(Files(tmp_path, 2, VERSION_2), "top")
    assert found.run is not None and found.run.endswith(f":{(tmp_path / 'top').stat().st_ino}")
    assert found.levels == {
        "kmemsize": {"held": 5242880},
        "lockedpages": {"held": 1},
        "shmpages": {"held": 5},
        "dcachesize": {"held": 1048576},
        "physpages": {"held": 10240, "barrier": meters.UNLIMITED, "limit": 32768},
        "vmguarpages": {"barrier": 2048},
        "oomguarpages": {"held": 10340},
        "swappages": {"held": 100, "limit": 0},
        "numproc": {"held": 12, "limit": 400},
    }
    assert found.peaks == {"physpages": 20480, "swappages": 200, "numproc": 40}
    assert found.counters == {
        "fail.physpages": 7, "fail.oomguarpages": 2, "fail.swappages": 4, "fail.numproc": 5,
        "cpu_us": 1500000, "throttled_us": 250, "throttled_times": 4,
        # The loop device lies on the disk: what was asked of it was asked of the disk, too, if later and less.
        "read_bytes": 4096, "written_bytes": 9000, "reads": 1, "writes": 2,
    }  # fmt: skip
    assert found.buffers == 12288


def test_version_1_adds_up_what_the_kernel_does_not(tmp_path: Path) -> None:
    found = meters.read(Files(tmp_path, 1, VERSION_1), "top")
    assert found.levels == {
        "kmemsize": {"held": 5242880},
        "lockedpages": {"held": 1},
        "shmpages": {"held": 5},
        "physpages": {"held": 10240, "limit": 32768},
        "vmguarpages": {"barrier": 0},
        "oomguarpages": {"held": 10340},
        "swappages": {"held": 100, "limit": 16384},
        "numproc": {"held": 12, "limit": meters.UNLIMITED},
    }
    assert found.peaks == {"kmemsize": 6291456, "physpages": 20480, "oomguarpages": 20680, "numproc": 40}
    assert found.counters == {
        "fail.physpages": 10, "fail.oomguarpages": 2, "fail.numproc": 4,
        "cpu_us": 1500000, "throttled_us": 250, "throttled_times": 4,
        "read_bytes": 4096, "written_bytes": 8192, "reads": 1, "writes": 2,
    }  # fmt: skip
    assert found.buffers is None


def test_a_kernel_that_has_less_is_told_of_with_less(tmp_path: Path) -> None:
    """Debian 12's 6.1: no memory.swap.peak, and refused forks counted where they were tried. 6.0: no pids.peak."""
    lacks = ("pids.peak", "memory.swap.peak", "pids.events.local")
    found = meters.read(Files(tmp_path, 2, {k: v for k, v in VERSION_2.items() if k not in lacks}), "top")
    assert set(found.peaks) == {"physpages"}
    assert found.counters["fail.numproc"] == 10


def test_without_a_file_nothing_is_known_and_nothing_is_said(tmp_path: Path) -> None:
    for version in (1, 2):
        place = tmp_path / str(version)
        place.mkdir()
        found = meters.read(Files(place, version, {}), "top")
        assert (found.levels, found.peaks, found.buffers) == ({}, {}, None)
        assert found.counters == {}
    assert meters.read(Files(place / "top", 2, {}), "gone").run is None


def test_a_pair_is_seen_from_inside() -> None:
    found = meters.Reading("run")
    cards = {"v20-eth0": (1, 2, 3, 4), "v200-eth0": (5, 5, 5, 5), "lo": (6, 6, 6, 6)}
    meters.add_traffic(found, 20, cards)
    assert found.counters == {
        "net.eth0.in_bytes": 3, "net.eth0.in_packets": 4, "net.eth0.out_bytes": 1, "net.eth0.out_packets": 2,
    }  # fmt: skip


def test_this_machines_own_namespaces_can_be_read() -> None:
    assert "lo" in meters.pairs()
    found = meters.Reading("run")
    meters.look_inside(found, os.getpid())
    assert {"numtcpsock", "numothersock"} <= set(found.levels)


def test_the_limit_of_a_devpts_is_that_of_the_mount_which_is_opened() -> None:
    """And none is known of what is not among the mounts."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = {line.split()[4]: line.split()[-1] for line in mounts if " - devpts " in line}
    for point, options in points.items():
        place = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            most = next((int(word[4:]) for word in options.split(",") if word.startswith("max=")), None)
            assert meters.most_terminals(os.getpid(), place) == most
        finally:
            os.close(place)


def test_of_very_many_mounts_no_more_than_some_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    place = os.open("/dev/pts", os.O_RDONLY | os.O_DIRECTORY)
    monkeypatch.setattr(meters, "_MOST", 0)
    try:
        assert meters.most_terminals(os.getpid(), place) is None
    finally:
        os.close(place)
