# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carve's own files on a node: there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files
from ansible_collections.carve.vps.plugins.module_utils.kernel import mounts, syscalls


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    files.write(f"{tmp_path}/a", "text é\n", mode=0o600)
    assert files.read(f"{tmp_path}/a") == "text é\n"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    files.write(f"{tmp_path}/a", "", mode=0o755)
    assert (files.read(f"{tmp_path}/a"), stat.S_IMODE((tmp_path / "a").stat().st_mode)) == ("", 0o755)
    assert names(tmp_path) == ["a"]


def test_a_batch_shows_nothing_before_it_shows_all(tmp_path: Path) -> None:
    files.write(f"{tmp_path}/a", "old")
    batch = files.Batch()
    batch.write(f"{tmp_path}/a", "first")
    batch.write(f"{tmp_path}/b", "new")
    batch.write(f"{tmp_path}/a", "second")
    assert (files.read(f"{tmp_path}/a"), files.read(f"{tmp_path}/b")) == ("old", None)
    batch.commit()
    assert (files.read(f"{tmp_path}/a"), files.read(f"{tmp_path}/b")) == ("second", "new")
    assert names(tmp_path) == ["a", "b"]


def test_a_batch_that_fails_leaves_nothing_unfinished(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    batch = files.Batch()
    for name in "bc":
        batch.write(f"{tmp_path}/{name}", "new")
    with pytest.raises(OSError):
        batch.commit()
    assert names(tmp_path) == ["b"]


def test_what_a_killed_run_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    files.Batch().write(f"{tmp_path}/a", "half")
    assert names(tmp_path) == [".a.new"]
    files.write(f"{tmp_path}/a", "whole")
    assert names(tmp_path) == ["a"]
    files.Batch().write(f"{tmp_path}/a", "half")
    files.remove_unfinished(f"{tmp_path}/a")
    files.remove_unfinished(f"{tmp_path}/a")
    assert names(tmp_path) == ["a"]


def test_a_link_laid_for_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    for name in ("a", ".a.new"):
        (tmp_path / name).symlink_to("secret")
    files.write(f"{tmp_path}/a", "text")
    assert (tmp_path / "secret").read_text(encoding="utf-8") == "secret"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("content", [b"", b"{", b"\x80\xff", b"nonsense"])
def test_what_is_not_json_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert files.read_json(f"{tmp_path}/a") is None
    assert files.read_json(f"{tmp_path}/b") is None
    assert files.read_json(f"{tmp_path}/a/b") is None


def test_json_comes_back(tmp_path: Path) -> None:
    data = {"b": [1, None, "é"], "a": {"x": True}}
    files.write_json(f"{tmp_path}/a", data)
    assert files.read_json(f"{tmp_path}/a") == data


def test_a_text_that_is_none_differs_from_every_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\xff\n")
    assert files.read(f"{tmp_path}/a") == "a\N{REPLACEMENT CHARACTER}\n"


def test_two_directories_change_places(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of-{name}").touch()
    files.exchange(f"{tmp_path}/a", f"{tmp_path}/b")
    assert (names(tmp_path / "a"), names(tmp_path / "b")) == (["of-b"], ["of-a"])


def test_trees_go_and_what_is_mounted_in_them_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "tree/root/deep").mkdir(parents=True)
    for _time in range(2):
        mounts.attach(syscalls.open_tree(f"{tmp_path}/kept"), f"{tmp_path}/tree/root")
    mounts.attach(syscalls.new_mount("tmpfs", []), f"{tmp_path}/tree/root")
    files.remove_mounted_tree(f"{tmp_path}/tree")
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["file"]
    files.remove_tree(f"{tmp_path}/tree")
    (tmp_path / "link").symlink_to("kept")
    files.remove_mounted_tree(f"{tmp_path}/link")
    assert names(tmp_path / "kept") == ["file"]


def test_a_tree_that_is_deeper_than_python_is_goes(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    subprocess.run(
        ["sh", "-c", f"mkdir {top} && cd {top} && for i in $(seq 1500); do mkdir a && cd a; done"], check=True
    )
    with contextlib.chdir(top):
        assert sum(1 for _found in files.walk(".")) == 1501
    files.remove_mounted_tree(str(top))
    assert not top.exists()


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    mounts.attach(syscalls.new_mount("tmpfs", []), f"{tmp_path}/tree")
    try:
        with pytest.raises(OSError, match="tree"):
            files.remove_tree(f"{tmp_path}/tree")
    finally:
        syscalls.umount(f"{tmp_path}/tree", syscalls.MNT_DETACH)


def test_walking_is_like_python_s(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/file").touch()
    (tmp_path / "link").symlink_to("a")
    found = {path: (sorted(folders), sorted(others)) for path, folders, others in files.walk(str(tmp_path))}
    assert found == {
        str(tmp_path): (["a"], ["link"]), f"{tmp_path}/a": (["b"], ["file"]), f"{tmp_path}/a/b": ([], [])
    }  # fmt: skip
    told: list[OSError] = []
    assert list(files.walk(f"{tmp_path}/none", onerror=told.append)) == [] and len(told) == 1


def test_syncing_many(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{number}" for number in range(40)]
    for path in paths:
        Path(path).touch()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    files.sync([*paths, str(tmp_path)])
    files.sync([])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    with pytest.raises(FileNotFoundError):
        files.sync([f"{tmp_path}/nothing"])
