# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give every file of a tree to the ids of a container, for file systems that can show it no other way.

Changing an owner makes the kernel drop set-user-id bits and file capabilities (chown(2), capabilities(7)); both are put
back, the capabilities in their version 3, which names the user namespace's root that they hold for.
"""

from __future__ import annotations

import os
import stat
import struct

_CAPABILITY = "security.capability"
_REVISION_MASK, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000


def shift(tree: str, base: int) -> None:
    """Add ``base`` to every owner and group below and at ``tree``, without following links."""
    _shift_one(tree, base)
    for directory, folders, files in os.walk(tree):
        for name in (*folders, *files):
            _shift_one(f"{directory}/{name}", base)


def _shift_one(path: str, base: int) -> None:
    status = os.lstat(path)
    if status.st_uid >= base:
        return  # a hard link that was met before
    regular = stat.S_ISREG(status.st_mode)
    capability = _capability(path) if regular else None
    os.lchown(path, base + status.st_uid, base + status.st_gid)
    if regular and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    if capability:
        os.setxattr(path, _CAPABILITY, for_namespace(capability, base))


def _capability(path: str) -> bytes | None:
    try:
        return os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return None


def for_namespace(capability: bytes, root: int) -> bytes:
    """A version 2 file capability (struct vfs_cap_data, linux/capability.h) as version 3 with its root's host id."""
    (magic,) = struct.unpack_from("<I", capability)
    if magic & _REVISION_MASK != _REVISION_2:
        return capability
    return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_3) + capability[4:20] + struct.pack("<I", root)
