# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processor time in either version of control groups: at boot, live, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import model
from ansible_collections.carve.vps.plugins.module_utils.facets.cpu import Cpu
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.steps import Change

from unit.module_utils.facets import boxes

FIELDS = {"cpus": 1.5, "cpu_weight": 200, "cpu_set": "0-1"}
LINES = {
    1: [("cpu.cfs_quota_us", "150000"), ("cpu.shares", "2048"), ("cpuset.cpus", "0-1")],
    2: [("cpu.max", "150000 100000"), ("cpu.weight", "200"), ("cpuset.cpus", "0-1")],
}
by_version = pytest.mark.parametrize("version", [1, 2])


def observed(host: Host) -> dict[str, Any]:
    return Cpu().observe(host, [boxes.box({})])["web"]


@by_version
def test_at_boot(tmp_path: Path, version: int) -> None:
    prefix = {1: "lxc.cgroup.", 2: "lxc.cgroup2."}[version]
    host = boxes.host(tmp_path, version)
    assert Cpu().boot_config(host, boxes.box(FIELDS)) == [(prefix + file, value) for file, value in LINES[version]]
    assert Cpu().boot_config(host, boxes.box({})) == []


@by_version
def test_live_is_what_it_is_at_boot_and_is_read_back(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    Cpu().apply_live(host, boxes.box({}), [Change(field, None, value) for field, value in FIELDS.items()])
    assert host.cgroup.written == LINES[version]  # type: ignore[attr-defined]
    assert observed(host) == FIELDS


@by_version
def test_what_is_no_longer_declared_is_undone(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    before = observed(host)
    Cpu().apply_live(host, boxes.box({}), [Change(field, None, value) for field, value in FIELDS.items()])
    Cpu().apply_live(host, boxes.box(FIELDS), [Change(field, value, None) for field, value in FIELDS.items()])
    after = observed(host)
    assert (after["cpus"], after["cpu_weight"]) == (before["cpus"], before["cpu_weight"]) == (None, 100)
    online = Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").strip()
    assert after["cpu_set"] == {1: online, 2: None}[version]


@by_version
def test_only_what_changes_is_written(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    Cpu().apply_live(host, boxes.box(FIELDS), [Change("cpus", 1.5, 0.01)])
    expected = {1: ("cpu.cfs_quota_us", "1000"), 2: ("cpu.max", "1000 100000")}
    assert host.cgroup.written == [expected[version]]  # type: ignore[attr-defined]
    assert observed(host)["cpus"] == 0.01


@by_version
def test_a_stopped_container_is_neither_read_nor_written(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    stopped = boxes.box(FIELDS, pid=None)
    Cpu().apply_live(host, stopped, [Change("cpus", None, 1.0)])
    assert host.cgroup.written == []  # type: ignore[attr-defined]
    assert Cpu().observe(host, [stopped]) == {}


@by_version
def test_every_weight_and_limit_is_read_back(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    for weight in [*range(1, 300), 1023, 5000, 9999, 10000]:
        cpus = weight / 100
        changes = [Change("cpu_weight", None, weight), Change("cpus", None, cpus)]
        Cpu().apply_live(host, boxes.box({}), changes)
        assert (observed(host)["cpu_weight"], observed(host)["cpus"]) == (weight, cpus)


@by_version
def test_a_kernel_without_the_files_shows_nothing(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    for file in boxes.UNLIMITED[version]:
        (tmp_path / "cgroup" / file).unlink()
    assert observed(host) == {"cpus": None, "cpu_weight": None, "cpu_set": None}


@by_version
@pytest.mark.parametrize(
    ("quota", "period", "shown"),
    [(75000, 50000, "1.5 in periods of 50000 us"), (150000, 200000, "0.75 in periods of 200000 us"), (-1, 50000, None)],
)
def test_another_period_is_never_what_is_declared_and_is_put_right(
    tmp_path: Path, version: int, quota: int, period: int, shown: str | None
) -> None:
    host = boxes.host(tmp_path, version)
    if version == 2:
        host.cgroup.write("web", "cpu", "cpu.max", f"{'max' if quota < 0 else quota} {period}")
    else:
        host.cgroup.write("web", "cpu", "cpu.cfs_quota_us", quota)
        host.cgroup.write("web", "cpu", "cpu.cfs_period_us", period)
    found = observed(host)["cpus"]
    assert model.show("cpus", found) == shown and found != 1.5 and hash(found) == hash(observed(host)["cpus"])
    Cpu().apply_live(host, boxes.box({}), [Change("cpus", found, 1.5)])
    assert observed(host)["cpus"] == 1.5 and model.show("cpus", observed(host)["cpus"]) == "1.5"


@pytest.mark.parametrize(("quota", "period"), [(800000, 200000), (400000, 50000), (10000, 10000), (10000, 1000000)])
def test_in_version_1_no_moment_allows_more_than_before_or_after(tmp_path: Path, quota: int, period: int) -> None:
    host = boxes.host(tmp_path, 1)
    host.cgroup.write("web", "cpu", "cpu.cfs_quota_us", quota)
    host.cgroup.write("web", "cpu", "cpu.cfs_period_us", period)
    host.cgroup.written.clear()  # type: ignore[attr-defined]
    Cpu().apply_live(host, boxes.box({}), [Change("cpus", None, 1.5)])
    now = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": period}
    for file, value in host.cgroup.written:  # type: ignore[attr-defined]
        now[file] = int(value)
        assert now["cpu.cfs_quota_us"] / now["cpu.cfs_period_us"] <= max(quota / period, 1.5)
    assert now == {"cpu.cfs_quota_us": 150000, "cpu.cfs_period_us": 100000}
