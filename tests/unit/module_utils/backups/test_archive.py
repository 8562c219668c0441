# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees go into archives and come out of them the same; what was damaged meanwhile does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.backups import archive
from ansible_collections.carve.vps.plugins.module_utils.backups.description import BackupError


def packed(tree: Path) -> tuple[bytes, str]:
    blocks: list[bytes] = []
    about = archive.pack(str(tree), blocks.append)
    data = b"".join(blocks)
    assert about["bytes"] == len(data)
    return data, about["sha256"]


def unpacked(data: bytes, digest: str, tree: Path) -> None:
    tree.mkdir()
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        archive.unpack([data[:5], data[5:]], fd, digest, "web-1/b1")
    finally:
        os.close(fd)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir(mode=0o750)
    (made / "random").write_bytes(os.urandom(3 << 20))
    os.setxattr(made / "random", "user.note", b"\0kept")
    with (made / "holes").open("wb") as handle:
        handle.truncate(64 << 20)
    os.utime(made, ns=(10**18, 10**18 + 7))
    return made


def test_there_and_back(tree: Path, tmp_path: Path) -> None:
    data, digest = packed(tree)
    assert len(data) < 4 << 20
    unpacked(data, digest, tmp_path / "again")
    again = tmp_path / "again"
    assert (again / "random").read_bytes() == (tree / "random").read_bytes()
    assert os.getxattr(again / "random", "user.note") == b"\0kept"
    assert (again / "holes").stat().st_blocks * 512 < 1 << 20
    assert (again.stat().st_mode, again.stat().st_mtime_ns) == (tree.stat().st_mode, 10**18 + 7)


def test_the_same_tree_is_the_same_archive(tree: Path) -> None:
    (tree / "holes").unlink()
    assert packed(tree) == packed(tree)


@pytest.mark.parametrize("at", [0, 0.5, 1])
def test_a_byte_that_changed(tree: Path, tmp_path: Path, at: float) -> None:
    data, digest = packed(tree)
    place = int(at * (len(data) - 1))
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    with pytest.raises(BackupError, match=r"^web-1/b1 is damaged: its SHA-256 is [0-9a-f]{64}, and was "):
        unpacked(damaged, digest, tmp_path / "again")


@pytest.mark.parametrize("left", [0, 1000, -1])
def test_one_that_was_cut_short(tree: Path, tmp_path: Path, left: int) -> None:
    data, digest = packed(tree)
    with pytest.raises(BackupError, match="is damaged"):
        unpacked(data[:left], digest, tmp_path / "again")


def test_where_it_cannot_be_written_the_reason_is_the_place_s(tree: Path) -> None:
    def full(_block: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        archive.pack(str(tree), full)


def test_a_tree_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"the archive cannot be made: .*No such file"):
        packed(tmp_path / "nowhere")
