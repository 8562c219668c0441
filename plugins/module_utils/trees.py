# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tree of files made as another one is, which may be written to meanwhile.

Whoever writes may be a container's root, and put a link wherever a directory was a moment ago: the trees are walked by
descriptors, and no link is followed. What can share its blocks with the original does (FICLONE); holes stay holes.

A tree that does not hold still is copied in passes. What was copied before is left alone unless its change time says
that it was written to since: nobody can set that time, and the kernel sets it when a mapped page is written to that was
clean. Every pass but the last begins with a sync for that, which makes all pages clean. A directory that has come into
the place of another one brings along what is older than its coming, so each is known by its number, too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from typing import NamedTuple

from .kernel import syscalls

# Overlayfs notes there which file of which filesystem a copy came from; a copy of the copy came from nowhere
# (overlayfs.rst, "Sharing and copying layers"). Opaque marks and whiteouts have to come.
_FOREIGN = frozenset(f"trusted.overlay.{name}" for name in ("origin", "nlink", "uuid"))
_FICLONE = 0x40049409
# What is told of a file that was another kind of file, or none, a moment later.
_HAS_MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ESTALE)
_CANNOT_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)
# Two descriptors and three calls for each level; a process may have 1024 of the one, Python of the other 1000.
_DEEPEST = 250
_CHUNK = 16 << 20
# The kernel's clock for files goes by ticks, and that of some filesystems by seconds.
_SLACK = 2 * 10**9
_RUNNING_PASSES, _SHORT = 4, 1.0


class Size(NamedTuple):
    """What a tree takes on disk."""

    bytes: int
    files: int


class Replica:
    """The directory ``copy``, which is made as the directory ``source`` is; both are descriptors."""

    def __init__(self, source: int, copy: int) -> None:
        self._source, self._copy = source, copy
        self._since: int | None = None
        self._moving = False
        # Which directory of the source each one of the copy was made as, by their numbers.
        self._made_as: dict[int, int] = {}
        # Where the first of several names of one file is, in the copy, by the file's number.
        self._names: dict[int, str] = {}
        self._bytes = self._files = 0

    def approach(self) -> None:
        """Copy while the source is written to, until little is left to do."""
        before = float("inf")
        self._moving = True
        for _number in range(_RUNNING_PASSES):
            began, since = time.monotonic(), time.time_ns() - _SLACK
            syscalls.sync_filesystem(self._source)
            self._pass()
            self._since = since
            took = time.monotonic() - began
            if took < _SHORT or took > before / 2:
                break
            before = took

    def finish(self) -> Size:
        """The last pass, of a source that holds still."""
        self._moving = False
        self._pass()
        return Size(self._bytes, self._files)

    def _pass(self) -> None:
        self._names.clear()
        self._bytes = self._files = 0
        self._directory(self._source, self._copy, "", self._since is None)

    def _directory(self, source: int, copy: int, path: str, fresh: bool) -> None:
        if path.count("/") > _DEEPEST:
            raise OSError(errno.ELOOP, f"directories are nested deeper than {_DEEPEST}: {path[:60]}…")
        status, names = os.fstat(source), os.listdir(source)
        # Nothing came into it or left it, and it is what it was.
        settled = not fresh and self._since is not None and status.st_ctime_ns < self._since
        have = set(names if settled else os.listdir(copy))
        for name in have.difference(names):
            _remove(name, copy)
        changed = False
        for name in names:
            try:
                changed |= self._entry(name, source, copy, f"{path}{name}", name in have)
            except OSError as error:
                if not self._moving or error.errno not in _HAS_MOVED:
                    raise
        self._files += 1
        if changed or not settled:
            _make_alike(copy, f"/proc/self/fd/{source}", f"/proc/self/fd/{copy}", status)

    def _entry(self, name: str, source: int, copy: int, path: str, there: bool) -> bool:
        """Whether the name was made anew in the copy."""
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return self._subdirectory(name, source, copy, path, there)
        self._files += 1
        first = self._names.get(status.st_ino) if status.st_nlink > 1 else None
        if first is None:
            self._bytes += status.st_blocks * 512
        if there and self._is_current(status, name, copy):
            if status.st_nlink > 1:
                self._names[status.st_ino] = path
            return False
        if there:
            _remove(name, copy)
        if first is not None:
            os.link(first, name, src_dir_fd=self._copy, dst_dir_fd=copy, follow_symlinks=False)
            return True
        if stat.S_ISREG(status.st_mode):
            _copy_file(name, source, copy)
        else:
            if stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=copy)
            else:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=copy)
            _make_alike(None, f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{copy}/{name}", status)
        if status.st_nlink > 1:
            self._names[status.st_ino] = path
        return True

    def _subdirectory(self, name: str, source: int, copy: int, path: str, there: bool) -> bool:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner = os.open(name, flags, dir_fd=source)
        try:
            number = os.fstat(inner).st_ino
            if there and not self._is_copy(os.stat(name, dir_fd=copy, follow_symlinks=False), number):
                _remove(name, copy)
                there = False
            if not there:
                os.mkdir(name, 0o700, dir_fd=copy)
            made = os.open(name, flags, dir_fd=copy)
            self._made_as[os.fstat(made).st_ino] = number
            try:
                self._directory(inner, made, f"{path}/", not there)
            finally:
                os.close(made)
        finally:
            os.close(inner)
        return not there

    def _is_copy(self, made: os.stat_result, number: int) -> bool:
        return stat.S_ISDIR(made.st_mode) and self._made_as.get(made.st_ino) == number

    def _is_current(self, status: os.stat_result, name: str, copy: int) -> bool:
        """Whether the copy of a file was made of what it is now."""
        if self._since is None or status.st_ctime_ns >= self._since:
            return False
        return _looks(status) == _looks(os.stat(name, dir_fd=copy, follow_symlinks=False))


def _looks(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns, status.st_rdev)


def _remove(name: str, directory: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        shutil.rmtree(f"/proc/self/fd/{directory}/{name}")
    else:
        os.unlink(name, dir_fd=directory)


def _copy_file(name: str, source: int, copy: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    old = os.open(name, flags, dir_fd=source)
    try:
        status = os.fstat(old)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, f"{name} is no file any more")
        new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=copy)
        try:
            _copy_content(old, new, status.st_size)
            _make_alike(new, f"/proc/self/fd/{old}", f"/proc/self/fd/{new}", status)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _copy_content(old: int, new: int, size: int) -> None:
    if not size:
        return
    try:
        fcntl.ioctl(new, _FICLONE, old)
        return
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
    at = 0
    while at < size:
        try:
            at = os.lseek(old, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing but a hole is left
                raise
            break
        end = os.lseek(old, at, os.SEEK_HOLE)
        os.lseek(new, at, os.SEEK_SET)
        while at < end:
            sent = os.sendfile(new, old, at, min(end - at, _CHUNK))
            if not sent:
                break
            at += sent
    os.ftruncate(new, size)


def _make_alike(fd: int | None, old: str, new: str, status: os.stat_result) -> None:
    """Owner, mode, extended attributes and times. A change of owner takes capabilities and set-id bits away, so it
    comes first; whatever else changes something changes the times, so these come last. ``fd`` is ``new`` where that can
    be opened.
    """
    if fd is not None:
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
    else:
        os.chown(new, status.st_uid, status.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(new, stat.S_IMODE(status.st_mode))
    follow = fd is not None  # what stands in /proc for a descriptor is a link itself
    wanted = {name: os.getxattr(old, name, follow_symlinks=follow) for name in _attributes(old, follow)}
    for name in _attributes(new, follow):
        if name not in wanted:
            os.removexattr(new, name, follow_symlinks=follow)
    for name, value in wanted.items():
        os.setxattr(new, name, value, follow_symlinks=follow)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=follow)


def _attributes(path: str, follow: bool) -> list[str]:
    try:
        return [name for name in os.listxattr(path, follow_symlinks=follow) if name not in _FOREIGN]
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
            return []
        raise
