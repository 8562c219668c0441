# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups of either version: where their files are, and what the kernel's text means."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import cgroup
from ansible_collections.carve.vps.plugins.module_utils.kernel.cgroup import Cgroup, CgroupV1, CgroupV2

V1_MOUNTS = """\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0
"""
V2_MOUNTS = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"


def detect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounts: str) -> Cgroup:
    file = tmp_path / "mounts"
    file.write_text(mounts, encoding="utf-8")
    monkeypatch.setattr(cgroup, "open", lambda path, **options: file.open(**options), raising=False)
    return cgroup.detect()


def test_version_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = detect(monkeypatch, tmp_path, V2_MOUNTS)
    assert (type(found), found.version) == (CgroupV2, 2)
    assert found.path("web", "memory", "memory.max") == "/sys/fs/cgroup/carve/web/memory.max"
    assert found.directories("web") == ["/sys/fs/cgroup/carve/web"]


def test_version_1_and_both_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = detect(monkeypatch, tmp_path, V1_MOUNTS)
    assert isinstance(found, CgroupV1)
    assert found.version == 1
    assert found.controllers() >= {"memory", "cpu", "cpuacct"}
    assert found.path("web", "cpu", "cpu.shares") == "/sys/fs/cgroup/cpu,cpuacct/carve/web/cpu.shares"
    assert found.path("web", "pids", "pids.max") == "/sys/fs/cgroup/pids/carve/web/pids.max"
    assert found.directories("web") == [
        f"/sys/fs/cgroup/{name}/carve/web" for name in ("memory", "cpu,cpuacct", "systemd", "unified")
    ]


def test_this_machine_has_one_with_a_memory_controller() -> None:
    # None of Carve's own need be there: it may not be bootstrapped yet.
    found = cgroup.detect()
    tops = [Path(directory).parent.parent for directory in found.directories("web")]
    assert all(top.is_dir() for top in tops)
    if found.version == 1:
        assert any((top / "memory.stat").exists() for top in tops)
    else:
        assert "memory" in (tops[0] / "cgroup.controllers").read_text(encoding="ascii").split()


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (None, None),
        ("", None),
        ("max", None),
        ("-1", None),
        ("9223372036854771712", None),
        ("0", 0),
        ("4096", 4096),
        ("150000 100000", 150000),
    ],
)
def test_limits(text: str | None, limit: int | None) -> None:
    assert cgroup.parse_limit(text) == limit


def test_keyed_files() -> None:
    assert cgroup.keyed("anon 5\nfile 0\n") == {"anon": 5, "file": 0}
    assert cgroup.keyed(None) == cgroup.keyed("") == {}


class Directory(Cgroup):
    def __init__(self, *tops: Path) -> None:
        self.tops = tops

    def directories(self, name: str, parent: str = "carve") -> list[str]:
        return [f"{top}/{name}" for top in self.tops]

    def path(self, name: str, controller: str, file: str) -> str:
        return f"{self.tops[0]}/{name}/{file}"

    def offers(self, controller: str) -> bool:
        return True


def test_leftovers_go_as_far_as_they_can(tmp_path: Path) -> None:
    """Directories of control groups are removed from the inside out; one in use stays."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "web/init.scope/a/b").mkdir(parents=True)
    (one / "db").mkdir()
    (other / "web/used").mkdir(parents=True)
    (other / "web/used/process").touch()
    Directory(one, other, tmp_path / "none").remove_leftovers("web")
    assert sorted(path.name for path in one.iterdir()) == ["db"]
    assert (other / "web/used").exists()


def test_reading_what_is_not_there_and_writing_what_is(tmp_path: Path) -> None:
    group = Directory(tmp_path)
    (tmp_path / "web").mkdir()
    assert group.read("web", "cpu", "cpu.max") is None
    group.write("web", "cpu", "cpu.max", 5)
    assert group.read("web", "cpu", "cpu.max") == "5"
    with pytest.raises(OSError):
        group.write("db", "cpu", "cpu.max", 5)


def test_the_group_of_all_has_the_sum_of_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where the kernel has the file."""
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    group = cgroup.CgroupV2()
    group.sum_up("memory", "memory.min")
    for name, low in {"web": "4096", "db": "8192", "all": "0"}.items():
        (tmp_path / "carve" / name).mkdir(parents=True)
        (tmp_path / "carve" / name / "memory.min").write_text(f"{low}\n", encoding="ascii")
    (tmp_path / "carve/new").mkdir()
    group.sum_up("memory", "memory.min")
    top = tmp_path / "carve/memory.min"
    assert not top.exists()
    top.write_text("0\n", encoding="ascii")
    group.sum_up("memory", "memory.min")
    assert top.read_text(encoding="ascii") == "12288"


def test_a_group_of_all_that_has_not_the_sum_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    monkeypatch.setattr(cgroup, "_SHORTLY", 0)
    group, top = cgroup.CgroupV2(), tmp_path / "carve/memory.min"
    assert group.off_sum("memory", "memory.min") is None
    (tmp_path / "carve/web").mkdir(parents=True)
    (tmp_path / "carve/web/memory.min").write_text("4096\n", encoding="ascii")
    assert group.off_sum("memory", "memory.min") is None
    for text, found in {"0": 0, "8192": 8192, "max": 1 << 62}.items():
        top.write_text(f"{text}\n", encoding="ascii")
        assert group.off_sum("memory", "memory.min") == (found, 4096)
        group.sum_up("memory", "memory.min")
        assert group.off_sum("memory", "memory.min") is None


def test_a_container_that_is_just_starting_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    (tmp_path / "carve/web").mkdir(parents=True)
    for file, text in {"carve/web/memory.min": "4096", "carve/memory.min": "0"}.items():
        (tmp_path / file).write_text(text, encoding="ascii")
    group = cgroup.CgroupV2()
    monkeypatch.setattr(cgroup.time, "sleep", lambda _seconds: group.sum_up("memory", "memory.min"))
    assert group.off_sum("memory", "memory.min") is None


def test_what_is_below_a_group_comes_up(tmp_path: Path) -> None:
    """As far as plain directories can show it: a real kernel is asked by the integration tests."""
    for place in ("web", "web/a", "web/a/b", "db/a"):
        (tmp_path / place).mkdir(parents=True)
    Directory(tmp_path).keep_flat("web", "blkio")
    assert sorted(path.name for path in (tmp_path / "web").iterdir()) == []
    assert (tmp_path / "db/a").exists()
