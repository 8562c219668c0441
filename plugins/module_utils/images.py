# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which filesystem a container gets for its own where the node's has no project quota. Pure."""

from __future__ import annotations

from collections.abc import Collection

EXT4, XFS = "ext4", "xfs"
# mkfs.xfs(8) makes nothing smaller.
XFS_LEAST = 300 << 20


def choose(size: int, inodes: int | None, makers: Collection[str]) -> str | None:
    """The filesystem for these limits, of those that the node can make; ``None`` where none will do.

    XFS grows on every node and has as many inodes as fit. ext4 can be smaller, and have a number of inodes.
    """
    if inodes is None and size >= XFS_LEAST and XFS in makers:
        return XFS
    return EXT4 if EXT4 in makers else None


def command(kind: str, inodes: int | None) -> list[str]:
    """The program that makes it, and its arguments but the image."""
    if kind == XFS:
        # Whatever the sectors of the node's disk, or of the one that the container moves to.
        return ["mkfs.xfs", "-q", "-f", "-K", "-s", "size=4096"]
    number = [] if inodes is None else ["-N", str(inodes)]
    return ["mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-E", "nodiscard", *number]


def rounded(inodes: int, size: int) -> int:
    """How many inodes ext4 may have more than it was asked for: each of its groups of 128M has whole blocks of them."""
    return 16 * (size // (128 << 20) + 1)
