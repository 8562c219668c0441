# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""System calls that Python 3.9 has no name for, by ctypes. Each raises ``OSError`` with the kernel's errno.

The numbers from 424 up are the same on every architecture (Documentation/process/adding-syscalls.rst).
"""

from __future__ import annotations

import ctypes
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWNS = 0x00020000
CLONE_FS = 0x00000200
MNT_DETACH = 2
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NODEV = 0x00000004
MOVE_MOUNT_F_EMPTY_PATH = 0x00000004
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 437, 442
_RENAME_EXCHANGE = 2
_PR_SET_PDEATHSIG = 1
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64), ("userns_fd", ctypes.c_uint64),
    )  # fmt: skip


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): open with a say in how the path is resolved."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    call = _libc.syscall(_OPENAT2, dir_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    return _check(call, path)


def open_tree(path: str) -> int:
    """open_tree(2): a detached copy of the mount at ``path``, as a file descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    return _check(_libc.syscall(_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags), path)


def mount_setattr(tree_fd: int, attr_set: int, userns_fd: int = 0) -> None:
    """mount_setattr(2) on a detached mount: read-only, without device nodes, id-mapped."""
    attr = _MountAttr(attr_set, 0, 0, userns_fd)
    call = _libc.syscall(_MOUNT_SETATTR, tree_fd, b"", AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))
    _check(call, "mount_setattr")


def move_mount(tree_fd: int, path: str) -> None:
    """move_mount(2): attach a detached mount at ``path``."""
    call = _libc.syscall(_MOVE_MOUNT, tree_fd, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH)
    _check(call, path)


def new_mount(filesystem: str, options: list[tuple[str, str]]) -> int:
    """fsopen(2), fsconfig(2), fsmount(2): a new detached mount, as a file descriptor."""
    context = _check(_libc.syscall(_FSOPEN, filesystem.encode(), 1), filesystem)
    try:
        for key, value in (*options, ("source", filesystem)):
            call = _libc.syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
            _check(call, f"{filesystem} {key}={value}")
        call = _libc.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        _check(call, f"{filesystem} {' '.join(f'{k}={v}' for k, v in options)}")
        return _check(_libc.syscall(_FSMOUNT, context, 1, 0), filesystem)
    finally:
        os.close(context)


def umount(path: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(path), flags), path)


def make_mounts_private() -> None:
    """mount(2): nothing that is mounted from now on in the thread's mount namespace shows in another."""
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount --make-rprivate /")


def setns(fd: int, kind: int) -> None:
    """setns(2), for the calling thread."""
    _check(_libc.setns(fd, kind), "setns")


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread."""
    _check(_libc.unshare(flags), "unshare")


def sethostname(name: str) -> None:
    """sethostname(2), in the calling thread's namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def die_with_parent() -> None:
    """prctl(2) with PR_SET_PDEATHSIG: the calling process is killed when the thread that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def rename_exchange(one: str, other: str) -> None:
    """renameat2(2) with RENAME_EXCHANGE."""
    _check(_libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE), one)
