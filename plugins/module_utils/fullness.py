# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disk is full, the node's or a container's own, and how that is told. Pure."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from . import units

SPACE, INODE = "space", "inode"
# As programs that are started, such as cp(1), say it.
_NO_SPACE, _NO_QUOTA = os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)
# What was being written is removed again, which leaves a little: nothing that Carve writes into a container that runs
# is larger.
_LITTLE = 1 << 20


@dataclass(frozen=True)
class Room:
    """What a filesystem or a quota gives, and what is left of it: bytes and inodes; ``None`` is no limit."""

    space: int | None = None
    space_left: int | None = None
    inodes: int | None = None
    inodes_left: int | None = None

    def lacking(self) -> str | None:
        """``SPACE`` or ``INODE``, whichever there is none of."""
        if self.space_left is not None and self.space_left < _LITTLE:
            return SPACE
        return INODE if self.inodes_left is not None and self.inodes_left <= 1 else None


def is_told_by(error: Exception) -> bool:
    """Whether an error says that a disk is full, be it in the words of a program."""
    return getattr(error, "disk_full", False) or _is(error, errno.ENOSPC) or _NO_SPACE in str(error) or _is_quota(error)


def _is_quota(error: Exception) -> bool:
    """LXC's words are no proof: the kernel's limit of keys has the same (keyrings(7))."""
    return _is(error, errno.EDQUOT) or (isinstance(error, OSError) and _NO_QUOTA in str(error))


def _is(error: Exception, code: int) -> bool:
    return getattr(error, "errno", None) == code


def of_container(error: Exception, own: Room | None, node: Room) -> str | None:
    """The words for a container's own disk that is full; ``None`` where it is the node's.

    ``own`` is what the container has left, ``None`` for one that has no disk of its own; ``node`` is what its node has.
    """
    lacking = own.lacking() if own is not None else None
    if lacking is None and _is_quota(error):
        return "a quota inside the container is used up; see disk_users and disk_groups, or remove files of that user"
    if own is None or (lacking is None and (own.space is None or node.lacking() is not None)):
        return None
    # With room left on both, something was too large for the smaller one, and is removed again.
    found = f"no {lacking} is left" if lacking is not None else f"not enough {SPACE} is left"
    whole = own.inodes if lacking == INODE else own.space
    total = "" if whole is None else f" of {whole if lacking == INODE else units.show_size(whole)}"
    more = "inodes" if lacking == INODE else "disk"
    return f"the container's own disk is full: {found}{total}; remove files inside, or declare more {more}"


def of_node(error: Exception, place: str, room: Room) -> str:
    """The words for the node's disk, which holds ``place``; what was begun is removed by now."""
    total, free = (units.show_size((size or 0) >> 20 << 20) for size in (room.space, room.space_left))
    what = INODE if room.inodes and not room.inodes_left else SPACE
    said = "" if isinstance(error, OSError) else f" ({str(error).splitlines()[0].rstrip(':')})"
    full = f"the disk of {place} is full: no {what} is left of {total}{said}"
    return f"{full}; what was begun is removed, {free} free now"
