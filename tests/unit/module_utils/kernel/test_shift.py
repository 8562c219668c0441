# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every file of a tree goes to a container's ids, with the rights that it had."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.kernel import shift

BASE = 1310720
# struct vfs_cap_data, version 2, effective: cap_net_raw (bit 13) permitted.
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def test_owners_are_shifted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.touch()
    (tree / "bin").mkdir(parents=True)
    for name, owner, mode in (("su", (0, 0), 0o4755), ("mail", (8, 12), 0o2711), ("ping", (0, 0), 0o755)):
        (tree / "bin" / name).touch()
        os.chown(tree / "bin" / name, *owner)
        (tree / "bin" / name).chmod(mode)
    os.setxattr(tree / "bin/ping", "security.capability", NET_RAW)
    os.link(tree / "bin/su", tree / "linked")
    (tree / "away").symlink_to(outside)
    os.mkfifo(tree / "fifo")
    shift.shift(str(tree), BASE)
    found = {path.name: path.lstat() for path in (tree, *tree.rglob("*"))}
    assert {name: (status.st_uid - BASE, status.st_gid - BASE) for name, status in found.items()} == {
        **dict.fromkeys(("tree", "bin", "su", "linked", "ping", "away", "fifo"), (0, 0)),
        "mail": (8, 12),
    }
    modes = {name: found[name].st_mode & 0o7777 for name in ("su", "linked", "mail", "ping")}
    assert modes == {"su": 0o4755, "linked": 0o4755, "mail": 0o2711, "ping": 0o755}
    assert outside.stat().st_uid == 0
    # Version 3 names the root of the user namespace that the capability holds for (capabilities(7)).
    magic, permitted, _inheritable, _permitted, _inheritable, root = struct.unpack(
        "<IIIIII", os.getxattr(tree / "bin/ping", "security.capability")
    )
    assert (magic, permitted, root) == (0x03000001, 1 << 13, BASE)


def test_a_capability_that_names_its_root_already_is_kept() -> None:
    third = struct.pack("<IIIIII", 0x03000001, 1, 0, 0, 0, 7)
    assert shift.for_namespace(third, BASE) == third


# struct posix_acl_xattr: u::rwx u:1000:r-x g::r-x g:100:r-- m::rwx o::r-x
_NOBODY = 2**32 - 1
ENTRIES = ((1, 7, _NOBODY), (2, 5, 1000), (4, 5, _NOBODY), (8, 4, 100), (16, 7, _NOBODY), (32, 5, _NOBODY))


def listed(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_access_control_lists_are_shifted() -> None:
    wanted = [(tag, may, ident + BASE if tag in (2, 8) else ident) for tag, may, ident in ENTRIES]
    assert shift.renumbered(listed(*ENTRIES), lambda ident: ident + BASE) == listed(*wanted)


def test_there_and_back_again(tmp_path: Path) -> None:
    """With everything that a change of owner takes away; what is done again changes nothing."""
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    for name, owner, mode in (("su", (0, 0), 0o4755), ("mail", (8, 12), 0o2711), ("ping", (0, 0), 0o755)):
        (tree / "bin" / name).touch()
        os.chown(tree / "bin" / name, *owner)
        (tree / "bin" / name).chmod(mode)
    os.setxattr(tree / "bin/ping", "security.capability", NET_RAW)
    os.setxattr(tree / "bin/mail", "system.posix_acl_access", listed(*ENTRIES))
    os.setxattr(tree / "bin", "system.posix_acl_default", listed(*ENTRIES))
    os.link(tree / "bin/su", tree / "linked")
    (tree / "away").symlink_to("/etc/passwd")

    def told() -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for path in (tree, *sorted(tree.rglob("*"))):
            status = path.lstat()
            attributes = {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            }
            rows.append((path, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, attributes))
        return rows

    before = told()
    shift.shift(str(tree), BASE)
    there = told()
    shift.shift(str(tree), BASE)
    assert told() == there != before
    assert os.getxattr(tree / "bin/mail", "system.posix_acl_access") != listed(*ENTRIES)
    shift.unshift(str(tree), BASE)
    shift.unshift(str(tree), BASE)
    assert told() == before
