# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What root inside a container cannot do to its neighbours and to the node, tried from inside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import slots
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import Fleet, box, host, inside, limits, pid

SECRET = "nobody else's business"


@pytest.fixture
def neighbours(fleet: Fleet) -> Fleet:
    """Two containers, the second of which has a file that the first is to try for."""
    for name in ("t-one", "t-two"):
        fleet.declare(name, ram="128M", processes=200)
    fleet.apply()
    inside("t-two", "sh", "-c", f'umask 077; echo "{SECRET}" >/root/secret')
    return fleet


def _fails(name: str, *command: str) -> str:
    """The output of a command that must not succeed."""
    output = inside(name, *command, check=False)
    assert not output.startswith("0 "), f"{command} succeeded: {output}"
    return output


def test_uid_ranges_are_disjoint_from_each_other_and_from_everybody_elses(neighbours: Fleet) -> None:
    used = sorted(box(name).record.slot for name in ("t-one", "t-two"))
    assert used[0] != used[1]
    others = []
    for path in ("/etc/subuid", "/etc/subgid"):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            owner, first, count = line.split(":")
            if owner != "root":
                others.append((int(first), int(count)))
    assert not any(slots.overlaps(slot, others) for slot in used)
    for name in ("t-one", "t-two"):
        base = box(name).record.base_id
        assert Path(f"/proc/{pid(name)}").stat().st_uid == base
        for kind in ("uid_map", "gid_map"):
            mapping = Path(f"/proc/{pid(name)}/{kind}").read_text(encoding="ascii").split()
            assert mapping == ["0", str(base), "65536"]


def test_no_way_to_a_neighbours_files(neighbours: Fleet) -> None:
    upper = f"{Paths().container('t-two')}/upper/root/secret"
    assert Path(upper).read_text(encoding="utf-8").strip() == SECRET
    # By its place on the node, by the neighbour's processes (which are not there), by what /proc leads to.
    _fails("t-one", "cat", upper)
    _fails("t-one", "cat", f"/proc/{pid('t-two')}/root/root/secret")
    _fails("t-one", "ls", "/var/lib/carve/containers")
    assert SECRET not in inside("t-one", "sh", "-c", "cat /proc/*/root/root/secret 2>/dev/null", check=False)
    # As the neighbour's root from outside: even with the path, the ids of one own nothing of the other.
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(box("t-one").record.base_id)
        os.setuid(box("t-one").record.base_id)
        os._exit(0 if os.access(upper, os.R_OK) else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_no_way_to_the_nodes_disk_and_processes(neighbours: Fleet) -> None:
    device = Path("/var/lib/carve").stat().st_dev
    _fails("t-one", "mknod", "/root/disk", "b", str(os.major(device)), str(os.minor(device)))
    _fails("t-one", "mount", "-t", "ext4", f"/dev/block/{os.major(device)}:{os.minor(device)}", "/mnt")
    _fails("t-one", "chroot", "/proc/1/root", "cat", str(Path(__file__)))
    _fails("t-one", "kill", "-0", str(os.getpid()))
    visible = {int(entry) for entry in inside("t-one", "ls", "/proc").split() if entry.isdigit()}
    assert max(visible) < 5000 and os.getpid() not in visible
    assert inside("t-one", "readlink", "/proc/self/ns/pid") != str(Path("/proc/self/ns/pid").readlink())


def test_no_way_to_the_nodes_settings(neighbours: Fleet) -> None:
    before = Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")
    for path in ("/proc/sys/kernel/pid_max", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                 "/sys/kernel/uevent_helper", "/proc/sys/vm/overcommit_memory"):  # fmt: skip
        _fails("t-one", "sh", "-c", f"echo 1 >{path}")
    assert Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii") == before
    _fails("t-one", "sh", "-c", "date -s 2001-01-01")


def test_its_own_limits_are_not_its_own_to_raise(neighbours: Fleet) -> None:
    before = limits("t-one")
    files = (
        ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max"]
        if host().cgroup.version == 2
        else ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max"]
    )
    for path in files:
        inside("t-one", "sh", "-c", f"echo 99999999999 >{path} || echo max >{path}", check=False)
    assert limits("t-one") == before
    _fails("t-one", "sh", "-c", "for i in $(seq 400); do sleep 20 & done; wait -n; exit 1")
    assert int((host().cgroup.read("t-one", "pids", "pids.current") or "0").split()[0]) <= 200


def test_what_one_writes_to_the_shared_template_stays_its_own(neighbours: Fleet) -> None:
    record = box("t-one").record
    template = Path(Paths().template(record.fields["template"], record.digest)) / "rootfs"
    before = (template / "usr/bin/env").stat()
    inside("t-one", "sh", "-c", "echo '#!/bin/sh' >/usr/bin/env; chmod 4755 /usr/bin/env")
    after = (template / "usr/bin/env").stat()
    assert (after.st_size, after.st_mtime_ns, after.st_mode) == (before.st_size, before.st_mtime_ns, before.st_mode)
    assert inside("t-two", "/usr/bin/env", "printf", "whole") == "whole"
    # On the node a set-user-id file of the container's is one of the container's ids, not of root's.
    found = Path(Paths().container("t-one"), "upper/usr/bin/env").stat()
    assert found.st_mode & stat.S_ISUID and found.st_uid == record.base_id
