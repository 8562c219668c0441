# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk quota by system calls: who a file is counted for, what is used, and the limits.

quotactl_fd(2) (Linux 5.14) takes any file of the filesystem instead of its device. The generic commands of quotactl(2)
work on ext4 and on XFS. Limits of space are in blocks of 1024 bytes in the kernel's structures and in bytes here; 0 is
no limit in the kernel and ``None`` here. Every function raises ``OSError`` with the kernel's errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

USER, GROUP, PROJECT = "user", "group", "project"
# The kernel's numbers of the kinds (linux/quota.h), and FS_QUOTA_xDQ_ENFD of the state (linux/dqblk_xfs.h).
_KINDS = {USER: 0, GROUP: 1, PROJECT: 2}
_ENFORCED = {USER: 1 << 1, GROUP: 1 << 3, PROJECT: 1 << 5}

_QUOTACTL_FD = 443
_GETQUOTA, _SETQUOTA, _GETNEXTQUOTA = 0x800007, 0x800008, 0x800009
_XGETQSTATV = ord("X") << 8 | 8
_QIF_LIMITS = 1 | 4  # QIF_BLIMITS, QIF_ILIMITS
# struct if_dqblk: hard and soft blocks, used bytes, hard and soft inodes, used inodes, two times, what is valid; and
# of struct if_nextdqblk the id that follows.
_DQBLK = struct.Struct("=8QI")
_NEXTDQBLK = struct.Struct("=8QII")
_STATV_SIZE, _STATV_VERSION = 256, 1
_BLOCK = 1024

# linux/fs.h: struct fsxattr is five numbers (flags, two of XFS, the project, one more of XFS) and 8 bytes of padding.
_FSXATTR = struct.Struct("=5I8x")
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_PROJINHERIT = 0x200

_libc = ctypes.CDLL(None, use_errno=True)


class Quota(NamedTuple):
    """Bytes and inodes: what may be had (``None``: no limit) and what is used."""

    space: int | None
    inodes: int | None
    space_used: int
    inodes_used: int


def pack(space: int | None, inodes: int | None) -> bytes:
    """The kernel's structure for both limits; what is not a whole block of space is not given."""
    blocks = 0 if space is None else max(1, space // _BLOCK)
    count = inodes or 0
    return _DQBLK.pack(blocks, blocks, 0, count, count, 0, 0, 0, _QIF_LIMITS)


def unpack(raw: bytes) -> Quota:
    blocks, _soft, used, inodes, _isoft, inodes_used, _btime, _itime, _valid = _DQBLK.unpack_from(raw)
    return Quota(blocks * _BLOCK or None, inodes or None, used, inodes_used)


def _call(fd: int, command: int, kind: str, ident: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    number = (command << 8 | _KINDS[kind]) & 0xFFFFFFFF
    if _libc.syscall(_QUOTACTL_FD, fd, ctypes.c_uint(number), ctypes.c_uint(ident), buffer) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{kind} quota of id {ident}: {os.strerror(code)}")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def enforced(path: str) -> frozenset[str]:
    """The kinds of quota that are in force on the filesystem that holds ``path``; none where the kernel has none."""
    buffer = ctypes.create_string_buffer(struct.pack("=b", _STATV_VERSION), _STATV_SIZE)
    try:
        with _opened(path) as fd:
            _call(fd, _XGETQSTATV, USER, 0, buffer)
    except OSError:
        return frozenset()
    (flags,) = struct.unpack_from("=H", buffer.raw, 2)
    return frozenset(kind for kind, bit in _ENFORCED.items() if flags & bit)


def get(path: str, kind: str, ident: int) -> Quota:
    """What an id of the filesystem that holds ``path`` may have and has."""
    buffer = ctypes.create_string_buffer(_NEXTDQBLK.size)
    try:
        with _opened(path) as fd:
            _call(fd, _GETQUOTA, kind, ident, buffer)
    except OSError as error:
        if error.errno == errno.ENOENT:  # XFS knows nothing of an id that has nothing
            return Quota(None, None, 0, 0)
        raise
    return unpack(buffer.raw)


def put(path: str, kind: str, ident: int, space: int | None, inodes: int | None) -> None:
    """Set both limits of an id at once; there is no moment without them."""
    buffer = ctypes.create_string_buffer(pack(space, inodes), _NEXTDQBLK.size)
    with _opened(path) as fd:
        _call(fd, _SETQUOTA, kind, ident, buffer)


def limited(path: str, kind: str, first: int, count: int) -> list[int]:
    """The ids from ``first`` on, ``count`` of them, that have a limit."""
    found, ident = [], first
    with _opened(path) as fd:
        while ident < first + count:
            buffer = ctypes.create_string_buffer(_NEXTDQBLK.size)
            try:
                _call(fd, _GETNEXTQUOTA, kind, ident, buffer)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESRCH):
                    break
                raise
            *_values, ident = _NEXTDQBLK.unpack(buffer.raw)
            quota = unpack(buffer.raw)
            if ident < first + count and (quota.space is not None or quota.inodes is not None):
                found.append(ident)
            ident += 1
    return found


def project_of(fd: int) -> int:
    """The project that a file or directory is counted for; 0 is none."""
    raw = fcntl.ioctl(fd, _FSGETXATTR, bytes(_FSXATTR.size))
    return int(_FSXATTR.unpack(raw)[3])


def set_project(fd: int, project: int, inherit: bool) -> None:
    """Count a file or directory for a project; what is made in a directory from then on as well, with ``inherit``."""
    flags, extent, nextents, _old, cow = _FSXATTR.unpack(fcntl.ioctl(fd, _FSGETXATTR, bytes(_FSXATTR.size)))
    flags |= _PROJINHERIT if inherit else 0
    fcntl.ioctl(fd, _FSSETXATTR, _FSXATTR.pack(flags, extent, nextents, project, cow))
