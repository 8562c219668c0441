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
