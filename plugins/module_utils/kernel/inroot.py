# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a container, read and written from outside without falling into what its root user may have laid there.

Paths are resolved as if the container's root were the whole file system, symbolic links included (openat2(2),
RESOLVE_IN_ROOT), so that no link leads to a file of the node's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from . import syscalls

_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
# A list of hosts to block may have megabytes; a file of gigabytes is a trap.
_LIMIT = 8 << 20
# Bytes that are no UTF-8 come back as they were.
_ERRORS = "surrogateescape"


def read(root: int, path: str) -> str | None:
    """The text of a regular file, or ``None`` when there is none. A link at the end counts as none.

    Raises ``OSError`` for a file that is larger than any such file has reason to be.
    """
    try:
        fd = syscalls.openat2(root, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, resolve=_RESOLVE)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as handle:
            content = handle.read(_LIMIT + 1)
    finally:
        os.close(fd)
    if len(content) > _LIMIT:
        raise OSError(errno.EFBIG, f"{path} is too large")
    return content.decode("utf-8", _ERRORS)


def write(root: int, path: str, text: str, owner: int, mode: int = 0o644, directory_mode: int = 0o755) -> None:
    """Replace a file in one rename. Missing directories are made; everything new belongs to host id ``owner``."""
    parent, _sep, name = path.rpartition("/")
    directory = _directory(root, parent, owner, directory_mode)
    temporary = f".{name}.carve"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with open(fd, "w", encoding="utf-8", errors=_ERRORS) as handle:
                handle.write(text)
                os.fchown(fd, owner, owner)
                os.fchmod(fd, mode)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
    finally:
        os.close(directory)


def _directory(root: int, path: str, owner: int, mode: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return syscalls.openat2(root, path or "/", flags, resolve=_RESOLVE)
    except FileNotFoundError:
        parent = _directory(root, path.rpartition("/")[0], owner, 0o755)
        try:
            name = path.rpartition("/")[2]
            os.mkdir(name, 0o700, dir_fd=parent)
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            os.fchown(fd, owner, owner)
            os.fchmod(fd, mode)
            return fd
        finally:
            os.close(parent)
