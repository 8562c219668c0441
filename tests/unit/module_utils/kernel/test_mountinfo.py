# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of mounts, of the real kernel, with what somebody may call a mount who wants to be a nuisance."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import mountinfo, namespaces
from ansible_collections.carve.vps.plugins.module_utils.kernel.mountinfo import Mount

# Each of the ends of a line that Python knows, what the table itself is made of, and bytes that are no text.
NAMES = [b"a b", b"a\tb", b"a\nb", b"a\\b", b"a\rb", b"a\x0bb", b"a\x0cb", b"a\x1cb", b"a\xc2\x85b", b"a\xe2\x80\xa8b",
         b"a\xff", b"a - b", b"#a", b" "]  # fmt: skip


def _mounted(place: bytes, source: bytes) -> list[Mount]:
    """The rows of a mount namespace that has one mount more."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, place, b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    return list(mountinfo.of("thread-self"))


@pytest.mark.parametrize("name", NAMES)
def test_whatever_its_name_and_its_source(name: bytes, tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    place = os.fsencode(directory)
    rows = namespaces.apart(lambda: _mounted(place, name))
    (found,) = (row for row in rows if row.place == str(directory))
    assert (found.kind, found.source, found.root) == ("tmpfs", os.fsdecode(name), "/")
    assert "rw" in found.options and "rw" in found.of_filesystem
    assert len(rows) == 1 + len(Path("/proc/self/mountinfo").read_bytes().strip().split(b"\n"))


def test_a_mount_without_a_source_has_its_columns(tmp_path: Path) -> None:
    rows = namespaces.apart(lambda: _mounted(os.fsencode(tmp_path), b""))
    (found,) = (row for row in rows if row.place == str(tmp_path))
    assert found.kind == "tmpfs" and "rw" in found.of_filesystem


def test_tags_and_roots() -> None:
    (found,) = mountinfo.rows(["29 1 8:1 /a\\040b / ro,noatime shared:1 master:7 - ext4 /dev/sda1 rw,quota\n"])
    assert found == Mount("29", "8:1", "/a b", "/", frozenset({"ro", "noatime"}), ("shared:1", "master:7"), "ext4",
                          "/dev/sda1", ("rw", "quota"))  # fmt: skip


def test_who_has_ended_sees_none() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert mountinfo.seen_by(pid) == []
    with pytest.raises(OSError, match="No such"):
        list(mountinfo.of(pid))
