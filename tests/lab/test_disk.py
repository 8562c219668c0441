# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both levels of disk limits, by quota on ext4 and on XFS: real blocks and inodes used up from inside."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.support import wait_for
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import LabFleet, Run, archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

MIB = 1 << 20
GROUP = 2000
ATTACH = "lxc-attach -P /var/lib/carve/containers --clear-env"
# The container's size and inodes as it sees them; and places to write for root and for a user.
LOOK = """
mkdir -p /root/r /mine && chown 1000:1000 /mine
df -k / | tail -n1 | awk '{print "space", $2 * 1024}'; df -i / | tail -n1 | awk '{print "inodes", $2}'
"""
# As much, and as many, as there is room for.
WRITE = "cd {place} && dd if=/dev/zero of=fill bs=65536 count=1000 2>/dev/null; wc -c <fill"
MAKE = "cd {place} && mkdir m && cd m && seq 1 3000 | xargs touch 2>/dev/null; ls | wc -l"


class Limited:
    """A fleet of one container on each node, and what they say of themselves."""

    def __init__(self, fleet: LabFleet, machines: tuple[Machine, ...]) -> None:
        self.fleet, self.machines = fleet, machines

    def declare(self, **options: Any) -> None:
        tiny = {"template": "tiny", "ram": "64M", "stop_timeout": 0, **options}
        self.fleet.manifest["containers"] = {
            self.name(machine): {**tiny, "node": machine.name} for machine in self.machines
        }

    @staticmethod
    def name(machine: Machine) -> str:
        return f"disk-{machine.index}"

    def apply(self, *arguments: str) -> Run:
        return self.fleet.carve("apply", "--yes", *arguments)

    def inside(self, machine: Machine, script: str, user: int = 0, group: int = 0) -> str:
        who = f"-u {user} -g {group or user}" if user else ""
        return machine.run(f"{ATTACH} -n {self.name(machine)} {who} -- sh -c {shlex.quote(script)}")

    def sizes(self, machine: Machine) -> dict[str, int]:
        lines = [line.split() for line in self.inside(machine, LOOK).splitlines()]
        return {name: int(value) for name, value in lines}

    def written(self, machine: Machine, user: int, group: int = 0) -> int:
        return self._use_up(machine, WRITE, user, group)

    def made(self, machine: Machine, user: int) -> int:
        return self._use_up(machine, MAKE, user)

    def _use_up(self, machine: Machine, script: str, user: int, group: int = 0) -> int:
        place = "/ours" if group else "/mine" if user else "/root/r"
        count = int(self.inside(machine, script.format(place=place), user, group))
        self.inside(machine, f"rm -rf {place}/* && sync")
        return count

    def born(self, machine: Machine) -> str:
        pid = f"$(lxc-info -P /var/lib/carve/containers -n {self.name(machine)} -pH)"
        return machine.run(f"sed 's/.*) //' /proc/{pid}/stat | cut -d' ' -f20")


@pytest.fixture(scope="module")
def limited(pair: Pair) -> Iterator[Limited]:
    made = Limited(pair.fleet, (pair.one, pair.two))
    with pair.fleet.borrowed(), archives_served(tiny=tiny_archive()) as templates:
        pair.fleet.manifest["templates"] = templates
        yield made
        pair.fleet.carve("destroy", "-e", "carve_destroy=lab").ok()


def test_two_levels_hold_with_real_blocks_and_inodes(limited: Limited) -> None:
    users = {1000: {"disk": "4M", "inodes": 100}}
    limited.declare(disk="16M", inodes="1k", disk_users=users)
    limited.apply().ok()
    assert "No changes" in limited.apply().ok().output
    for machine in limited.machines:
        assert limited.sizes(machine) == {"space": 16 * MIB, "inodes": 1000}
        assert 3 * MIB < limited.written(machine, 1000) <= 4 * MIB
        assert 90 <= limited.made(machine, 1000) < 100
        assert 15 * MIB < limited.written(machine, 0) <= 16 * MIB
        assert 900 < limited.made(machine, 0) < 1000

    born = [limited.born(machine) for machine in limited.machines]
    users = {1000: {"disk": "8M"}}
    limited.declare(disk="24M", inodes="2k", disk_users=users)
    changed = limited.apply().ok()
    assert "restart" not in changed.output, changed.output
    for machine in limited.machines:
        assert limited.sizes(machine) == {"space": 24 * MIB, "inodes": 2000}
        assert 7 * MIB < limited.written(machine, 1000) <= 8 * MIB
        assert 1000 < limited.made(machine, 1000) < 2000
    assert [limited.born(machine) for machine in limited.machines] == born

    # What a user has is told beside what he may have.
    for machine in limited.machines:
        limited.inside(machine, "dd if=/dev/zero of=/mine/kept bs=65536 count=32 2>/dev/null; sync", user=1000)
        told = limited.fleet.carve("usage", "--container", limited.name(machine)).ok().output
        assert re.search(r"user 1000: 2(\.\d+)?M of 8M, inodes \d$", told, re.MULTILINE), told
        limited.inside(machine, "rm /mine/kept; sync")


def test_less_than_is_in_use_is_refused_and_drift_is_mended(limited: Limited) -> None:
    users = {1000: {"disk": "8M"}}
    for machine in limited.machines:
        limited.inside(machine, "dd if=/dev/zero of=/root/r/kept bs=65536 count=320 2>/dev/null; sync")
        # What it alone costs: its template, which is several times as many files, is not among it.
        seen = limited.fleet.info(machine)["containers"][limited.name(machine)]
        assert 20 * MIB <= seen["disk_in_use"] < 21 * MIB and seen["inodes_in_use"] < 60, seen
    limited.declare(disk="16M", inodes="2k", disk_users=users)
    refused = limited.apply()
    assert refused.status != 0 and "disk 16M is less than the 20." in refused.words(), refused.output
    limited.declare(disk="24M", inodes="2k", disk_users=users)
    assert "No changes" in limited.apply().ok().output
    # By the hand of whoever is root on the node.
    for machine in limited.machines:
        machine.run(BY_HAND.format(name=limited.name(machine)))
        assert limited.sizes(machine)["space"] > 24 * MIB
    drift = limited.fleet.carve("drift")
    assert drift.status == 2 and drift.words().count("changed on the node") >= 2, drift.output
    limited.apply().ok()
    for machine in limited.machines:
        assert limited.sizes(machine) == {"space": 24 * MIB, "inodes": 2000}


# Q_SETQUOTA of the project that the container's upper layer has (quotactl(2)), as any root could.
BY_HAND = """python3 - <<'END'
import ctypes, fcntl, os, struct
place = "/var/lib/carve/containers/{name}/upper"
fd = os.open(place, os.O_RDONLY)
project = struct.unpack("=5I8x", fcntl.ioctl(fd, 0x801C581F, bytes(28)))[3]
assert project, "counted for no project"
limits = ctypes.create_string_buffer(struct.pack("=8QI", 0, 0, 0, 0, 0, 0, 0, 0, 5), 72)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(443, fd, 0x800008 << 8 | 2, project, limits) == 0, os.strerror(ctypes.get_errno())
END"""


def _has_started(machine: Machine) -> bool:
    return machine.run("systemctl show --property ActiveState --value carve.service") in ("active", "failed")


def test_all_is_kept_over_a_power_cut(limited: Limited) -> None:
    for machine in limited.machines:
        machine.run("sync")
        machine.power_cut()
        machine.boot()
        wait_for("carve.service", functools.partial(_has_started, machine), 300)
        assert limited.sizes(machine) == {"space": 24 * MIB, "inodes": 2000}
        assert limited.inside(machine, "stat -c %s /root/r/kept") == str(20 * MIB)
    assert "No changes" in limited.apply().ok().output
    # Both levels, with real blocks again: 20 of 24 are in use.
    for machine in limited.machines:
        assert 3 * MIB < limited.written(machine, 1000) <= 4 * MIB
        limited.inside(machine, "rm /root/r/kept; sync")
        assert 7 * MIB < limited.written(machine, 1000) <= 8 * MIB
        assert 20 * MIB < limited.written(machine, 0) <= 24 * MIB


def test_what_is_not_declared_any_more_is_lifted(limited: Limited) -> None:
    limited.declare()
    limited.apply().ok()
    for machine in limited.machines:
        assert limited.sizes(machine)["space"] > 1 << 30
        assert limited.written(machine, 1000) == 1000 * 65536


# The same of an id inside: its kind is the kernel's number, 0 for users and 1 for groups.
LIFT = """python3 - <<'END'
import ctypes, os, struct
place = "/var/lib/carve/containers/{name}/upper"
limits = ctypes.create_string_buffer(struct.pack("=8QI", 0, 0, 0, 0, 0, 0, 0, 0, 5), 72)
libc = ctypes.CDLL(None, use_errno=True)
fd, ident = os.open(place, os.O_RDONLY), os.stat(place).st_uid + {ident}
assert libc.syscall(443, fd, 0x800008 << 8 | {kind}, ident, limits) == 0, os.strerror(ctypes.get_errno())
END"""
OURS = "mkdir -p /mine /ours && chown 1000:1000 /mine && chown 1001:2000 /ours"


def test_users_and_groups_through_all_that_can_happen(limited: Limited) -> None:
    """The shape of every option: again, live, by hand, stop and start, a reboot from inside, and undone."""

    def used_up() -> list[list[int]]:
        """What the user and the group have room for, in MiB, on each node."""
        found = []
        for machine in limited.machines:
            limited.inside(machine, OURS)
            found.append([-(-limited.written(machine, *who) // MIB) for who in ((1000,), (1001, GROUP))])
        return found

    def declare(user: str, group: str, **more: Any) -> None:
        limited.declare(disk="96M", disk_users={1000: {"disk": user}}, disk_groups={GROUP: {"disk": group}}, **more)

    declare("2M", "1M")
    limited.apply().ok()
    assert "No changes" in limited.apply().ok().output
    assert used_up() == [[2, 1]] * 2

    born = [limited.born(machine) for machine in limited.machines]
    declare("3M", "2M")
    limited.apply().ok()
    assert used_up() == [[3, 2]] * 2

    for machine in limited.machines:
        for ident, kind in ((1000, 0), (GROUP, 1)):
            machine.run(LIFT.format(name=limited.name(machine), ident=ident, kind=kind))
    assert all(user > 3 and group > 2 for user, group in used_up())
    drift = limited.fleet.carve("drift")
    assert drift.status == 2 and drift.words().count("changed on the node") >= 4, drift.output
    limited.apply().ok()
    assert used_up() == [[3, 2]] * 2
    assert [limited.born(machine) for machine in limited.machines] == born

    declare("3M", "2M", state="stopped")
    limited.apply().ok()
    declare("3M", "2M")
    limited.apply().ok()
    assert used_up() == [[3, 2]] * 2
    # What is in /dev is gone with the container that it was made for.
    for machine in limited.machines:
        limited.inside(machine, "touch /dev/before; (sleep 1; reboot -f) >/dev/null 2>&1 &")
    anew = "-- sh -c 'test -e /dev/before || echo anew'"
    for machine in limited.machines:
        again = f"{ATTACH} -n {limited.name(machine)} {anew}"
        wait_for(
            "the container to reboot",
            lambda machine=machine, again=again: machine.run(again, check=False).split() == ["0", "anew"],
            120,
        )
    assert "No changes" in limited.apply().ok().output
    assert used_up() == [[3, 2]] * 2

    limited.declare(disk="96M")
    limited.apply().ok()
    assert all(user > 3 and group > 2 for user, group in used_up())
