# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare Debian machines become nodes over SSH, run a container, and become bare again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.tests.lab.conftest import MakeMachines
from ansible_collections.carve.vps.tests.lab.image import OPERATOR
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.support import LabFleet, archive_served

SYSCTLS = {
    "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, "fs.inotify.max_user_instances": 8192,
    "kernel.pid_max": 4194304,
}  # fmt: skip
# Q_GETINFO of project quota (quotactl(2)): succeeds only where it is accounted and enforced.
QUOTA = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
info = ctypes.create_string_buffer(64)
for kind in (0, 2):
    if libc.quotactl((0x800005 << 8) | kind, sys.argv[1].encode(), 0, info):
        sys.exit(f"quota of type {kind}: {os.strerror(ctypes.get_errno())}")
print("both")
"""


def holds_quota(machine: Machine, filesystem: str) -> None:
    """The container filesystem is the second disk, and has user and project quota in force."""
    mount = json.loads(machine.run("findmnt --json --output SOURCE,FSTYPE,OPTIONS --mountpoint /var/lib/carve"))
    found = mount["filesystems"][0]
    assert (found["source"], found["fstype"]) == ("/dev/vdb", filesystem)
    options = set(found["options"].split(","))
    assert {"ext4": {"prjquota", "usrquota"}, "xfs": {"prjquota", "usrquota"}}[filesystem] <= options, options
    program = shlex.quote(QUOTA)
    if filesystem == "ext4":
        assert machine.run(f"python3 -c {program} /dev/vdb") == "both"


def raised(machine: Machine) -> None:
    """The kernel's limits are what nodes need."""
    found = {name: int(machine.run(f"sysctl -n {name}")) for name in SYSCTLS}
    assert all(found[name] >= least for name, least in SYSCTLS.items()), found


@pytest.fixture(scope="module")
def pair(
    make_machines: MakeMachines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LabFleet, list[Machine]]]:
    """Two bare machines: one reached as root and with ext4, the other by a user with sudo and with XFS."""
    machines = make_machines(2)
    fleet = LabFleet(tmp_path_factory.mktemp("pair"))
    fleet.node(machines[0], carve_storage_device="/dev/vdb")
    fleet.node(machines[1], OPERATOR, carve_storage_device="/dev/vdb", carve_storage_filesystem="xfs")
    yield fleet, machines


def test_debian_13(pair: tuple[LabFleet, list[Machine]]) -> None:
    """The whole life of a node: looked at, bootstrapped, unchanged, with a container, rebooted, and undone."""
    fleet, machines = pair
    one, two = machines

    predicted = fleet.play("bootstrap", "--check", "--limit", one.name).ok()
    assert min(predicted.changed.values()) > 0
    assert one.run("which lxc-start", check=False).startswith("1")
    assert one.run("findmnt /dev/vdb", check=False).startswith("1")

    fleet.play("bootstrap").ok()
    for arguments in ((), ("--check", "--limit", two.name)):
        again = fleet.play("bootstrap", *arguments).ok()
        assert set(again.changed.values()) == {0}, again.output
    holds_quota(one, "ext4")
    holds_quota(two, "xfs")

    with archive_served() as template:
        fleet.manifest["templates"] = {"base": template}
        fleet.manifest["containers"] = {
            "web": {
                "template": "base", "node": one.name, "cpus": 0.5, "ram": "256M", "swap": "64M", "processes": 200,
                "network": {"eth0": {"on": "public", "ip": ["198.18.200.10", "fd00:200::10"]}},
            },
        }  # fmt: skip
        fleet.play("apply").ok()
        unchanged = fleet.play("apply").ok()
    assert set(unchanged.changed.values()) == {0}, unchanged.output
    serves(one)

    first = one.boot_id()
    one.reboot()
    assert one.boot_id() != first
    for machine in machines:
        raised(machine)
    holds_quota(one, "ext4")
    serves(one)

    refused = fleet.play("unbootstrap", "--limit", one.name)
    assert refused.status != 0
    assert "still has the containers web" in refused.words()
    fleet.play("destroy", "-e", "carve_destroy=lab").ok()
    fleet.play("unbootstrap").ok()
    undone = fleet.play("unbootstrap", "--limit", one.name).ok()
    assert set(undone.changed.values()) == {0}, undone.output
    for path in (
        "/var/lib/carve",
        "/usr/lib/carve",
        "/etc/systemd/system/carve.service",
        "/etc/sysctl.d/80-carve.conf",
    ):
        assert one.run(f"ls -d {path}", check=False).startswith("2"), path
    assert "/var/lib/carve" not in one.run("cat /etc/fstab /proc/mounts")

    # What is on the device now is not for bootstrap to overwrite.
    full = fleet.play("bootstrap", "--limit", one.name)
    assert full.status != 0
    assert "/dev/vdb: is not empty, but holds ext4 carve" in full.words()


def serves(machine: Machine) -> None:
    """The container runs as declared, by what the kernel shows."""
    attach = "lxc-attach -P /var/lib/carve/containers -n web --clear-env --"
    state = machine.run(f"{attach} systemctl is-system-running --wait", check=False)
    assert state.split()[1] == "running", state
    group = "/sys/fs/cgroup/carve/web"
    assert machine.run(f"cd {group} && cat memory.max memory.swap.max cpu.max pids.max").splitlines() == [
        str(256 << 20), str(64 << 20), "50000 100000", "200",
    ]  # fmt: skip
    machine.run("ping -c1 -W5 198.18.200.10 && ping -c1 -W5 fd00:200::10")
    # Asked from outside: inside, the container's own policy namespace shows, in which nothing is confined.
    profile = machine.run("cat /proc/$(lxc-info -P /var/lib/carve/containers -n web -pH)/attr/current")
    assert profile.startswith("lxc-web_") and profile.endswith("(enforce)"), profile
    assert machine.run("systemctl is-active carve.service") == "active"


def test_debian_12_gets_a_kernel_that_can(make_machines: MakeMachines, tmp_path: Path) -> None:
    """One that runs Debian 11's kernel is refused without leave; with it, it reboots once into its own."""
    (machine,) = make_machines(1, 12)
    boot_debian_11_kernel(machine)
    old = machine.kernel()
    fleet = LabFleet(tmp_path)
    fleet.node(machine)

    refused = fleet.play("bootstrap")
    assert refused.status != 0
    assert "no overlay can be mounted on one" in refused.words()
    assert "carve_node_allow_reboot: true" in refused.words()
    assert f"The running kernel is {old}" in refused.words()
    assert machine.kernel() == old

    fleet.node(machine, OPERATOR, carve_node_allow_reboot=True, carve_storage_device="/dev/vdb")
    before = machine.boots()
    fleet.play("bootstrap").ok()
    assert machine.kernel().startswith("6.1.")
    assert machine.boots() - before == 1

    boot = machine.boot_id()
    again = fleet.play("bootstrap").ok()
    assert set(again.changed.values()) == {0}, again.output
    assert machine.boot_id() == boot
    raised(machine)
    holds_quota(machine, "ext4")


def boot_debian_11_kernel(machine: Machine) -> None:
    """Have only the kernel of the release before, from the mirror that the machine has."""
    machine.run(
        """set -e
        export DEBIAN_FRONTEND=noninteractive
        own=$(dpkg-query --show --showformat '${Package} ' 'linux-image-*')
        mirror=$(awk '$1 == "deb" && $3 == "bookworm" { print $2 }' /etc/apt/sources.list)
        echo "deb $mirror bullseye main" >/etc/apt/sources.list.d/bullseye.list
        apt-get update -qq
        old=$(apt-cache pkgnames linux-image-5.10 | grep -E '[0-9]-cloud-amd64$' | sort -V | tail -n1)
        apt-get install -qq --no-install-recommends "$old"
        rm /etc/apt/sources.list.d/bullseye.list
        echo linux-base linux-base/removing-running-kernel boolean false | debconf-set-selections
        apt-get purge -qq $own
        """,
        timeout=1200,
    )
    machine.reboot()
    assert machine.kernel().startswith("5.10.")
