# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""System calls that Python 3.9 has no name for, by ctypes. Each raises ``OSError`` with the kernel's errno.

The numbers from 424 up are the same on every architecture (Documentation/process/adding-syscalls.rst).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNS = 0x00020000
CLONE_FS = 0x00000200
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000
MOVE_MOUNT_F_EMPTY_PATH = 0x00000004
MOVE_MOUNT_T_EMPTY_PATH = 0x00000040
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 437, 442
# setresuid by architecture; glibc's own function would change all threads of the process.
_SETRESUID = {"x86_64": 117, "aarch64": 147, "riscv64": 147, "ppc64le": 169, "s390x": 208}.get(os.uname().machine)
_RENAME_EXCHANGE = 2
_PR_SET_PDEATHSIG = 1
_MS_REC, _MS_PRIVATE, _MS_SHARED = 0x4000, 0x40000, 0x100000
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6


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


def open_tree_of(fd: int) -> int:
    """open_tree(2): a detached copy of the mount that a descriptor refers to, from there down."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
    return _check(_libc.syscall(_OPEN_TREE, fd, b"", flags), "open_tree")


def open_tree(path: str) -> int:
    """open_tree(2): a detached copy of the mount at ``path``, as a file descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    return _check(_libc.syscall(_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags), path)


def mount_setattr(tree_fd: int, attr_set: int, userns_fd: int = 0) -> None:
    """mount_setattr(2) on a detached mount: read-only, without device nodes or links that lead anywhere, id-mapped."""
    attr = _MountAttr(attr_set, 0, 0, userns_fd)
    call = _libc.syscall(_MOUNT_SETATTR, tree_fd, b"", AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))
    _check(call, "mount_setattr")


def move_mount_onto(tree_fd: int, target_fd: int) -> None:
    """move_mount(2): attach a detached mount at what a descriptor refers to."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _check(_libc.syscall(_MOVE_MOUNT, tree_fd, b"", target_fd, b"", flags), "move_mount")


def move_mount(tree_fd: int, path: str) -> None:
    """move_mount(2): attach a detached mount at ``path``."""
    call = _libc.syscall(_MOVE_MOUNT, tree_fd, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH)
    _check(call, path)


def new_mount(filesystem: str, options: list[tuple[str, str]], flags: Iterable[str] = ()) -> int:
    """fsopen(2), fsconfig(2), fsmount(2): a new detached mount, as a file descriptor. Its source is its kind's name,
    unless the options say another one."""
    context = _check(_libc.syscall(_FSOPEN, filesystem.encode(), 1), filesystem)
    try:
        for key, value in {"source": filesystem, **dict(options)}.items():
            call = _libc.syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
            _check(call, f"{filesystem} {key}={value}")
        for flag in flags:
            call = _libc.syscall(_FSCONFIG, context, _FSCONFIG_SET_FLAG, flag.encode(), None, 0)
            _check(call, f"{filesystem} {flag}")
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


def make_mount_shared(place: str) -> None:
    """mount(2), MS_SHARED: the mount gets a peer group; what it received it goes on to receive."""
    _check(_libc.mount(None, os.fsencode(place), None, _MS_SHARED, None), f"mount --make-shared {place}")


def filesystem_type(fd: int) -> int:
    """fstatfs(2): the magic number of the file system that a descriptor is on."""
    buffer = ctypes.create_string_buffer(256)
    _check(_libc.fstatfs(fd, buffer), "fstatfs")
    return int(ctypes.c_long.from_buffer(buffer).value)


def sync_filesystem(at: int | str) -> None:
    """syncfs(2): put on disk what was written to the filesystem that a descriptor or a path is on."""
    fd = os.open(at, os.O_RDONLY | os.O_CLOEXEC) if isinstance(at, str) else at
    try:
        _check(_libc.syncfs(fd), "syncfs")
    finally:
        if isinstance(at, str):
            os.close(fd)


def setns(fd: int, kind: int) -> None:
    """setns(2), for the calling thread."""
    _check(_libc.setns(fd, kind), "setns")


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread."""
    _check(_libc.unshare(flags), "unshare")


def set_filesystem_ids(owner: int) -> None:
    """setfsuid(2), setfsgid(2): whose the files are that the calling thread makes from now on."""
    _libc.setfsgid(owner)
    _libc.setfsuid(owner)


def set_effective_user(user: int) -> None:
    """setresuid(2): who the calling thread acts as from now on. One that has been root may be so again."""
    if _SETRESUID is None:
        raise OSError(errno.ENOSYS, f"setresuid is not known on {os.uname().machine}")
    _check(_libc.syscall(_SETRESUID, -1, user, -1), "setresuid")


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
