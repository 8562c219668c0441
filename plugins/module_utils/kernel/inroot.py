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

from .. import files
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


def look(root: int, path: str) -> str | None:
    """A file's text to be told of: ``None`` when it is too large as well, and without bytes that are no text."""
    try:
        text = read(root, path)
    except OSError:
        return None
    return None if text is None else files.printable(text)


def write(root: int, path: str, text: str, owner: int, mode: int = 0o644, directory_mode: int = 0o755) -> None:
    """Replace a file in one rename. Missing directories are made; everything new belongs to host id ``owner``."""
    parent, _sep, name = path.rpartition("/")
    folder = directory(root, parent, owner, directory_mode)
    temporary = f".{name}.carve"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with open(fd, "w", encoding="utf-8", errors=_ERRORS) as handle:
                handle.write(text)
                os.fchown(fd, owner, owner)
                os.fchmod(fd, mode)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
    finally:
        os.close(folder)


def directory(root: int, path: str, owner: int, mode: int = 0o755, resolve: int = _RESOLVE) -> int:
    """A descriptor of a directory, made with those above it if it is missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return syscalls.openat2(root, path or "/", flags, resolve=resolve)
    except FileNotFoundError:
        parent = directory(root, path.rpartition("/")[0], owner, 0o755, resolve)
        try:
            return _made(parent, path.rpartition("/")[2], owner, mode)
        finally:
            os.close(parent)


def _made(parent: int, name: str, owner: int, mode: int) -> int:
    """A new directory. It gets its name last, so that a run that is killed leaves none that is the node's root's."""
    temporary = f".{name}.carve"
    with contextlib.suppress(OSError):
        os.rmdir(temporary, dir_fd=parent)
    os.mkdir(temporary, 0o700, dir_fd=parent)
    fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fchown(fd, owner, owner)
        os.fchmod(fd, mode)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.rmdir(temporary, dir_fd=parent)
        raise
    return fd


def is_file(root: int, path: str) -> bool:
    """Whether there is a regular file, also at the end of links."""
    try:
        fd = syscalls.openat2(root, path, os.O_PATH, resolve=_RESOLVE)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def read_link(root: int, path: str) -> str | None:
    """Where a symbolic link points, or ``None`` when there is none."""
    try:
        fd = syscalls.openat2(root, path, os.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def link(root: int, path: str, target: str, owner: int) -> None:
    """Replace a file with a symbolic link, in one rename."""
    parent, _sep, name = path.rpartition("/")
    folder = directory(root, parent, owner)
    temporary = f".{name}.carve"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        os.symlink(target, temporary, dir_fd=folder)
        os.chown(temporary, owner, owner, dir_fd=folder, follow_symlinks=False)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def remove(root: int, path: str) -> None:
    """Remove a file or a link. Raises ``FileNotFoundError``."""
    parent, _sep, name = path.rpartition("/")
    folder = syscalls.openat2(root, parent or "/", os.O_RDONLY | os.O_DIRECTORY, resolve=_RESOLVE)
    try:
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)
