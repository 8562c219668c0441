# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's root filesystem: made from a template, mounted for its start, opened for a look.

Two backends. ``overlay``: the template, seen with the container's ids, under an upper layer of the container's own; a
clone is three directories and costs milliseconds. ``copy``, where the file system or the kernel under Carve cannot do
that: a full copy of the template, given to the container's ids.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from . import store
from .host import Box
from .kernel import mounts, namespaces, shift, syscalls
from .paths import Paths

OVERLAY, COPY = "overlay", "copy"


def lower(paths: Paths, box: Box) -> str:
    """The template version that the container was made from."""
    return f"{paths.template(box.record.fields['template'], box.record.template_version)}/rootfs"


def backend_for(paths: Paths, template_rootfs: str, slot: int) -> str:
    """The backend that works here, found by trying."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="try.", dir=paths.staging) as place:
        for name in ("upper", "work", "root"):
            os.mkdir(f"{place}/{name}")
        userns = namespaces.userns_fd(slot)
        try:
            tree = mounts.overlay(template_rootfs, f"{place}/upper", f"{place}/work", f"{place}/root", userns)
            os.close(tree)
        except OSError:
            return COPY
        finally:
            os.close(userns)
    return OVERLAY


def make(paths: Paths, box: Box, project: int | None = None) -> None:
    """Make a new root filesystem in the container's (staged) directory, counted for a project if there is one.

    Not on disk yet when it returns.
    """
    source = lower(paths, box)
    os.mkdir(f"{box.directory}/root", 0o711)
    lay_out(box, project)
    with store.opened(box.directory) as place:
        if box.record.backend == COPY:
            # By argument list: names never pass through a shell.
            import subprocess

            copy = f"/proc/{os.getpid()}/fd/{place}/copy"
            command = ["cp", "-a", "--reflink=auto", f"{source}/.", copy]
            result = subprocess.run(command, check=False, capture_output=True, text=True)
            if result.returncode:
                raise OSError(f"the template cannot be copied: {result.stderr.strip()}")
            shift.shift(copy, box.record.base_id)
            return
        os.chown("upper", box.record.base_id, box.record.base_id, dir_fd=place)
        os.chmod("upper", os.stat(source).st_mode & 0o7777, dir_fd=place)


def lay_out(box: Box, project: int | None) -> None:
    """Make the writable part, empty, under what it is limited by: a project, or a filesystem of its own."""
    fields = box.record.fields
    if project is None and fields.get("disk") is not None:
        store.make_image(box.directory, fields["disk"], fields.get("inodes"))
    parts = (("copy", 0o755),) if box.record.backend == COPY else (("work", 0o700), ("upper", 0o755))
    with store.opened(box.directory) as place:
        for name, mode in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=place)
    if project is not None:
        store.count(box.directory, project)


def _tree(paths: Paths, box: Box) -> int:
    """The root filesystem as a detached mount, in which a device node opens nothing.

    A container makes none itself. But one that came with an archive would lead to the node's device: the device control
    group does not confine unprivileged containers. What a container is to have is bound into its /dev.
    """
    tree = _whole_tree(paths, box)
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_NODEV)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _whole_tree(paths: Paths, box: Box) -> int:
    if store.image_of(box.directory) is None:
        return _layers(paths, box)

    def make() -> int:
        store.mount(box.directory)
        return _layers(paths, box)

    # Where nobody else sees it: the detached mount keeps what it needs of the container's own filesystem.
    return namespaces.apart(make)


def _layers(paths: Paths, box: Box) -> int:
    place = store.place(box.directory)
    if box.record.backend == COPY:
        return syscalls.open_tree(f"{place}/copy")
    userns = namespaces.userns_fd(box.record.slot)
    try:
        return mounts.overlay(lower(paths, box), f"{place}/upper", f"{place}/work", f"{box.directory}/root", userns)
    finally:
        os.close(userns)


def mount(paths: Paths, box: Box) -> None:
    """Mount the root filesystem where LXC expects it; one that is mounted already stays."""
    mountpoint = f"{box.directory}/root"
    if not mounts.is_mounted(mountpoint):
        store.mount(box.directory)
        mounts.attach(_tree(paths, box), mountpoint)


def unmount(directory: str) -> None:
    """Unmount the root filesystem, and the container's own one below it."""
    mounts.detach_all(f"{directory}/root")
    store.unmount(directory)


@contextlib.contextmanager
def opened(paths: Paths, box: Box) -> Iterator[int]:
    """A descriptor of the root directory for writing; of a stopped container without mounting it anywhere."""
    mountpoint = f"{box.directory}/root"
    if mounts.is_mounted(mountpoint):
        fd = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        fd = _tree(paths, box)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened_for_reading(box: Box) -> Iterator[int | None]:
    """A descriptor under which the files that Carve has written are found, without mounting anything for others."""
    mountpoint, flags = f"{box.directory}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        if box.pid and mounts.is_mounted(mountpoint):
            fd = os.open(mountpoint, flags)
        else:
            with store.opened(box.directory) as place:
                fd = os.open("copy" if box.record.backend == COPY else "upper", flags, dir_fd=place)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
