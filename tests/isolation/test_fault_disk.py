# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault isolation of disks: a container that has ``disk`` and ``inodes`` uses up its own, and nobody else's.

What holds it is quota where the node has it, and else a filesystem of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import images
from ansible_collections.carve.vps.plugins.module_utils.facets import disk
from ansible_collections.carve.vps.tests.integration.support import Fleet, box, force_remove, host
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.escapes import nodes_disk
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, Scene, prove, scene

_DISK, _INODES = 256 << 20, 6000
# What the others ask for meanwhile. The node has the containers' own file system.
_WRITE = """
import tempfile
place = "/var/lib/carve" if os.path.isdir("/var/lib/carve/containers") else "/root"
for _file in range(20):
    with tempfile.NamedTemporaryFile(dir=place) as file:
        file.write(os.urandom(1 << 18))
        file.flush()
        os.fsync(file.fileno())
"""
_STOPPED_BY = "project quota (`disk`, `inodes`), or a filesystem of its own where the node has none"


@pytest.fixture(scope="module")
def stage(templates: dict[str, Any]) -> Iterator[Scene]:
    force_remove("t-")
    made = Fleet("carve-test", templates)
    try:
        with scene(made, disk=str(_DISK), inodes=_INODES) as ready:
            yield ready
    finally:
        made.destroy()


def _given(_scene: Scene) -> dict[str, Any]:
    return {"disk": _DISK, "inodes": _INODES}


def _within_disk(_scene: Scene, report: Report) -> str | None:
    """By what the program was given, and by what its files take on the node."""
    took, used = report.told["took"], disk.look(host(), box(ATTACKER)).space or 0
    assert min(took, used) > _DISK // 2, (took, used)
    # An image takes a few blocks of the node's own bookkeeping besides.
    return f"it took {took} bytes, {used} on the node" if took > _DISK or used > _DISK + (1 << 20) else None


def _within_inodes(_scene: Scene, report: Report) -> str | None:
    took = report.told["took"]
    assert took > _INODES // 2
    return f"it made {took} files" if took > _INODES + images.rounded(_INODES, _DISK) else None


def _empty(scene: Scene) -> None:
    scene.attacker("sh", "-c", "rm -rf /root/bomb /root/bombs; sync")


ATTACKS = [
    Attack(
        name="disk bomb",
        tried="a file written until there is no room, then a second one by root's reserve, and a third after a removal",
        stopped_by=_STOPPED_BY,
        code="""
def fill(path):
    took = 0
    with open(path, "ab", buffering=0) as file:
        try:
            while took < given["disk"] * 2:
                took += file.write(os.urandom(1 << 18))
            os.fsync(file.fileno())
        except OSError as error:
            assert error.errno in (errno.ENOSPC, errno.EDQUOT), error
    return os.stat(path).st_blocks * 512
os.mkdir("/root/bombs")
took = fill("/root/bombs/one") + fill("/root/bombs/two")
os.sync()
# Removed while it is open, it still takes its room.
held = os.open("/root/bombs/two", os.O_RDONLY)
os.unlink("/root/bombs/two")
took += fill("/root/bombs/three")
tell(took=took)
""",
        prepare=_given,
        probe=_WRITE,
        harm=_within_disk,
        tidy=_empty,
        seconds=180,
    ),
    Attack(
        name="inode bomb",
        tried="empty files, directories and links made until there are no more",
        stopped_by=_STOPPED_BY,
        code="""
os.mkdir("/root/bombs")
took = 0
try:
    while took < given["inodes"] * 4:
        for make in (lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)), os.mkdir,
                     lambda path: os.symlink("x" * 200, path)):
            make(f"/root/bombs/{took}")
            took += 1
except OSError as error:
    assert error.errno in (errno.ENOSPC, errno.EDQUOT), error
tell(took=took)
""",
        prepare=_given,
        probe=_WRITE,
        harm=_within_inodes,
        tidy=_empty,
        seconds=180,
    ),
    Attack(
        name="out of its quota",
        tried="a file, and a directory for more, taken out of the project; quota switched off and lifted",
        stopped_by="user namespace (projects and limits are the node's)",
        refusals=("EPERM", "EACCES", "EINVAL", "ENOTSUP", "ENOTTY", "ENOENT", "ENOTBLK", "ENOSYS", "ESRCH"),
        code="""
GET, SET, INHERIT = 0x801C581F, 0x401C5820, 0x200
os.makedirs("/root/bombs", exist_ok=True)
with open("/root/bomb", "wb") as file:
    file.write(b"x")
for path in ("/root/bomb", "/root/bombs"):
    found = os.open(path, os.O_RDONLY)
    facts = bytearray(28)
    try:
        fcntl.ioctl(found, GET, facts)
    except OSError:
        pass
    flags, *rest, project, more = struct.unpack_from("=5I", facts)
    for other in {0, project + 1} - {project}:
        changed = bytearray(facts)
        struct.pack_into("=I", changed, 12, other)
        attempt(f"project {other} for {path}", fcntl.ioctl, found, SET, changed)
    if flags & INHERIT:
        changed = bytearray(facts)
        struct.pack_into("=I", changed, 0, flags & ~INHERIT)
        attempt(f"no inheritance for {path}", fcntl.ioctl, found, SET, changed)
QUOTAOFF, SETQUOTA, XQUOTAOFF, XSETQLIM, PROJECT = 0x800003, 0x800008, 0x5802, 0x5804, 2
device = f"/dev/block/{given['major']}:{given['minor']}".encode()
for command in (QUOTAOFF, SETQUOTA, XQUOTAOFF, XSETQLIM):
    attempt(f"quotactl {command:x}", call, "quotactl", command << 8 | PROJECT, device, 0, bytes(256))
    attempt(f"quotactl_fd {command:x}", call, 443, os.open("/", os.O_RDONLY), command << 8 | PROJECT, 0, bytes(256))
""",
        prepare=lambda scene: {**_given(scene), **nodes_disk(scene)},
        tidy=_empty,
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, stage: Scene) -> None:
    prove(stage, attack)
