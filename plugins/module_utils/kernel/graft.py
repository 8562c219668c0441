# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of the node's file tree, and devices, put into a running container.

What is put there is a detached mount (open_tree(2), fsmount(2)), attached in the container's mount namespace by a
thread that visits it (move_mount(2), setns(2)). The place is found without following any symbolic link: whatever the
container's root has laid there leads nowhere else.

Whoever rules a mount namespace may take flags such as read-only back, unless they were set by somebody above: a mount
that is copied to a namespace of lesser rights has them locked (mount_namespaces(7)). So every mount is taken through
such a namespace, which exists for that moment, on its way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from . import inroot, mountinfo, namespaces, syscalls

_STACKED = 64  # mounts at one place, of which Carve makes one
_NO_LINKS = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS


@dataclass(frozen=True)
class Mounted:
    """A mount of a process's namespace, and what is found at it."""

    read_only: bool
    idmapped: bool
    status: os.stat_result


def of_tree(source: str, read_only: bool, userns: int | None) -> int:
    """A detached mount of a file or directory of the node; with ``userns``, id-mapped by it (mount_setattr(2))."""

    def make() -> str:
        place = node_path(source)
        try:
            tree = syscalls.open_tree_of(place)
            try:
                flags = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
                flags |= syscalls.MOUNT_ATTR_RDONLY if read_only else 0
                syscalls.mount_setattr(
                    tree, flags | (syscalls.MOUNT_ATTR_IDMAP if userns is not None else 0), userns or 0
                )
                # Upon itself, as a place that is surely there; nobody else sees this namespace.
                syscalls.move_mount_onto(tree, place)
            finally:
                os.close(tree)
        finally:
            os.close(place)
        return source

    return _locked(make)


def of_device(kind: int, number: int, mode: int, owner: int, group: int) -> int:
    """A detached mount of a device file of its own: the node's has an owner whom the container does not know."""

    def make() -> str:
        tree = syscalls.new_mount("tmpfs", [("mode", "0755"), ("size", "64k")])
        try:
            syscalls.move_mount(tree, "/dev")
        finally:
            os.close(tree)
        os.mknod("/dev/node", kind, number)
        os.chown("/dev/node", owner, group)
        os.chmod("/dev/node", mode)
        return "/dev/node"

    return _locked(make)


def _locked(make: Callable[[], str]) -> int:
    """A detached copy of what is mounted at the path that ``make`` returns, with its flags locked."""

    def run() -> int:
        path = make()
        with namespaces.held(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS) as child:
            namespaces.enter(syscalls.CLONE_NEWNS, f"/proc/{child}/ns/mnt")
            place = node_path(path)
            try:
                return syscalls.open_tree_of(place)
            finally:
                os.close(place)

    return namespaces.apart(run)


def node_path(path: str) -> int:
    """A descriptor of a file or directory of the node that is reached without any symbolic link."""
    with _root() as root:
        return syscalls.openat2(root, path, os.O_PATH, resolve=_NO_LINKS)


@contextlib.contextmanager
def _root() -> Iterator[int]:
    """The root directory that the calling thread has."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def attach(pid: int, tree: int, path: str, owner: int) -> None:
    """Attach a detached mount at a path in a process's mount namespace, and give its descriptor back.

    A missing place is made, a directory or an empty file like what is mounted, and belongs to host id ``owner``.
    """
    directory = stat.S_ISDIR(os.fstat(tree).st_mode)

    def run() -> None:
        with _root() as root:
            place = _place(root, path, owner, directory)
            try:
                syscalls.move_mount_onto(tree, place)
            finally:
                os.close(place)

    try:
        namespaces.inside(run, _mounts_of(pid))
    finally:
        os.close(tree)


def detach(pid: int, path: str, empty_file: bool = False) -> None:
    """Unmount everything at a path in a process's mount namespace. Whoever has a file open there keeps it.

    With ``empty_file`` the empty file goes, too, that something was mounted upon.
    """

    def run() -> None:
        folder, _sep, name = path.rpartition("/")
        with _root() as root:
            place = syscalls.openat2(root, folder or "/", os.O_PATH | os.O_DIRECTORY, resolve=_NO_LINKS)
        try:
            os.fchdir(place)
        finally:
            os.close(place)
        for _mount in range(_STACKED):
            if not _is_mount(name):
                break
            syscalls.umount(name, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        else:
            raise OSError(
                f"more than {_STACKED} mounts lie on each other at {path}, and somebody may go on making them"
            )
        left = os.lstat(name)
        if empty_file and stat.S_ISREG(left.st_mode) and not left.st_size:
            os.unlink(name)

    with contextlib.suppress(FileNotFoundError):
        namespaces.inside(run, _mounts_of(pid))


def _is_mount(name: str) -> bool:
    flags = os.O_PATH | os.O_NOFOLLOW
    try:
        os.close(syscalls.openat2(syscalls.AT_FDCWD, name, flags, resolve=syscalls.RESOLVE_NO_XDEV))
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def _mounts_of(pid: int) -> tuple[int, str]:
    return syscalls.CLONE_NEWNS, f"/proc/{pid}/ns/mnt"


def _place(root: int, path: str, owner: int, directory: bool) -> int:
    """The place to mount at, made if need be."""
    with contextlib.suppress(FileNotFoundError):
        return _opened(root, path)
    try:
        _make(root, path, owner, directory)
    except OSError as error:
        if error.errno != errno.EOVERFLOW:
            raise
        # A file system of the container's own, such as its /dev, knows no ids but the container's.
        syscalls.set_filesystem_ids(owner)
        try:
            _make(root, path, owner, directory)
        finally:
            syscalls.set_filesystem_ids(0)
    return _opened(root, path)


def _opened(root: int, path: str) -> int:
    try:
        return syscalls.openat2(root, path, os.O_PATH, resolve=_NO_LINKS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(
                errno.ELOOP, f"there is a symbolic link in {path} inside; declare the path it leads to"
            ) from error
        raise


def _make(root: int, path: str, owner: int, directory: bool) -> None:
    parent, _sep, name = path.rpartition("/")
    if directory:
        os.close(inroot.directory(root, path, owner, resolve=_NO_LINKS))
        return
    folder = inroot.directory(root, parent, owner, resolve=_NO_LINKS)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=folder)
        os.fchown(fd, owner, owner)
        os.close(fd)
    finally:
        os.close(folder)


def found(pid: int, paths: Iterable[str]) -> dict[str, Mounted]:
    """What a process has mounted at some paths: nothing is said of those where nothing is."""
    rows = {mount.ident: mount for mount in mountinfo.of(pid)}
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    result: dict[str, Mounted] = {}
    try:
        for path in paths:
            try:
                fd = syscalls.openat2(root, path, os.O_PATH, resolve=_NO_LINKS)
            except OSError:
                continue
            try:
                found = rows.get(_mount_id(fd))
                if found is not None and found.place == path:
                    result[path] = Mounted("ro" in found.options, "idmapped" in found.options, os.fstat(fd))
            finally:
                os.close(fd)
    finally:
        os.close(root)
    return result


def _mount_id(fd: int) -> str:
    with open(f"/proc/thread-self/fdinfo/{fd}", encoding="ascii") as handle:
        return next((line.split()[1] for line in handle if line.startswith("mnt_id:")), "")
