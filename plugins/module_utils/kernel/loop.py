# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filesystems in image files: made, mounted by a loop device (loop(4)), grown while they are in use.

The loop device goes with its last user (LO_FLAGS_AUTOCLEAR), be that a mount that is detached or a process that is
killed. Two devices on one image would be two kernels' worth of opinion about one filesystem: an image that has a device
is mounted by that one, and whoever looks for it holds a lock on the image.

A device passes what it is asked for to the image past the node's page cache (LO_FLAGS_DIRECT_IO), where the filesystem
that holds the image can do that. Otherwise what is written would end in that cache at once, and reach the disk in the
name of the node, whatever limits of I/O the container has.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from . import mounts, syscalls

EXT4, XFS = "ext4", "xfs"
_BLOCK = 4096

_SET_CAPACITY, _GET_STATUS64, _CONFIGURE, _GET_FREE = 0x4C07, 0x4C05, 0x4C0A, 0x4C82
_SET_DIRECT_IO, _SET_BLOCK_SIZE = 0x4C08, 0x4C09
_AUTOCLEAR, _DIRECT_IO = 4, 16
# struct loop_info64 (linux/loop.h): device, inode, ..., flags at 52, 232 bytes in all; struct loop_config: the backing
# file, a block size, loop_info64, 64 reserved bytes.
_INFO_SIZE, _FLAGS_AT = 232, 52
_EXT4_RESIZE = 0x40086610  # _IOW('f', 16, __u64), in blocks
_XFS_GEOMETRY_V1, _XFS_GROW = 0x80705864, 0x4010586E  # _IOR('X', 100, 112 bytes), _IOW('X', 110, 16 bytes)
_GROWING_NEEDS = 24  # CAP_SYS_RESOURCE (capabilities(7)), which ext4 asks for


def kind_of(image: str) -> str | None:
    """The filesystem in an image, by its magic number."""
    with open(image, "rb") as handle:
        head = handle.read(2048)
    if head[:4] == b"XFSB":
        return XFS
    return EXT4 if head[1080:1082] == b"\x53\xef" else None


def ext4_grows() -> bool:
    """Whether this process may grow an ext4 that is mounted."""
    with open("/proc/self/status", encoding="ascii") as handle:
        for line in handle:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _GROWING_NEEDS & 1)
    return False


def mount(image: str) -> int:
    """A detached mount of the filesystem in an image, as a descriptor."""
    kind = kind_of(image)
    if kind is None:
        raise OSError(errno.EINVAL, f"{image} holds no filesystem")
    with _device(image) as (path, _fd):
        # Blocks that are freed inside are given back to the filesystem that the image lies on.
        return mounts.patiently(lambda: syscalls.new_mount(kind, [("source", path)], flags=["discard"]))


@contextlib.contextmanager
def _device(image: str) -> Iterator[tuple[str, int]]:
    """The loop device of an image: the one that it has, else a new one. It lasts as long as it has users."""
    # A lock belongs to an opened file, and the device keeps the one that it is given.
    with open(image, "rb", buffering=0) as lock, open(image, "r+b", buffering=0) as handle:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _attached(handle.fileno()) or _attach(handle.fileno())
        try:
            yield found
        finally:
            os.close(found[1])


def _attached(image: int) -> tuple[str, int] | None:
    """The loop device that an image has already, opened."""
    wanted = os.fstat(image)
    for name in sorted(os.listdir("/sys/block")):
        if name.startswith("loop") and os.path.exists(f"/sys/block/{name}/loop/backing_file"):
            try:
                fd = os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                # Asked of the opened device: it cannot go to another image any more.
                raw = fcntl.ioctl(fd, _GET_STATUS64, bytes(_INFO_SIZE))
                if struct.unpack_from("=QQ", raw)[:2][1] == wanted.st_ino and _same_device(raw, wanted.st_dev):
                    return f"/dev/{name}", fd
            except OSError as error:
                if error.errno != errno.ENXIO:  # it has just been given back
                    os.close(fd)
                    raise
            os.close(fd)
    return None


def _same_device(raw: bytes, device: int) -> bool:
    """Whether lo_device, in the kernel's encoding of large device numbers, is this one (huge_encode_dev)."""
    (found,) = struct.unpack_from("=Q", raw)
    minor, major = (found & 0xFF) | (found >> 12 & 0xFFF00), found >> 8 & 0xFFF
    return (major, minor) == (os.major(device), os.minor(device))


def _attach(image: int) -> tuple[str, int]:
    """A loop device for an image, opened."""
    while True:
        with open("/dev/loop-control", "rb", buffering=0) as control:
            number = fcntl.ioctl(control, _GET_FREE)
        path = f"/dev/loop{number}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Where nobody makes device files (a container, a minimal /dev).
            with contextlib.suppress(FileExistsError):
                os.mknod(path, 0o60660, os.makedev(7, number))
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        info = bytearray(_INFO_SIZE)
        struct.pack_into("=I", info, _FLAGS_AT, _AUTOCLEAR | _DIRECT_IO)
        try:
            # Sectors of 512 bytes: left to itself the kernel takes the disk's, which may be too large for an XFS.
            fcntl.ioctl(fd, _CONFIGURE, struct.pack("=II", image, 512) + bytes(info) + bytes(64))
            _go_direct(fd, image)
            return path, fd
        except OSError as error:
            os.close(fd)
            if error.errno != errno.EBUSY:  # somebody else was quicker
                raise


def _is_direct(device: int) -> bool:
    """Whether an opened loop device passes the page cache by."""
    (flags,) = struct.unpack_from("=I", fcntl.ioctl(device, _GET_STATUS64, bytes(_INFO_SIZE)), _FLAGS_AT)
    return bool(flags & _DIRECT_IO)


def _go_direct(device: int, image: int) -> None:
    """Pass the page cache by also where the disk's sectors are larger, if the filesystem in the image is made for that.

    Where nothing helps, such as on a filesystem without direct I/O, the device stays as it is.
    """
    if _is_direct(device) or sector(os.pread(image, 2048, 0)) < _BLOCK:
        return
    with contextlib.suppress(OSError):
        fcntl.ioctl(device, _SET_BLOCK_SIZE, _BLOCK)
        fcntl.ioctl(device, _SET_DIRECT_IO, 1)


def sector(head: bytes) -> int:
    """The smallest thing that a filesystem asks of its device, in bytes, by how its image begins."""
    if head[:4] == b"XFSB":
        return int.from_bytes(head[102:104], "big")  # sb_sectsize (xfs_format.h)
    return 1024 << int.from_bytes(head[1048:1052], "little")  # s_log_block_size (ext4, super.rst)


def grow(image: str, size: int, root: str) -> None:
    """Make an image and its filesystem, mounted at ``root``, as large as that. Done again it changes nothing.

    Raises ``OSError``; of ext4 with EPERM where this process has no CAP_SYS_RESOURCE.
    """
    if os.stat(image).st_size < size:
        os.truncate(image, size)
    with _device(image) as (_path, device):
        fcntl.ioctl(device, _SET_CAPACITY)
    blocks = os.stat(image).st_size // _BLOCK
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if kind_of(image) == XFS:
            geometry = fcntl.ioctl(fd, _XFS_GEOMETRY_V1, bytes(112))
            inode_percent, have = struct.unpack_from("=IQ", geometry, 28)
            if have < blocks:
                fcntl.ioctl(fd, _XFS_GROW, struct.pack("=QI4x", blocks, inode_percent))
        else:
            fcntl.ioctl(fd, _EXT4_RESIZE, struct.pack("=Q", blocks))
    finally:
        os.close(fd)
