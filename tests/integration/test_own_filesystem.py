# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container with a filesystem of its own, as on nodes without quota: how its end is told, and how fast it writes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import images, store
from ansible_collections.carve.vps.plugins.module_utils.kernel import loop, mounts
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.own_node import run
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, booted, host, inside

SECONDS = 6  # of I/O at the limit
pytestmark = pytest.mark.skipif("project" in host().quota, reason="containers have quota here, and no filesystems")

MANY = {f"host-{number}.example": "10.0.0.9" for number in range(4000)}  # more than a full ext4 has left


def test_a_full_container_is_not_taken_for_a_full_node(fleet: Fleet) -> None:
    for name, options, inodes in (("t-full", {"disk": "64M"}, False), ("t-few", {"disk": "64M", "inodes": 2000}, True)):
        fleet.containers = {}
        fleet.declare(name, **options)
        fleet.apply(ALL)
        booted(name)
        if inodes:
            inside(name, "sh", "-c", "mkdir /root/m && cd /root/m && seq 3000 | xargs touch", check=False)
        else:
            inside(name, "sh", "-c", "cat /dev/zero >/root/fill; sync; cat /dev/zero >/root/more; sync", check=False)
        fleet.declare(name, **options, hosts=MANY)
        result = fleet.run(ALL)
        what = "inode is left of 20" if inodes else "space is left of 64M"
        assert result.get("failed"), (name, inside(name, "df", "/"), inside(name, "df", "-i", "/"))
        assert f"container {name}: change: the container's own disk is full: no {what}" in result["msg"], result["msg"]
        inside(name, "rm", "-rf", "/root/fill", "/root/more", "/root/m")
        fleet.apply(ALL)


def test_a_container_that_is_larger_than_its_disk_is_not_taken_for_a_full_node(fleet: Fleet) -> None:
    """What is written into a new one does not fit: the node is left as it was."""
    fleet.declare("t-small", disk="16M", hosts={f"{'x' * 40}-{n}.example": "10.0.0.9" for n in range(250_000)})
    result = fleet.run()
    words = "the container's own disk is full: not enough space is left of 16M"
    assert f"container t-small: create: {words}" in result["msg"], result["msg"]


@pytest.mark.parametrize(("size", "filesystem"), [("320M", "xfs"), ("128M", "ext4")])
def test_limits_of_io_hold_what_is_written_through_a_loop_device(fleet: Fleet, size: str, filesystem: str) -> None:
    """Through a device that kept what is written in the node's page cache, nothing would be held back."""
    fleet.declare("t-io", disk=size)
    fleet.apply()
    booted("t-io")
    image = f"{Paths().container('t-io')}/{store.IMAGE}"
    assert store.kind_of(image) == filesystem
    assert [(device / "loop/dio").read_text(encoding="ascii").strip() for device in devices(image)] == ["1"]
    ways = {
        "written past the cache": "dd if=/dev/zero of=/root/f bs=256k count={0} oflag=direct conv=notrunc",
        "written and synced": "dd if=/dev/zero of=/root/f bs=256k count={0} conv=notrunc,fsync",
        "read past the cache": "dd if=/root/f of=/dev/null bs=256k count={0} iflag=direct",
    }
    free = {way: rate("t-io", command.format(4 * SECONDS * 10)) for way, command in ways.items()}
    fleet.declare("t-io", disk=size, io_read="10M", io_write="10M")
    fleet.apply()
    held = {way: rate("t-io", command.format(4 * SECONDS * 10)) for way, command in ways.items()}
    print({way: f"{free[way]:.1f} free, {held[way]:.2f} of 10 MiB/s" for way in ways})
    for way, got in held.items():
        assert 8 < got < 11.5, (way, free, held)
    assert min(free.values()) > 15, free


def rate(name: str, command: str) -> float:
    """How fast a container does that much I/O, in MiB/s; by the clock, from beginning to end."""
    began = time.monotonic()
    inside(name, *command.split())
    return SECONDS * 10 / (time.monotonic() - began)


def devices(image: str) -> list[Path]:
    """The loop devices of an image, in ``/sys/block``."""
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [file.parent.parent for file in files if file.read_text(encoding="utf-8").strip() == image]


def test_direct_io_on_a_disk_with_large_sectors(tmp_path: Path) -> None:
    """What was made for sectors of 512 bytes is mounted there, too, though by way of the page cache."""
    disk, place, point = tmp_path / "disk", tmp_path / "place", tmp_path / "point"
    place.mkdir()
    point.mkdir()
    with disk.open("wb") as handle:
        handle.truncate(1 << 30)
    device = run("losetup", "--find", "--show", "--sector-size", "4096", str(disk)).strip()
    try:
        run("mkfs.ext4", "-q", device)
        run("mount", device, str(place))
        small = ["mkfs.xfs", "-q", "-s", "size=512"]
        for command, is_direct in (
            (images.command("xfs", None), "1"),
            (images.command("ext4", None), "1"),
            (small, "0"),
        ):
            image = place / "image"
            with image.open("wb") as handle:
                handle.truncate(320 << 20)
            run(*command, str(image))
            mounts.attach(loop.mount(str(image)), str(point))
            try:
                (found,) = devices(str(image))
                assert (found / "loop/dio").read_text(encoding="ascii").strip() == is_direct, command
                (point / "file").write_bytes(bytes(1 << 20))
                os.sync()
            finally:
                run("umount", str(point))
            image.unlink()
    finally:
        subprocess.run(["umount", str(place)], check=False)
        run("losetup", "--detach", device)
