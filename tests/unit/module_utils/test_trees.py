# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tree made as another one is: everything of it, in one pass or in several."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import trees
from ansible_collections.carve.vps.plugins.module_utils.trees import Replica

ROOT = os.geteuid() == 0


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Path, Path, Replica]]:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir(mode=0o700)
    fds = opened(source), opened(copy)
    yield source, copy, Replica(*fds)
    for fd in fds:
        os.close(fd)


def listing(top: Path) -> dict[str, Any]:
    """Everything that can be told of a tree; of names of one file, which go together."""
    found: dict[str, Any] = {}
    first: dict[int, str] = {}
    for path in (top, *sorted(top.rglob("*"))):
        status = path.lstat()
        name = str(path.relative_to(top))
        regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
        found[name] = {
            "look": (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns),
            "content": path.read_bytes() if regular else str(path.readlink()) if link else None,
            "attributes": {
                key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
            },
            "same as": first.setdefault(status.st_ino, name),
        }
    return found


def grown(source: Path) -> None:
    """A tree that has one of everything."""
    (source / "etc/deep/er").mkdir(parents=True)
    (source / "etc/passwd").write_text("root\n", encoding="ascii")
    (source / "etc/empty").touch()
    (source / "etc/deep/er/strange \n \udcff").write_bytes(b"\0\1" * 5000)
    (source / "etc/one").write_text("linked", encoding="ascii")
    os.link(source / "etc/one", source / "etc/deep/two")
    (source / "link").symlink_to("/etc/shadow")
    (source / "dangling").symlink_to("nowhere")
    os.mkfifo(source / "pipe", 0o640)
    os.setxattr(source / "etc/passwd", "user.note", b"\0kept")
    os.utime(source / "etc/passwd", ns=(1_234_567_890_123_456_789, 1_111_111_111_987_654_321))
    (source / "etc/empty").chmod(0o4711)
    (source / "etc/deep").chmod(0o2770)
    os.utime(source / "etc/deep", ns=(5 * 10**17, 5 * 10**17))
    if ROOT:
        os.mknod(source / "whiteout", stat.S_IFCHR, 0)
        os.chown(source / "link", 1310720, 1310721, follow_symlinks=False)
        os.chown(source / "etc/empty", 1310720, 1310720)
        (source / "etc/empty").chmod(0o4711)
        os.setxattr(source / "etc/deep", "trusted.overlay.opaque", b"y")


def test_everything_comes(pair: tuple[Path, Path, Replica]) -> None:
    source, copy, replica = pair
    grown(source)
    size = replica.finish()
    assert listing(copy) == listing(source)
    assert listing(copy)["etc/deep/two"]["same as"] == listing(copy)["etc/one"]["same as"]
    assert size.files == len(list(source.rglob("*"))) + 1
    assert size.bytes >= 3 * 4096


def test_holes_stay_holes(pair: tuple[Path, Path, Replica]) -> None:
    source, copy, replica = pair
    with (source / "image").open("wb") as handle:
        handle.truncate(64 << 20)
        handle.seek(32 << 20)
        handle.write(b"data" * 1024)
    size = replica.finish()
    made = (copy / "image").stat()
    assert (made.st_size, made.st_blocks * 512 < 1 << 20, size.bytes < 1 << 20) == (64 << 20, True, True)
    assert (copy / "image").read_bytes() == (source / "image").read_bytes()


@pytest.mark.skipif(not ROOT, reason="only root may set what overlayfs notes")
def test_what_is_true_of_one_overlay_only_is_left_out(pair: tuple[Path, Path, Replica]) -> None:
    source, copy, replica = pair
    for name in ("origin", "nlink", "uuid", "opaque"):
        os.setxattr(source, f"trusted.overlay.{name}", b"y")
    replica.finish()
    assert os.listxattr(copy) == ["trusted.overlay.opaque"]


def test_a_second_pass_brings_what_has_changed(pair: tuple[Path, Path, Replica]) -> None:
    """Each of these leaves something the same that a quick look would go by."""
    source, copy, replica = pair
    grown(source)
    (source / "gone/below").mkdir(parents=True)
    (source / "gone/below/file").touch()
    for name in ("a", "b", "swapped"):
        (source / name).write_text(name[0], encoding="ascii")
    replica.approach()
    assert listing(copy) == listing(source)

    times = (source / "a").stat()
    (source / "a").write_text("A", encoding="ascii")  # of the same size and, as is set now, of the same time
    os.utime(source / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    (source / "b").rename(source / "aside")
    (source / "swapped").rename(source / "b")
    (source / "aside").rename(source / "swapped")
    (source / "gone/below/file").unlink()
    (source / "gone/below").rmdir()
    (source / "gone").rmdir()
    (source / "gone").symlink_to("etc")  # a directory that became a link
    (source / "link").unlink()
    (source / "link").mkdir()  # and a link that became a directory
    (source / "link/inner").touch()
    os.link(source / "etc/one", source / "etc/three")
    os.removexattr(source / "etc/passwd", "user.note")
    (source / "etc/deep").chmod(0o711)
    replica.finish()
    assert listing(copy) == listing(source)
    assert len({row["same as"] for name, row in listing(copy).items() if name in ("etc/one", "etc/three")}) == 1


def test_what_did_not_change_is_not_copied_again(pair: tuple[Path, Path, Replica], monkeypatch: Any) -> None:
    source, copy, replica = pair
    for name in ("old", "new"):
        (source / name).write_text("text", encoding="ascii")
    monkeypatch.setattr("time.time_ns", lambda: (source / "new").stat().st_ctime_ns + 10**10)
    replica.approach()
    before = (copy / "old").stat().st_ino
    (copy / "old").chmod(0o600)  # so that it looks other than it should, and is made anew
    (source / "old").chmod(0o600)
    kept = (copy / "new").stat().st_ino
    replica.finish()
    assert (copy / "new").stat().st_ino == kept
    assert (copy / "old").stat().st_ino == before


def test_a_directory_in_the_place_of_another_one_is_not_taken_for_it(
    pair: tuple[Path, Path, Replica], monkeypatch: Any
) -> None:
    """What is below it is as old as it is, and says nothing of when it came there: a program that is deployed."""
    source, copy, replica = pair
    for name, files in (("app", ("same", "dropped")), ("app.new", ("same", "added"))):
        (source / name / "lib").mkdir(parents=True)
        for file in files:
            (source / name / "lib" / file).write_text(name[-3:], encoding="ascii")
            os.utime(source / name / "lib" / file, ns=(10**18, 10**18))
    time.sleep(0.05)  # some ticks of the clock of files, both before what follows and after it
    since = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: since + trees._SLACK)
    time.sleep(0.05)
    replica.approach()
    (source / "app").rename(source / "app.old")
    (source / "app.new").rename(source / "app")
    replica.finish()
    assert listing(copy) == listing(source)


def test_what_is_outside_is_not_touched_through_links(pair: tuple[Path, Path, Replica], tmp_path: Path) -> None:
    """A tree that was copied with a directory has a link to somewhere else in its place by the next pass."""
    source, copy, replica = pair
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("of the node", encoding="ascii")
    (source / "inner").mkdir()
    (source / "inner/secret").write_text("of the container", encoding="ascii")
    replica.approach()
    (source / "inner/secret").unlink()
    (source / "inner").rmdir()
    (source / "inner").symlink_to(tmp_path / "outside")
    replica.finish()
    assert (copy / "inner").is_symlink() and (tmp_path / "outside/secret").read_text(encoding="ascii") == "of the node"


def test_directories_nested_without_end_are_an_error_with_words(pair: tuple[Path, Path, Replica]) -> None:
    source, _copy, replica = pair
    here = opened(source)
    for _level in range(450):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(OSError, match="nested deeper than 250"):
        replica.finish()
