# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a container whose root lays traps: links out of it, pipes, directories and huge files for plain ones."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import inroot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

OWNER = 1310720


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The container's root; beside it lies a secret of the node's."""
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret\n", encoding="utf-8")
    return tmp_path / "root"


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    fd = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_file_is_read(tree: Path, root: int) -> None:
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
    assert inroot.read(root, "/etc/hosts") == "127.0.0.1 localhost\n"
    assert inroot.read(root, "/etc/nothing") is None
    assert inroot.read(root, "/nowhere/nothing") is None


@pytest.mark.parametrize(
    "target", ["../../secret", "../../../../../../..{secret}", "{secret}", "/proc/self/root{secret}"]
)
def test_no_link_leads_out(tree: Path, root: int, target: str) -> None:
    secret = tree.parent / "secret"
    (tree / "etc/hosts").symlink_to(target.format(secret=secret))
    assert inroot.read(root, "/etc/hosts") is None
    (tree / "up").symlink_to("..")
    assert inroot.read(root, "/up/secret") is None
    (tree / "away").symlink_to(tree.parent)
    assert inroot.read(root, "/away/secret") is None


def test_a_link_at_the_end_counts_as_none_wherever_it_leads(tree: Path, root: int) -> None:
    (tree / "etc/real").write_text("inside", encoding="utf-8")
    (tree / "etc/hosts").symlink_to("real")
    assert inroot.read(root, "/etc/hosts") is None


def test_a_linked_directory_is_looked_for_inside(tree: Path, root: int) -> None:
    (tree / "real").mkdir()
    (tree / "real/file").write_text("inside", encoding="utf-8")
    (tree / "linked").symlink_to("/real")
    assert inroot.read(root, "/linked/file") == "inside"
    inroot.write(root, "/linked/new", "text", OWNER)
    assert (tree / "real/new").read_text(encoding="utf-8") == "text"


def test_what_is_no_plain_file_is_none(tree: Path, root: int) -> None:
    os.mkfifo(tree / "etc/fifo")  # opening it would wait for a writer
    (tree / "etc/directory").mkdir()
    os.mknod(tree / "etc/zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # endless
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(tree / "etc", os.O_PATH)
        sock.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        for name in ("fifo", "directory", "zero", "socket"):
            assert inroot.read(root, f"/etc/{name}") is None


def test_nothing_stays_open(tree: Path, root: int) -> None:
    (tree / "etc/directory").mkdir()
    os.mkfifo(tree / "etc/fifo")
    before = set(Path("/proc/self/fd").iterdir())
    for name in ("directory", "fifo", "nothing"):
        inroot.read(root, f"/etc/{name}")
        inroot.write(root, f"/etc/new/{name}", "", OWNER)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_file_is_replaced_whole(tree: Path, root: int) -> None:
    (tree / "etc/hosts").write_text("a much longer text than the new one\n", encoding="utf-8")
    old = os.open(tree / "etc/hosts", os.O_RDONLY)
    inroot.write(root, "/etc/hosts", "new\n", OWNER, mode=0o640)
    status = (tree / "etc/hosts").stat()
    assert (tree / "etc/hosts").read_text(encoding="utf-8") == "new\n"
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (OWNER, OWNER, 0o640)
    assert os.read(old, 6) == b"a much"
    os.close(old)
    assert sorted(path.name for path in (tree / "etc").iterdir()) == ["hosts"]


def test_missing_directories_are_made_for_the_owner(tree: Path, root: int) -> None:
    inroot.write(root, "/root/.ssh/authorized_keys", "key\n", OWNER, mode=0o600, directory_mode=0o700)
    for path, mode in (("root", 0o755), ("root/.ssh", 0o700), ("root/.ssh/authorized_keys", 0o600)):
        status = (tree / path).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (OWNER, OWNER, mode)


def test_a_link_is_replaced_and_not_followed(tree: Path, root: int) -> None:
    secret = tree.parent / "secret"
    (tree / "etc/hosts").symlink_to(secret)
    (tree / "etc/.hosts.carve").symlink_to(secret)
    inroot.write(root, "/etc/hosts", "new\n", OWNER)
    assert not (tree / "etc/hosts").is_symlink()
    assert (tree / "etc/hosts").read_text(encoding="utf-8") == "new\n"
    assert (secret.read_text(encoding="utf-8"), secret.stat().st_uid) == ("secret\n", 0)


@pytest.mark.parametrize("trap", ["..", "../..", "/../../"])
def test_no_directory_is_made_outside(tree: Path, root: int, trap: str) -> None:
    (tree / "root").symlink_to(trap)
    inroot.write(root, "/root/.ssh/authorized_keys", "key\n", OWNER)
    assert (tree / ".ssh/authorized_keys").exists()
    assert sorted(path.name for path in tree.parent.iterdir()) == ["root", "secret"]


def test_a_link_to_nothing_for_a_directory_fails_and_makes_nothing(tree: Path, root: int) -> None:
    outside = tree.parent / "made"
    (tree / "root").symlink_to(outside)
    with pytest.raises(OSError):
        inroot.write(root, "/root/.ssh/authorized_keys", "key\n", OWNER)
    assert not outside.exists()


def test_a_directory_for_a_file_fails_and_leaves_nothing_behind(tree: Path, root: int) -> None:
    (tree / "etc/hosts").mkdir()
    with pytest.raises(OSError):
        inroot.write(root, "/etc/hosts", "new\n", OWNER)
    assert [path.name for path in (tree / "etc").iterdir()] == ["hosts"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60))
def test_bytes_that_are_no_text_come_back_as_they_were(tree: Path, root: int, raw: bytes) -> None:
    (tree / "etc/hosts").write_bytes(raw)
    text = inroot.read(root, "/etc/hosts")
    assert text is not None
    inroot.write(root, "/etc/hosts", text, OWNER)
    assert (tree / "etc/hosts").read_bytes() == raw


def test_a_huge_file_is_not_cut_short(tree: Path, root: int) -> None:
    """A list of hosts to block has megabytes; a file of gigabytes is a trap."""
    (tree / "etc/hosts").write_text("0.0.0.0 ads.example\n" * 200_000, encoding="utf-8")
    assert len(inroot.read(root, "/etc/hosts") or "") == 4_000_000
    os.truncate(tree / "etc/hosts", 1 << 40)
    with pytest.raises(OSError, match="is too large"):
        inroot.read(root, "/etc/hosts")


def test_links_are_put_read_and_removed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "localtime").write_text("old", encoding="ascii")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert inroot.read_link(root, "/etc/localtime") is None
        inroot.link(root, "/etc/localtime", "/usr/share/zoneinfo/UTC", os.getuid())
        assert inroot.read_link(root, "/etc/localtime") == "/usr/share/zoneinfo/UTC"
        assert [path.name for path in (tmp_path / "etc").iterdir()] == ["localtime"]
        # Where it leads is looked for below the root.
        assert not inroot.is_file(root, "/etc/localtime")
        (tmp_path / "usr/share/zoneinfo").mkdir(parents=True)
        (tmp_path / "usr/share/zoneinfo/UTC").touch()
        assert inroot.is_file(root, "/etc/localtime")
        assert not inroot.is_file(root, "/etc")
        inroot.remove(root, "/etc/localtime")
        assert list((tmp_path / "etc").iterdir()) == []
        with pytest.raises(FileNotFoundError):
            inroot.remove(root, "/etc/localtime")
    finally:
        os.close(root)


def test_a_directory_has_its_name_only_once_it_has_its_owner(
    tree: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run that was killed in between has left is the node's root's, and closed to the container."""

    def killed(_fd: int, _owner: int, _group: int) -> None:
        raise KeyboardInterrupt

    (tree / ".srv.carve").mkdir(0o700)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "fchown", killed)
        inroot.directory(root, "/srv", OWNER)
    assert sorted(one.name for one in tree.iterdir()) == ["etc"]
    os.close(inroot.directory(root, "/srv", OWNER))
    made = (tree / "srv").stat()
    assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (OWNER, 0o755)
    assert sorted(one.name for one in tree.iterdir()) == ["etc", "srv"]
