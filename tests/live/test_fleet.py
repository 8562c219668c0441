# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty containers on two nodes: placed, unchanged, drained and brought back, and put right after failures."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.integration.support import rootfs_archive, wait_for
from ansible_collections.carve.vps.tests.lab.checks import holds_quota, raised
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import CARVE, Run, archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

# All between two nodes in one group: each group costs a handful of tasks, which take some seconds each here.
AT_ONCE = ("-e", "carve_at_once=20")
CONTAINERS = "/var/lib/carve/containers"
# What each container's init is, when it was started (proc(5), field 22 of stat), and what it is held to.
LOOK = f"""
cd {CONTAINERS} && for name in *; do
    pid=$(lxc-info -P {CONTAINERS} -n "$name" -pH 2>/dev/null) && [ "$pid" -gt 0 ] || continue
    group=/sys/fs/cgroup/carve/$name
    echo "$name" $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20) $(cat $group/memory.max $group/pids.max)
done
"""

# What confines each container's init on the node: seccomp's mode (proc(5); 2 is a filter) and AppArmor's profile.
CONFINED = f"""
cd {CONTAINERS} && for name in *; do
    pid=$(lxc-info -P {CONTAINERS} -n "$name" -pH 2>/dev/null) && [ "$pid" -gt 0 ] || continue
    echo "$name" $(awk '/^Seccomp:/ {{ print $2 }}' /proc/$pid/status) $(cat /proc/$pid/attr/current)
done
"""

# At a stroke as far as that goes, and then block by block.
FILL = """
cd /var/lib/carve && fallocate -l $(($(df --output=avail -B1 . | tail -n1) - 4096)) fill; cat /dev/zero >fill2; true
"""


class Twenty:
    """The fleet, and what its nodes say of it."""

    def __init__(self, pair: Pair, templates: dict[str, dict[str, str]]) -> None:
        self.fleet, self.one, self.two = pair.fleet, pair.one, pair.two
        tiny = {"template": "tiny", "ram": "32M", "processes": 50, "stop_timeout": 0}
        address = {"network": {"eth0": {"on": "public", "ip": "auto"}}}
        self.fleet.manifest["templates"] = templates
        self.fleet.manifest["defaults"] = address
        self.containers = self.fleet.manifest["containers"] = {
            "sys": {"template": "base", "node": self.one.name, "cpus": 0.5, "ram": "256M", "swap": "64M",
                    "processes": 200, "start_order": 1,
                    "network": {"eth0": {"on": "public", "ip": ["198.18.200.10", "fd00:200::10"]}}},
            "pin": {**tiny, "count": 5, "node": self.one.name, "start_order": 2},
            "dns": {**tiny, "count": 2, "placement": {"apart": "dns"}, "start_order": 3},
            "web": {**tiny, "count": 12, "start_order": 4},
        }  # fmt: skip

    def at(self, machine: Machine) -> dict[str, tuple[int, str, str]]:
        """Of each container that runs on a node: when it was started, its memory limit and its process limit."""
        lines = [line.split() for line in machine.run(LOOK).splitlines()]
        return {name: (int(started), memory, pids) for name, started, memory, pids in lines}

    def where(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for machine in (self.one, self.two):
            for name in self.at(machine):
                assert name not in found, f"{name} runs on both nodes"
                found[name] = machine.name
        return found

    def as_declared(self) -> None:
        drift = self.fleet.carve("drift").ok()
        assert "No drift. The fleet is as declared." in drift.output, drift.output
        assert self.where().keys() == names(self.containers)

    def apply(self, *arguments: str) -> Run:
        return self.fleet.carve("apply", "--yes", *arguments)


def names(containers: dict[str, dict[str, object]]) -> set[str]:
    return {
        f"{name}-{number}" if "count" in one else name
        for name, one in containers.items()
        for number in range(1, int(str(one.get("count", 1))) + 1)
    }


@pytest.fixture(scope="module")
def twenty(pair: Pair) -> Iterator[Twenty]:
    with pair.fleet.borrowed(), archives_served(tiny=tiny_archive(), base=rootfs_archive()) as templates:
        made = Twenty(pair, templates)
        made.apply().ok()
        yield made
        made.fleet.carve("destroy", "-e", "carve_destroy=lab").ok()


def test_twenty_containers_are_placed_and_the_second_run_has_nothing_to_do(
    twenty: Twenty, capsys: pytest.CaptureFixture[str]
) -> None:
    at = twenty.where()
    assert at.keys() == names(twenty.containers) and len(at) == 20
    assert {at[name] for name in at if name.startswith(("pin", "sys"))} == {twenty.one.name}
    assert at["dns-1"] != at["dns-2"]
    assert list(at.values()).count(twenty.two.name) >= 6
    again = twenty.apply().ok()
    assert "No changes" in again.output, again.output
    # A connection is opened once, and one command runs on each node.
    calls = twenty.fleet.ssh_calls()
    with capsys.disabled():
        print(f"\nssh was called for an apply with nothing to do: {calls}")
    seen = [line.split() for machine in (twenty.one, twenty.two) for line in machine.run(CONFINED).splitlines()]
    assert {name for name, *_rest in seen} == at.keys()
    for name, seccomp, profile, *mode in seen:
        assert (seccomp, mode) == ("2", ["(enforce)"]) and profile.startswith(f"lxc-{name}_"), seen
    assert set(calls.values()) == {1}
    serves_as_on_any_debian(twenty.one)


def serves_as_on_any_debian(machine: Machine) -> None:
    """The systemd container runs as declared, by what the kernel shows."""
    attach = f"lxc-attach -P {CONTAINERS} -n sys --clear-env --"
    state = machine.run(f"{attach} systemctl is-system-running --wait", check=False)
    assert state.split()[1] == "running", state
    found = machine.run("cd /sys/fs/cgroup/carve/sys && cat memory.max memory.swap.max cpu.max pids.max")
    assert found.splitlines() == [str(256 << 20), str(64 << 20), "50000 100000", "200"]
    machine.run("ping -c1 -W5 198.18.200.10 && ping -c1 -W5 fd00:200::10")
    # Asked from outside: inside, the container's own policy namespace shows, in which nothing is confined.
    profile = machine.run(f"cat /proc/$(lxc-info -P {CONTAINERS} -n sys -pH)/attr/current")
    assert profile.startswith("lxc-sys_") and profile.endswith("(enforce)"), profile


def test_a_node_is_drained_and_its_containers_come_back(twenty: Twenty) -> None:
    before = twenty.where()
    stays = {name for name in ("dns-1", "dns-2") if before[name] == twenty.two.name}
    written = next(name for name in sorted(before) if name.startswith("web") and before[name] == twenty.two.name)
    twenty.two.run(f"lxc-attach -P {CONTAINERS} -n {written} -- sh -c 'echo mine >/root/data'")
    stood = twenty.at(twenty.one)

    drained = twenty.fleet.carve("drain", "--node", twenty.two.name, *AT_ONCE)
    # Of two that must be apart, one has nowhere to go: all the others went, and this is no success.
    assert (
        drained.status == 1
        and f"{twenty.two.name} is not empty: {next(iter(stays))} fits on no node" in drained.words()
    )
    after = twenty.where()
    assert after.keys() == before.keys() and {name for name in after if after[name] == twenty.two.name} == stays
    assert {name: one for name, one in twenty.at(twenty.one).items() if name in stood} == stood
    assert twenty.one.run(f"lxc-attach -P {CONTAINERS} -n {written} -- cat /root/data") == "mine"
    twenty.as_declared()

    twenty.fleet.carve("migrate", "--move", "all", *AT_ONCE).ok()
    assert twenty.where() == before
    assert twenty.two.run(f"lxc-attach -P {CONTAINERS} -n {written} -- cat /root/data") == "mine"
    twenty.as_declared()


def test_all_is_back_after_a_power_cut(twenty: Twenty) -> None:
    before = twenty.at(twenty.one)
    twenty.one.power_cut()
    # Its containers are not made anew on the other one, and that it does not answer is said by its name.
    lost = twenty.fleet.carve("plan")
    assert lost.status == 1 and twenty.one.name in lost.words() and "+ container" not in lost.output, lost.output

    twenty.one.boot()
    state = "systemctl show --property ActiveState --value carve.service"
    wait_for("carve.service", lambda: twenty.one.run(state) in ("active", "failed"), 900)
    assert twenty.one.run(state) == "active"
    raised(twenty.one)
    holds_quota(twenty.one, "ext4")
    after = twenty.at(twenty.one)
    assert {name: limits for name, (_start, *limits) in after.items()} == {
        name: limits for name, (_start, *limits) in before.items()
    }
    in_order = [
        sorted(after[name][0] for name in after if name.startswith(kind)) for kind in ("sys", "pin", "dns", "web")
    ]
    assert all(early[-1] <= late[0] for early, late in itertools.pairwise(in_order)), in_order
    serves_as_on_any_debian(twenty.one)
    twenty.as_declared()


def test_a_node_that_is_lost_in_the_middle_is_finished_by_the_next_run(twenty: Twenty) -> None:
    twenty.containers["late"] = {**twenty.containers["pin"], "count": 4, "node": twenty.two.name}
    process = twenty.fleet.begin(CARVE, "apply", str(twenty.fleet.path), "--yes")
    wait_for("the first of the new ones", lambda: begun(twenty.two), 600)
    twenty.two.power_cut()
    output, _nothing = process.communicate()
    assert process.returncode != 0 and "unreachable" in output.lower(), output
    twenty.two.boot()
    twenty.apply().ok()
    twenty.as_declared()


def begun(machine: Machine) -> bool:
    return machine.run(f"ls -d {CONTAINERS}/late-*", check=False).startswith("0")


def test_a_controller_that_is_killed_leaves_nothing_in_the_way(twenty: Twenty) -> None:
    twenty.containers.pop("late", None)
    twenty.apply("--allow", "destroy").ok()
    twenty.containers["late"] = {**twenty.containers["pin"], "count": 4, "node": twenty.two.name}
    process = twenty.fleet.begin(CARVE, "apply", str(twenty.fleet.path), "--yes")
    wait_for("the first of the new ones", lambda: begun(twenty.two), 600)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    twenty.apply().ok()
    twenty.as_declared()


def test_a_full_disk_is_named_and_the_next_run_needs_only_room(twenty: Twenty) -> None:
    twenty.two.run(FILL)
    try:
        twenty.containers["full"] = {**twenty.containers["pin"], "count": 2, "node": twenty.two.name}
        failed = twenty.apply()
        assert failed.status != 0 and "the disk of /var/lib/carve is full" in failed.words(), failed.output
    finally:
        twenty.two.run("rm -f /var/lib/carve/fill /var/lib/carve/fill2")
    twenty.apply().ok()
    twenty.as_declared()
