# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of disk on a node without quota: a container with ``disk`` has a filesystem of its own. Real blocks and inodes
are used up from inside. What holds on nodes with quota is for the lab (``tests/lab/test_disk.py``)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import info, store
from ansible_collections.carve.vps.plugins.module_utils.kernel import loop, mounts
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    host,
    inside,
    pid,
    start_time,
    wait_for,
)

MIB = 1 << 20
pytestmark = pytest.mark.skipif("project" in host().quota, reason="containers have quota here, and no filesystems")


def total(name: str) -> tuple[int, int]:
    """Bytes and inodes that a container's root filesystem has, as it sees them."""
    lines = [inside(name, "df", f"--output={what}", "-B1", "/").splitlines()[-1] for what in ("size", "itotal")]
    return int(lines[0]), int(lines[1])


def fill(name: str, size: int) -> int:
    """Write so many bytes of real data inside; how many there is room for."""
    inside(name, "dd", "if=/dev/zero", "of=/root/fill", "bs=1M", f"count={size // MIB}", check=False)
    inside(name, "sync")
    return int(inside(name, "stat", "--format=%s", "/root/fill"))


def devices(name: str) -> list[str]:
    """The loop devices that lie on a container's image."""
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [str(file) for file in files if f"/{name}/" in file.read_text(encoding="utf-8")]


def refused(fleet: Fleet, name: str) -> str:
    """Why the fleet cannot be applied; nothing of the container is changed by that."""
    before = (total(name), start_time(name))
    result = fleet.run(ALL)
    assert result.get("failed") and (total(name), start_time(name)) == before
    return str(result["msg"])


def test_a_filesystem_of_its_own_through_a_life(fleet: Fleet) -> None:
    """XFS: created, full, grown while it runs, over stop and start and a reboot, and gone."""
    fleet.declare("t-disk", disk="320M")
    fleet.apply()
    booted("t-disk")
    directory = Paths().container("t-disk")
    assert store.kind_of(f"{directory}/{store.IMAGE}") == "xfs" and len(devices("t-disk")) == 1
    first = total("t-disk")[0]
    assert 200 * MIB < first <= 320 * MIB
    assert first * 0.8 < fill("t-disk", 400 * MIB) < first
    assert "No space left" in inside("t-disk", "dd", "if=/dev/zero", "of=/root/more", "bs=1M", "count=9", check=False)
    found = info.gather()["containers"]["t-disk"]
    assert found["filesystem"] == "xfs" and found["disk_in_use"] >= first * 0.8

    born = start_time("t-disk")
    fleet.declare("t-disk", disk="400M")
    grown = fleet.apply()
    assert [(step["facet"], step["reach"]) for step in grown["steps"]] == [("disk", "live")]
    assert start_time("t-disk") == born and total("t-disk")[0] == first + 80 * MIB
    assert fill("t-disk", 400 * MIB) > first

    fleet.declare("t-disk", disk="320M")
    why = refused(fleet, "t-disk")
    assert "disk 320M is less than the 400M of the container's own filesystem" in why and "M in use" in why, why
    fleet.declare("t-disk")
    assert "write disk: 400M" in refused(fleet, "t-disk")

    # Grown by hand: named, and not to be undone; what is there is what can be declared.
    fleet.declare("t-disk", disk="400M")
    store.grow(directory, 416 * MIB)
    found = fleet.check()
    assert [(s["reason"], s["changes"][0]["before"]) for s in found["steps"]] == [("changed on the node", "416M")]
    fleet.declare("t-disk", disk="416M")
    fleet.apply()

    # What is removed inside is given back to the node.
    inside("t-disk", "rm", "/root/fill")
    inside("t-disk", "sync")
    image = f"{directory}/{store.IMAGE}"
    wait_for("the room to be given back", lambda: Path(image).stat().st_blocks * 512 < 200 * MIB)

    inside("t-disk", "sh", "-c", "echo mine >/root/data")
    fleet.declare("t-disk", disk="416M", state="stopped")
    fleet.apply()
    wait_for("the loop device to be given back", lambda: devices("t-disk") == [])
    assert not mounts.is_mounted(f"{directory}/disk")
    # Configured, grown and looked at while it stands; nothing stays mounted for that.
    fleet.declare("t-disk", disk="448M", state="stopped", hostname="other.example", hosts={"db.x": "10.0.0.9"})
    fleet.apply()
    wait_for("the loop device to be given back", lambda: devices("t-disk") == [])
    fleet.declare("t-disk", disk="448M", hostname="other.example", hosts={"db.x": "10.0.0.9"})
    fleet.apply()
    booted("t-disk")
    assert total("t-disk")[0] == first + 128 * MIB and inside("t-disk", "cat", "/root/data") == "mine"
    assert inside("t-disk", "hostname") == "other.example"

    before = pid("t-disk")
    inside("t-disk", "systemctl", "reboot", "--no-block", check=False)
    wait_for("the container to reboot", lambda: _other("t-disk", before), 120)
    booted("t-disk")
    assert fleet.check()["steps"] == [] and inside("t-disk", "cat", "/root/data") == "mine"

    fleet.containers = {}
    fleet.apply(ALL)
    assert not Path(directory).exists()
    wait_for("the loop device to be given back", lambda: devices("t-disk") == [])


def _other(name: str, before: int) -> bool:
    from ansible_collections.carve.vps.plugins.module_utils.engines import lxc

    return lxc.init_pid(host(), name) not in (None, before)


def test_inodes_and_little_space(fleet: Fleet) -> None:
    """ext4: a small one, with so many inodes and no more."""
    fleet.declare("t-disk-few", disk="64M", inodes="2k")
    fleet.apply()
    booted("t-disk-few")
    space, inodes = total("t-disk-few")
    assert 40 * MIB < space <= 64 * MIB and 2000 <= inodes <= 2032
    inside("t-disk-few", "sh", "-c", "mkdir /root/m && cd /root/m && seq 3000 | xargs touch", check=False)
    made = inside("t-disk-few", "sh", "-c", "ls /root/m | wc -l")
    assert 1000 < int(made) < inodes
    assert inside("t-disk-few", "df", "--output=iavail", "/").splitlines()[-1].strip() == "0"

    for options, words in (
        ({"disk": "64M", "inodes": "3k"}, "the inodes of a container's own filesystem are given when it is made"),
        ({"disk": "96M", "inodes": "2k"}, "ext4 that grows gets more inodes"),
        ({"disk": "32M", "inodes": "2k"}, "disk 32M is less than the 64M of the container's own filesystem"),
    ):
        fleet.declare("t-disk-few", **options)
        assert words in refused(fleet, "t-disk-few"), options


def test_ext4_grows_where_the_kernel_lets_it(fleet: Fleet) -> None:
    fleet.declare("t-disk-ext", disk="64M")
    fleet.apply()
    booted("t-disk-ext")
    before = total("t-disk-ext")[0]
    fleet.declare("t-disk-ext", disk="96M")
    if loop.ext4_grows():
        fleet.apply()
        assert total("t-disk-ext")[0] > before + 20 * MIB
    else:
        assert "Carve has no CAP_SYS_RESOURCE on this node; write disk: 64M" in refused(fleet, "t-disk-ext")


def test_a_rebuild_makes_it_anew_and_a_trial_can_be_taken_back(fleet: Fleet) -> None:
    """The one way to a smaller filesystem; and back to the old one, with all that was in it."""
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    fleet.declare("t-disk-new", disk="96M", template_policy="rebuild")
    fleet.apply()
    booted("t-disk-new")
    inside("t-disk-new", "touch", "/root/mine")
    fleet.declare("t-disk-new", disk="64M", template_policy="rebuild", template="derived")
    result = fleet.run(ALL, gate={"timeout": 1, "command": ["test", "!", "-e", "/derived"]})
    assert "rolled back to base@" in result["msg"]
    assert total("t-disk-new")[0] > 64 * MIB and inside("t-disk-new", "ls", "/root") == "mine"
    fleet.apply(ALL)
    booted("t-disk-new")
    assert total("t-disk-new")[0] <= 64 * MIB and inside("t-disk-new", "ls", "/root") == ""
    wait_for("one loop device", lambda: len(devices("t-disk-new")) == 1)


def test_what_cannot_be_limited_here_is_refused(fleet: Fleet) -> None:
    fleet.declare("t-disk-old")
    fleet.apply()
    fleet.declare("t-disk-old", disk="64M")
    why = refused(fleet, "t-disk-old")
    assert "disk cannot be limited: the filesystem of /var/lib/carve has no project quota" in why, why
    for options, words in (
        ({"inodes": "2k"}, "inodes needs disk: beside it here"),
        ({"disk": "64M", "disk_users": {"1000": {"disk": "1M"}}}, "disk_users needs user quota"),
        ({"disk_groups": {"100": {"inodes": 10}}}, "disk_groups needs group quota"),
    ):
        fleet.containers = {}
        fleet.declare("t-disk-old")
        fleet.declare("t-disk-bad", **options)
        result = fleet.run()
        assert result.get("failed") and words in result["msg"], result["msg"]
        assert not Path(Paths().container("t-disk-bad")).exists()


def test_a_container_started_by_hand_is_mounted_by_the_hook(fleet: Fleet) -> None:
    fleet.declare("t-disk-hand", disk="64M", state="keep")
    fleet.apply()
    subprocess.run(["lxc-start", "-P", Paths().containers, "-n", "t-disk-hand", "-d"], check=True)
    booted("t-disk-hand")
    assert total("t-disk-hand")[0] <= 64 * MIB
    subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", "t-disk-hand", "-k"], check=True)
    wait_for("the loop device to be given back", lambda: devices("t-disk-hand") == [])
