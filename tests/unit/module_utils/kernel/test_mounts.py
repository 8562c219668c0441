# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted where, of whatever kind: a container's root may lie on the file system that it is mounted on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import mounts, syscalls


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory ``from`` with a file, and an empty one ``to`` beside it; nothing stays mounted."""
    for name in ("from", "to", "to/below"):
        (tmp_path / name).mkdir()
    (tmp_path / "from/file").write_text("text", encoding="utf-8")
    yield tmp_path
    mounts.detach_all(str(tmp_path / "to"))


def test_a_directory_is_not_mounted(place: Path) -> None:
    assert not mounts.is_mounted(str(place / "to"))
    assert not mounts.is_mounted(str(place / "nothing"))
    assert mounts.is_mounted("/proc")
    assert mounts.is_mounted("/")


def test_a_tree_of_the_same_file_system_is(place: Path) -> None:
    to = str(place / "to")
    mounts.attach(syscalls.open_tree(str(place / "from")), to)
    assert (place / "to/file").read_text(encoding="utf-8") == "text"
    assert mounts.is_mounted(to)
    mounts.detach_all(to)
    assert not mounts.is_mounted(to)
    assert (place / "to/below").exists()


def test_all_that_is_mounted_at_a_place_goes(place: Path) -> None:
    to = str(place / "to")
    for _time in range(3):
        mounts.attach(syscalls.open_tree(str(place / "from")), to)
    mounts.attach(syscalls.new_mount("tmpfs", []), to)
    mounts.detach_all(to)
    assert not mounts.is_mounted(to)


def test_a_link_to_a_mount_is_not_mounted(place: Path) -> None:
    (place / "link").symlink_to("/proc")
    assert not mounts.is_mounted(str(place / "link"))


def test_who_comes_second_finds_nothing_to_unmount(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = str(place / "to")
    mounts.attach(syscalls.open_tree(str(place / "from")), to)
    umount = syscalls.umount

    def somebody_else_first(path: str, flags: int) -> None:
        umount(path, flags)
        umount(path, flags)

    monkeypatch.setattr(syscalls, "umount", somebody_else_first)
    mounts.detach_all(to)
    assert not mounts.is_mounted(to)


def test_what_cannot_be_unmounted_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = str(place / "to")
    mounts.attach(syscalls.open_tree(str(place / "from")), to)

    def refused(path: str, _flags: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    with monkeypatch.context() as context, pytest.raises(PermissionError):
        context.setattr(syscalls, "umount", refused)
        mounts.detach_all(to)


def test_a_link_leads_nowhere_and_is_a_link(place: Path) -> None:
    """Whoever copies goes by paths; what he finds in a directory's place is what is to be copied."""
    (place / "from/link").symlink_to(place / "to")
    (place / "to/secret").touch()
    with mounts.without_links(str(place / "from")) as path:
        assert Path(path, "file").read_text(encoding="utf-8") == "text"
        assert Path(path, "link").readlink() == place / "to"
        with pytest.raises(OSError) as raised:
            Path(path, "link/secret").read_bytes()
        assert raised.value.errno == errno.ELOOP
        (place / "from/new").touch()
        assert Path(path, "new").exists()
    assert (place / "from/link/secret").exists()
