# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the writable part of a container lies, and what it is counted for.

Where the node's filesystem has project quota, that part (the overlay's upper layer and its working directory, or the
copy) belongs to a project of the container's own. Where it has none, a container with a limit has a filesystem of its
own instead: an image file ``disk.img`` in its directory, mounted at ``disk`` while the container runs.

A container has three projects that it may use by turns, so that a new root filesystem and the old ones that are beside
it for a while are counted apart.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator

from . import files, images
from .kernel import mounts
from .paths import SEARCH

IMAGE, MOUNTPOINT = "disk.img", "disk"
_TURNS = (0, 1 << 16, 1 << 17)  # beyond every slot


def image_of(directory: str) -> str | None:
    """The image of a container that has a filesystem of its own."""
    image = f"{directory}/{IMAGE}"
    return image if os.path.exists(image) else None


def place(directory: str) -> str:
    """The directory that holds the writable part; of a filesystem of its own it is empty while that is not mounted."""
    return f"{directory}/{MOUNTPOINT}" if image_of(directory) else directory


def makers() -> frozenset[str]:
    """The filesystems of their own that containers can get on this node."""
    import shutil

    if not os.path.exists("/dev/loop-control"):
        return frozenset()
    return frozenset(kind for kind in (images.EXT4, images.XFS) if shutil.which(f"mkfs.{kind}", path=SEARCH))


def make_image(directory: str, size: int, inodes: int | None) -> None:
    """Make a filesystem of a container's own; not mounted yet. One that is there stays. Raises ``OSError``."""
    import subprocess

    image, part = f"{directory}/{IMAGE}", f"{directory}/{IMAGE}.part"
    if os.path.exists(image):
        return
    kind = images.choose(size, inodes, makers())
    if kind is None:
        raise OSError("no filesystem for a container can be made here: mkfs.ext4, mkfs.xfs or loop devices are missing")
    os.makedirs(f"{directory}/{MOUNTPOINT}", mode=0o711, exist_ok=True)
    with open(part, "wb") as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.truncate(size)
    command = [*images.command(kind, inodes), part]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={"PATH": SEARCH}, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise OSError(f"{command[0]} cannot make a filesystem: {done.stderr.strip()}")
    files.sync([part])
    os.rename(part, image)


@contextlib.contextmanager
def mounted(directory: str) -> Iterator[str]:
    """The place of the writable part, mounted there for a while if it was not."""
    mine = mount(directory)
    try:
        yield place(directory)
    finally:
        if mine:
            unmount(directory)


def mount(directory: str) -> bool:
    """Mount a container's own filesystem in its directory; whether it had to be."""
    image = image_of(directory)
    if image is None or mounts.is_mounted(f"{directory}/{MOUNTPOINT}"):
        return False
    mounts.attach(detached(image), f"{directory}/{MOUNTPOINT}")
    return True


def kind_of(image: str) -> str | None:
    """The filesystem in an image."""
    from .kernel import loop

    return loop.kind_of(image)


def grow(directory: str, size: int) -> None:
    """Grow a container's own filesystem, be it in use or not. Raises ``OSError``."""
    from .kernel import loop

    image = image_of(directory)
    if image is not None:
        with opened(directory) as place:
            loop.grow(image, size, f"/proc/self/fd/{place}")


def detached(image: str) -> int:
    from .kernel import loop

    return loop.mount(image)


def unmount(directory: str) -> None:
    mounts.detach_all(f"{directory}/{MOUNTPOINT}")


@contextlib.contextmanager
def opened(directory: str) -> Iterator[int]:
    """A descriptor of the place of the writable part; a filesystem that is not mounted is mounted for nobody else."""
    image = image_of(directory)
    if image is None or mounts.is_mounted(f"{directory}/{MOUNTPOINT}"):
        fd = os.open(place(directory), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        fd = detached(image)
    try:
        yield fd
    finally:
        os.close(fd)


# --- Projects


def projects(slot: int) -> list[int]:
    """All that a container may use."""
    return [slot + turn for turn in _TURNS]


def free_project(slot: int, beside: Iterable[str] = ()) -> int:
    """One of a container's projects that none of these directories of its uses."""
    used = {project_of(directory) for directory in beside}
    return next(project for project in projects(slot) if project not in used)


def project_of(directory: str) -> int:
    """The project that a container's writable part is counted for; 0 is none."""
    from .kernel import quota

    for part in ("upper", "copy"):
        with contextlib.suppress(OSError):
            fd = os.open(f"{directory}/{part}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return quota.project_of(fd)
            finally:
                os.close(fd)
    return 0


def count(directory: str, project: int) -> None:
    """Count a container's writable part for a project, everything that is in it included. Done again it ends at once.

    The layer's own top comes last, so that a run which is killed is known by it. What overlayfs works in comes first:
    it may rename into a layer that is not counted yet, and not the other way round (EXDEV).
    """
    if project_of(directory) == project:
        return
    for part in ("work", "upper", "copy"):
        if os.path.isdir(f"{directory}/{part}"):
            _count_below(f"{directory}/{part}", project)


def _count_below(top: str, project: int) -> None:
    """All that is below, of a container that may run. A directory is counted before it is looked into, and what is
    not counted cannot be moved into one that is (EXDEV): only the top gets things meanwhile that nobody has seen."""
    from .kernel import quota

    _count_tree(top, project)
    opened = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        quota.set_project(opened, project, inherit=True)
        for name in os.listdir(opened):  # what was made there, or moved there, before this very moment
            if _count_one(name, opened, project):
                _count_tree(name, project, opened)
    finally:
        os.close(opened)


def _count_tree(top: str, project: int, beside: int | None = None) -> None:
    for _path, directories, names, fd in os.fwalk(top, topdown=True, follow_symlinks=False, dir_fd=beside):
        for name in (*directories, *names):
            _count_one(name, fd, project)


def _count_one(name: str, directory: int, project: int) -> bool:
    """Whether that is a directory that was not counted before.

    Links and device files cannot be opened, and are not counted: they hold nothing."""
    from .kernel import quota

    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return False
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
        try:
            is_new = stat.S_ISDIR(mode) and quota.project_of(fd) != project
            quota.set_project(fd, project, inherit=stat.S_ISDIR(mode))
            return is_new
        finally:
            os.close(fd)
    return False
