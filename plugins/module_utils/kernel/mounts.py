# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's root filesystem as one mount.

The template is shared and keeps its own ids; a container sees it through an id-mapped view (mount_setattr(2)), under an
overlay (overlayfs.rst) whose upper layer belongs to the container's own ids. The view needs no mount that stays: the
overlay keeps a private copy of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator

from . import namespaces, syscalls

# A checkpoint has to open files by handle, which an overlay allows only when mounted so from its first day on.
_OVERLAY_OPTIONS = (("index", "on"), ("nfs_export", "on"))
# Seconds in which the last user of an overlay that was unmounted is to let go of its upper layer.
_LETTING_GO = 5.0


def mapped_view(path: str, userns: int) -> int:
    """A detached read-only mount of ``path`` in which the ids on disk are those of the user namespace."""
    tree = syscalls.open_tree(path)
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_IDMAP | syscalls.MOUNT_ATTR_RDONLY, userns)
    except BaseException:
        os.close(tree)
        raise
    return tree


@contextlib.contextmanager
def without_links(path: str) -> Iterator[str]:
    """Another path of a directory, below which no symbolic link leads anywhere (mount_setattr(2), NOSYMFOLLOW).

    For programs that go by paths where a container's root changes directories into links meanwhile. Links themselves
    can be read as ever. Of this process: programs that it calls may use it as well.
    """
    tree = syscalls.open_tree(path)
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_NOSYMFOLLOW)
        yield f"/proc/{os.getpid()}/fd/{tree}"
    finally:
        os.close(tree)


def overlay(lower: str, upper: str, work: str, mountpoint: str, userns: int) -> int:
    """A detached overlay.

    The view of ``lower`` must lie at a path while the overlay is made. It lies at ``mountpoint``, but in a mount
    namespace that nobody else sees and that a run which is killed takes along.
    """
    view = mapped_view(lower, userns)
    layers = [("lowerdir", mountpoint), ("upperdir", upper), ("workdir", work)]

    def make() -> int:
        syscalls.move_mount(view, mountpoint)
        return patiently(lambda: syscalls.new_mount("overlay", [*layers, *_OVERLAY_OPTIONS]))

    try:
        return namespaces.apart(make)
    finally:
        os.close(view)


def patiently(mount: Callable[[], int]) -> int:
    """Mount, though the mount before is still referred to by a process that ends or by a namespace just being made."""
    deadline = time.monotonic() + _LETTING_GO
    while True:
        try:
            return mount()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def attach(tree: int, mountpoint: str) -> None:
    """Attach a detached mount, and give its descriptor back."""
    try:
        syscalls.move_mount(tree, mountpoint)
    finally:
        os.close(tree)


def is_mounted(path: str) -> bool:
    """Whether something is mounted at ``path`` itself, be it of the same file system (which ismount() cannot tell)."""
    parent, _sep, name = path.rstrip("/").rpartition("/")
    if not name:
        return True
    try:
        directory = os.open(parent or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
        os.close(syscalls.openat2(directory, name, flags, resolve=syscalls.RESOLVE_NO_XDEV))
    except OSError as error:
        return error.errno == errno.EXDEV
    finally:
        os.close(directory)
    return False


def detach_all(path: str) -> None:
    """Unmount everything at ``path``, however often something was mounted there.

    The monitor of a container that ends does the same by its hook: whoever comes second finds nothing to unmount.
    """
    while is_mounted(path):
        try:
            syscalls.umount(path, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno != errno.EINVAL:  # umount(2): not a mount point
                raise
