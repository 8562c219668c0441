# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disk a directory is on: of this machine, and of machines that are directories made here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import disks, mountinfo
from ansible_collections.carve.vps.plugins.module_utils.kernel.disks import Disk

MOUNTINFO = """\
21 1 0:20 / / rw - btrfs {device} rw
22 21 0:21 / /srv/with\\040space rw - overlay overlay rw
"""


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a disk that has a partition."""
    disk = tmp_path / "devices/vda"
    (disk / "vda1").mkdir(parents=True)
    (disk / "dev").write_text("254:0\n", encoding="ascii")
    (disk / "vda1/dev").write_text("254:1\n", encoding="ascii")
    (disk / "vda1/partition").write_text("1\n", encoding="ascii")
    place = tmp_path / "block"
    place.mkdir()
    (place / "254:0").symlink_to(disk)
    (place / "254:1").symlink_to(disk / "vda1")
    monkeypatch.setattr(disks, "_SYSFS", str(place))
    return tmp_path


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.usefixtures("sysfs")
def test_a_partition_is_its_disk(minor: int) -> None:
    assert disks._whole(f"254:{minor}") == Disk("254:0", "vda")
    assert disks._whole("254:7") is None


def test_what_is_mounted_from_no_device_is_on_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = MOUNTINFO.format(device=tmp_path).splitlines()
    monkeypatch.setattr(mountinfo, "of", lambda: mountinfo.rows(table))
    assert disks._source("/srv/with space/deep") == "overlay"
    assert disks._source("/srv/with") == str(tmp_path)
    assert disks.holding("/proc") is None


def test_this_machine_has_one() -> None:
    """The disk of the root directory, where there is one, is whole and is the kernel's."""
    disk = disks.holding("/")
    if disk is not None:
        assert re.fullmatch(r"\d+:\d+", disk.number)
        assert Path(f"/sys/block/{disk.name}/dev").read_text(encoding="ascii").strip() == disk.number
        assert all(Path(f"/sys/block/{layer.name}").exists() for layer in disk.layers())
        assert disk.layers()[0].scheduler()
