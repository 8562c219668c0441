# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk's share and limits in either version of control groups: live, read back, and where there is no disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets import io
from ansible_collections.carve.vps.plugins.module_utils.facets.io import Io
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.kernel import disks
from ansible_collections.carve.vps.plugins.module_utils.kernel.disks import Disk
from ansible_collections.carve.vps.plugins.module_utils.steps import Change

from unit.module_utils.facets import boxes

FIELDS = {"io_weight": 200, "io_read": 20 << 20, "io_write": 10 << 20, "io_read_ops": 500, "io_write_ops": 300}
WRITTEN = {
    1: [
        ("blkio.bfq.weight", "200"), ("blkio.throttle.read_bps_device", "254:0 20971520"),
        ("blkio.throttle.write_bps_device", "254:0 10485760"), ("blkio.throttle.read_iops_device", "254:0 500"),
        ("blkio.throttle.write_iops_device", "254:0 300"),
    ],
    2: [("io.bfq.weight", "200"), ("io.max", "254:0 rbps=20971520 wbps=10485760 riops=500 wiops=300")],
}  # fmt: skip
by_version = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk whose scheduler knows weights, under everything."""
    found = Disk("254:0", "vda")
    monkeypatch.setattr(disks, "holding", lambda path: found)
    monkeypatch.setattr(Disk, "scheduler", lambda self: "bfq")
    return found


def made(tmp_path: Path, version: int) -> Host:
    host = boxes.host(tmp_path, version)
    Path(host.paths.base).mkdir()
    return host


def apply(host: Host, before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    written: list[tuple[str, str]] = host.cgroup.written  # type: ignore[attr-defined]
    written.clear()
    changes = [Change(field, before.get(field), after.get(field)) for field in {**FIELDS, **before, **after}]
    Io().apply_live(host, boxes.box(before), [change for change in changes if change.before != change.after])
    return list(written)


def observed(host: Host, fields: dict[str, Any]) -> dict[str, Any]:
    return Io().observe(host, [boxes.box(fields)])["web"]


@by_version
@pytest.mark.usefixtures("disk")
def test_live(tmp_path: Path, version: int) -> None:
    host = made(tmp_path, version)
    assert apply(host, {}, FIELDS) == WRITTEN[version]


@pytest.mark.usefixtures("disk")
def test_version_2_keeps_what_a_write_says_nothing_of(tmp_path: Path) -> None:
    host = made(tmp_path, 2)
    assert apply(host, FIELDS, {**FIELDS, "io_write": None}) == [("io.max", "254:0 wbps=max")]


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (1, {"blkio.bfq.weight": "200", "blkio.throttle.read_bps_device": "253:0 5\n254:0 20971520",
             "blkio.throttle.write_bps_device": "254:0 10485760", "blkio.throttle.read_iops_device": "254:0 500",
             "blkio.throttle.write_iops_device": "254:0 300"}),
        (2, {"io.bfq.weight": "default 200\n254:0 300",
             "io.max": "253:0 rbps=5 wbps=max riops=max wiops=max\n"
                       "254:0 rbps=20971520 wbps=10485760 riops=500 wiops=300"}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("disk")
def test_read_back(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    host = made(tmp_path, version)
    none = dict.fromkeys(FIELDS)
    assert observed(host, {"io_read": 1}) == none
    for file, text in files.items():
        (tmp_path / "cgroup" / file).write_text(f"{text}\n", encoding="ascii")
    assert observed(host, {"io_read": 1}) == FIELDS
    assert Io().observe(host, [boxes.box({})]) == {}


@by_version
@pytest.mark.usefixtures("disk")
def test_what_is_no_longer_declared_is_undone(tmp_path: Path, version: int) -> None:
    host = made(tmp_path, version)
    undone = dict(apply(host, FIELDS, {}))
    if version == 1:
        assert undone.pop("blkio.bfq.weight") == "100"
        assert set(undone.values()) == {"254:0 0"}
    else:
        assert undone == {"io.bfq.weight": "100", "io.max": "254:0 rbps=max wbps=max riops=max wiops=max"}


def test_the_configuration_names_no_disk(tmp_path: Path) -> None:
    """Its number may be another one after the node's next boot: the hook writes it."""
    host = boxes.host(tmp_path)
    assert Io().boot_config(host, boxes.box(FIELDS)) == []


@by_version
def test_without_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(disks, "holding", lambda path: None)
    host = made(tmp_path, version)
    assert set(io.cannot(host)) == set(FIELDS)
    assert all("delete it" in why for why in io.cannot(host).values())
    with pytest.raises(OSError, match="is on no disk"):
        apply(host, {}, {"io_read": 1 << 20})
    assert apply(host, {"io_read": 1 << 20}, {}) == []


@pytest.mark.usefixtures("disk")
def test_a_scheduler_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = made(tmp_path, 2)
    assert io.cannot(host) == {}
    monkeypatch.setattr(Disk, "scheduler", lambda self: "none")
    assert list(io.cannot(host)) == ["io_weight"]
    assert "write bfq to /sys/block/vda/queue/scheduler" in io.cannot(host)["io_weight"]
    assert apply(host, {}, {"io_weight": 200}) == []
    assert observed(host, {"io_weight": 200})["io_weight"] is None


@pytest.mark.usefixtures("disk")
def test_the_cost_model_knows_weights_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = made(tmp_path, 2)
    monkeypatch.setattr(Disk, "scheduler", lambda self: "none")
    monkeypatch.setattr(type(host.cgroup), "read_root", lambda self, controller, file: "254:0 enable=1 ctrl=auto")
    assert io.cannot(host) == {}
    assert apply(host, {}, {"io_weight": 200}) == [("io.weight", "200")]
