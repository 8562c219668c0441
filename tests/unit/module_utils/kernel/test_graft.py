# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is put into another mount namespace is there, is locked, and is nowhere else."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import slots
from ansible_collections.carve.vps.plugins.module_utils.kernel import graft, namespaces, syscalls

SLOT = 20
BASE = slots.base_id(SLOT)


@pytest.fixture
def other() -> Iterator[int]:
    """A process with a mount namespace of its own, ruled by a root who is none on the node."""
    with namespaces.held(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS) as pid:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text(f"0 {BASE} {slots.RANGE}", encoding="ascii")
        yield pid


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that everybody reaches, with something to share in it."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("here", encoding="ascii")
    return tmp_path.resolve()


def rules(pid: int, script: str) -> subprocess.CompletedProcess[str]:
    """What comes of a shell script that the root of that namespace runs."""
    command = ["nsenter", "-t", str(pid), "-U", "-m", "-S", "0", "-G", "0", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_directory_is_there_and_only_there(other: int, place: Path) -> None:
    source, target = str(place / "source"), str(place / "in" / "side")
    before = descriptors()
    graft.attach(other, graft.of_tree(source, False, None), target, BASE)
    found = graft.found(other, [target, str(place)])
    assert set(found) == {target}
    assert (found[target].read_only, found[target].idmapped) == (False, False)
    assert found[target].status.st_ino == Path(source).stat().st_ino
    assert rules(other, f"cat {target}/file").stdout == "here"
    # The place was made, for the other's root; nothing is mounted at it here.
    assert Path(target).stat().st_uid == BASE
    assert list(Path(target).iterdir()) == []
    graft.detach(other, target)
    graft.detach(other, target)
    assert graft.found(other, [target]) == {}
    assert descriptors() == before


def test_read_only_cannot_be_taken_back(other: int, place: Path) -> None:
    source, target = str(place / "source"), str(place / "ro")
    Path(source).chmod(0o777)
    graft.attach(other, graft.of_tree(source, True, None), target, BASE)
    assert graft.found(other, [target])[target].read_only
    for attempt in (f"mount -o remount,bind,rw {target}", f"mount -o remount,rw {target}"):
        result = rules(other, attempt)
        assert result.returncode, attempt
        assert "permission denied" in (result.stdout + result.stderr).lower()
    assert rules(other, f"touch {target}/new").returncode
    assert not (place / "source" / "new").exists()
    assert " ro,nosuid,nodev" in next(line for line in _mounts(other) if f" {target} " in line)


def _mounts(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()


def test_id_mapped_files_keep_their_owner(other: int, place: Path) -> None:
    source, target = str(place / "source"), str(place / "mapped")
    userns = namespaces.userns_fd(SLOT)
    try:
        graft.attach(other, graft.of_tree(source, False, userns), target, BASE)
    finally:
        os.close(userns)
    assert graft.found(other, [target])[target].idmapped
    assert rules(other, f"touch {target}/new && stat -c %u {target}/file").stdout.strip() == "0"
    assert (place / "source" / "new").stat().st_uid == 0


def test_a_file_is_mounted_upon_a_file(other: int, place: Path) -> None:
    target = str(place / "a file")
    graft.attach(other, graft.of_tree(str(place / "source" / "file"), True, None), target, BASE)
    assert stat.S_ISREG(graft.found(other, [target])[target].status.st_mode)
    assert rules(other, f"cat '{target}'").stdout == "here"


def test_a_device_file_is_the_others_own(other: int, place: Path) -> None:
    target = str(place / "full")
    graft.attach(other, graft.of_device(stat.S_IFCHR, os.makedev(1, 7), 0o440, 0, BASE), target, BASE)
    status = graft.found(other, [target])[target].status
    assert (stat.S_ISCHR(status.st_mode), status.st_rdev, status.st_gid) == (True, os.makedev(1, 7), BASE)
    assert rules(other, f"head -c 2 {target} | wc -c").stdout.strip() == "2"
    for attempt in (f"chmod 666 {target}", f"chown 0 {target}", f"echo x > {target}"):
        denied = rules(other, attempt)
        assert denied.returncode, attempt
        assert "space" not in denied.stderr, "it was opened for writing"
    graft.detach(other, target, empty_file=True)
    assert not Path(target).exists()


def test_what_stood_at_the_place_before_stays(other: int, place: Path) -> None:
    target = place / "kept"
    target.write_text("before", encoding="ascii")
    graft.attach(other, graft.of_tree(str(place / "source" / "file"), True, None), str(target), BASE)
    graft.detach(other, str(target), empty_file=True)
    assert target.read_text(encoding="ascii") == "before"


@pytest.mark.parametrize("target", ["link/below", "link"])
def test_links_are_not_followed(other: int, place: Path, target: str) -> None:
    (place / "elsewhere").mkdir()
    (place / "link").symlink_to(place / "elsewhere")
    tree = graft.of_tree(str(place / "source"), False, None)
    with pytest.raises(OSError, match="symbolic link"):
        graft.attach(other, tree, str(place / target), BASE)
    assert list((place / "elsewhere").iterdir()) == []
    with pytest.raises(OSError, match="symbolic link"):
        graft.of_tree(str(place / "link"), False, None)
