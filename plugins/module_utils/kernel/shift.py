# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give every file of a tree to the ids of a container, for file systems that can show it no other way; and back.

Changing an owner makes the kernel drop set-user-id bits and file capabilities (chown(2), capabilities(7)); both are put
back, the capabilities in their version 3, which names the user namespace's root that they hold for. Access control
lists name ids, too (acl(5)).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable

from .. import files, slots

_CAPABILITY = "security.capability"
_REVISION_MASK, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000
_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
# linux/posix_acl_xattr.h: a version, then entries of tag, permissions, id; the tags of those that name a user or group.
_LIST_VERSION, _ENTRY, _NAMED = 4, struct.Struct("<HHI"), (2, 8)
Renumber = Callable[[int], int]


def shift(tree: str, base: int) -> None:
    """Add ``base`` to every owner and group below and at ``tree``, without following links. Done again it changes
    nothing."""
    _each(tree, lambda ident: ident + base if ident < slots.RANGE else ident, base, back=False)


def unshift(tree: str, base: int) -> None:
    """The opposite: ids are as they are seen inside."""
    _each(tree, lambda ident: ident - base if base <= ident < base + slots.RANGE else ident, base, back=True)


def _each(tree: str, renumber: Renumber, base: int, back: bool) -> None:
    def fail(error: OSError) -> None:
        raise error

    _one(tree, renumber, base, back)
    for directory, folders, others in files.walk(tree, onerror=fail):
        for name in (*folders, *others):
            _one(f"{directory}/{name}", renumber, base, back)


def _one(path: str, renumber: Renumber, base: int, back: bool) -> None:
    status = os.lstat(path)
    owner, group = renumber(status.st_uid), renumber(status.st_gid)
    if (owner, group) == (status.st_uid, status.st_gid):
        return  # a hard link that was met before
    regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
    capability = _attribute(path, _CAPABILITY) if regular else None
    lists = {} if link else {name: value for name in _LISTS if (value := _attribute(path, name))}
    os.lchown(path, owner, group)
    if regular and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    if capability:
        os.setxattr(path, _CAPABILITY, for_nobody(capability, base) if back else for_namespace(capability, base))
    for name, value in lists.items():
        os.setxattr(path, name, renumbered(value, renumber))


def _attribute(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def renumbered(entries: bytes, renumber: Renumber) -> bytes:
    """An access control list with other ids in it."""
    found = bytearray(entries)
    for at in range(_LIST_VERSION, len(found) - _ENTRY.size + 1, _ENTRY.size):
        tag, permissions, ident = _ENTRY.unpack_from(found, at)
        if tag in _NAMED:
            _ENTRY.pack_into(found, at, tag, permissions, renumber(ident))
    return bytes(found)


def for_namespace(capability: bytes, root: int) -> bytes:
    """A version 2 file capability (struct vfs_cap_data, linux/capability.h) as version 3 with its root's host id."""
    (magic,) = struct.unpack_from("<I", capability)
    if magic & _REVISION_MASK != _REVISION_2:
        return capability
    return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_3) + capability[4:20] + struct.pack("<I", root)


def for_nobody(capability: bytes, root: int) -> bytes:
    """A version 3 file capability of that root as version 2, which names none."""
    (magic,) = struct.unpack_from("<I", capability)
    if magic & _REVISION_MASK != _REVISION_3 or struct.unpack_from("<I", capability, 20)[0] != root:
        return capability
    return struct.pack("<I", magic & ~_REVISION_MASK | _REVISION_2) + capability[4:20]
