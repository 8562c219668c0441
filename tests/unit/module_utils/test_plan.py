# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of step and reason of a container's, from what is declared, recorded and found."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.steps import NodeSeen

from unit.module_utils.worlds import EMPTY, drifted, fleet, lines, node, one, with_container

M = 1 << 20
LAN = {"eth0": {"on": "lan", "ip": "10.20.0.5"}}
BOTH = {"eth0": {"on": "lan", "ip": ["10.20.0.5", "10.20.0.6"]}}
OLD, NEW = "10.20.0.5/24", "10.20.0.6/24"


def planned(wanted: Desired, world: NodeSeen) -> list[str]:
    made = plan.make(wanted, world)
    assert not made.errors
    return lines(made)


def test_a_new_container_is_made_and_started() -> None:
    made = plan.make(one({"ram": "512M"}), EMPTY)
    assert [(s.kind, s.name, s.action, s.reach, s.phase) for s in made.steps] == [
        ("template", "debian", "build", "create", "template"),
        ("container", "web", "create", "create", "create"),
        ("container", "web", "start", "live", "start"),
    ]
    assert lines(made)[1] == (
        "web create: template - -> debian, template_policy - -> warn, protect - -> false, ram - -> 512M, "
        "hostname - -> web, autostart - -> true, start_order - -> 100, start_delay - -> 0, stop_timeout - -> 60 "
        "(declared)"
    )
    assert lines(made)[2] == "web start power: state - -> running (declared running)"
    assert made.steps[1].target["digest"] == one({}).templates["debian"].digest


@pytest.mark.parametrize("state", ["stopped", "keep"])
def test_a_new_container_need_not_run(state: str) -> None:
    assert [step.action for step in plan.make(one({"state": state}), EMPTY).steps] == ["build", "create"]


@pytest.mark.parametrize("state", ["running", "stopped", "keep"])
def test_nothing_to_do(state: str) -> None:
    wanted = one({"state": state, "ram": "512M", "network": LAN, "hosts": {"a": "::1"}, "nameservers": "::1"})
    assert planned(wanted, node(wanted)) == []


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ("running", "stopped", ["web stop power: state running -> stopped (declared stopped)"]),
        ("stopped", "running", ["web start power: state stopped -> running (declared running)"]),
        ("running", "keep", ["web change power: state running -> keep (declared)"]),
        ("stopped", "keep", ["web change power: state stopped -> keep (declared)"]),
        ("running", "absent", ["web destroy: state running -> - (declared absent)"]),
        ("stopped", "absent", ["web destroy: state stopped -> - (declared absent)"]),
    ],
)
def test_power(before: str, after: str, steps: list[str]) -> None:
    assert planned(one({"state": after}), node(one({"state": before}))) == steps


def test_power_that_was_changed_by_hand() -> None:
    world = node(one({}))
    assert planned(one({}), with_container(world, "web", running=False)) == [
        "web start power: state stopped -> running (stopped on the node)"
    ]
    world = node(one({"state": "stopped"}))
    assert planned(one({"state": "stopped"}), with_container(world, "web", running=True)) == [
        "web stop power: state running -> stopped (declared stopped)"
    ]
    # Where the same is declared as was recorded long ago, only the record is put right.
    assert planned(one({}), with_container(world, "web", running=True)) == [
        "web change power: state stopped -> running (declared)"
    ]


@pytest.mark.parametrize("running", [True, False])
def test_keep_leaves_power_as_it_is_found(running: bool) -> None:
    wanted = one({"state": "keep"})
    assert planned(wanted, with_container(node(wanted), "web", running=running)) == []


def test_absent_and_not_there() -> None:
    assert planned(one({"state": "absent"}), EMPTY) == []


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ({"ram": "512M"}, {"ram": "1G"}, "change memory: ram 512M -> 1G"),
        ({}, {"swap": 0}, "change memory: swap - -> 0"),
        ({"cpus": 2}, {"cpus": 1}, "change cpu: cpus 2 -> 1"),
        ({"cpu_set": "0-1"}, {"cpu_set": "1", "cpus": 1}, ["change cpu: cpus - -> 1", "change cpu: cpu_set 0-1 -> 1"]),
        ({"cpu_weight": 200}, {}, "change cpu: cpu_weight 200 -> -"),
        ({"processes": 400}, {"processes": 500}, "change processes: processes 400 -> 500"),
        ({}, {"hostname": "a.b"}, "change identity: hostname web -> a.b"),
        ({"nameservers": "::1"}, {}, "change identity: nameservers ::1 -> -"),
        ({"hosts": {"a": "::1"}}, {"hosts": {}}, "change identity: hosts a=::1 -> none"),
        ({}, {"ssh_keys": ["k1", "k2"]}, "change identity: ssh_keys - -> k1, k2"),
        ({}, {"autostart": False, "stop_timeout": 5}, "change boot: autostart true -> false, stop_timeout 60 -> 5"),
        ({"protect": True}, {}, "change policy: protect true -> false"),
        ({}, {"template_policy": "pin"}, "change policy: template_policy warn -> pin"),
        ({"network": LAN}, {"network": BOTH}, f"change network: network.eth0.ip {OLD} -> {OLD}, {NEW}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_live_changes(before: dict[str, Any], after: dict[str, Any], step: str | list[str], state: str) -> None:
    made = plan.make(one({**after, "state": state}, allow=()), node(one({**before, "state": state})))
    assert lines(made) == [f"web {text} (declared)" for text in ([step] if isinstance(step, str) else step)]
    assert {s.reach for s in made.steps} == {"live"}


MAC = "02:00:00:00:00:01"
MOVED = {
    "mac": {"eth0": {"on": "lan", "ip": "10.20.0.5", "mac": MAC}},
    "another network": {"eth0": {"on": "public", "ip": "203.0.113.5"}},
    "one more": {**LAN, "eth1": {"on": "public"}},
    "mtu": {"eth0": {"on": "back", "ip": "10.30.0.5"}},
    "none": {},
}


@pytest.mark.parametrize("network", MOVED.values(), ids=MOVED.keys())
def test_what_cannot_change_live_waits_for_one_restart(network: Any) -> None:
    world = node(one({"network": LAN}))
    made = plan.make(one({"network": network}), world)
    restarts = [step for step in made.steps if step.reach == "restart"]
    assert [(step.action, step.held) for step in restarts] == [("restart", None)]
    # All that goes before are addresses that leave.
    live = [step for step in made.steps if step.kind == "container" and step.reach == "live"]
    assert {(step.phase, change.field) for step in live for change in step.changes} <= {("shrink", "network.eth0.ip")}
    made = plan.make(one({"network": network}, allow=["destroy", "rebuild"]), world)
    container = [step for step in made.steps if step.kind == "container"]
    assert [(step.action, step.held) for step in container] == [("restart", "needs allow: restart")]


@pytest.mark.parametrize("network", MOVED.values(), ids=MOVED.keys())
def test_a_stopped_container_needs_no_restart(network: Any) -> None:
    world = node(one({"network": LAN, "state": "stopped"}))
    made = plan.make(one({"network": network, "state": "stopped"}, allow=()), world)
    assert {(step.reach, step.held) for step in made.steps if step.kind == "container"} == {("live", None)}


def test_a_container_that_starts_anyway_needs_no_restart() -> None:
    world = node(one({"network": LAN, "state": "stopped"}))
    made = plan.make(one({"network": MOVED["mac"]}, allow=()), world)
    assert [step.action for step in made.steps] == ["change", "start"]


def test_an_interfaces_live_changes_wait_for_its_restart_and_others_do_not() -> None:
    both = {"eth0": {"on": "lan", "ip": "10.20.0.5"}, "eth1": {"on": "back", "ip": "10.30.0.5"}}
    after = {"eth0": {"on": "lan", "ip": "10.20.0.6", "mac": MAC}, "eth1": {"on": "back", "ip": "10.30.0.6"}}
    made = plan.make(one({"network": after, "ram": "1G"}), node(one({"network": both})))
    where = [(step.action, change.field) for step in made.steps for change in step.changes]
    assert set(where) == {
        ("change", "ram"),
        ("change", "network.eth1.ip"),
        ("change", "network.eth0.ip"),
        ("restart", "network.eth0.mac"),
        ("restart", "network.eth0.ip"),
    }
    assert [step.action for step in made.steps][-1] == "restart"
    # What leaves does so before; what comes, with the restart.
    moves = [
        (step.phase, c.before, c.after) for step in made.steps for c in step.changes if c.field == "network.eth0.ip"
    ]
    assert moves == [("shrink", ["10.20.0.5/24"], []), ("replace", [], ["10.20.0.6/24"])]


def test_drift_is_named() -> None:
    wanted = one({"ram": "512M", "hostname": "web", "network": LAN})
    world = node(wanted)
    assert planned(wanted, drifted(world, "web", ram=1024 * M)) == [
        "web change memory: ram 1G -> 512M (changed on the node)"
    ]
    assert planned(wanted, drifted(world, "web", ram=None)) == [
        "web change memory: ram - -> 512M (changed on the node)"
    ]
    assert planned(wanted, drifted(world, "web", hostname="evil")) == [
        "web change identity: hostname evil -> web (changed on the node)"
    ]
    assert planned(wanted, drifted(world, "web", network__eth0__ip=[])) == [
        "web change network: network.eth0.ip none -> 10.20.0.5/24 (changed on the node)"
    ]
    config = (("lxc.x = 1",), ("lxc.y = 2",))
    assert planned(wanted, with_container(world, "web", config=config)) == [
        "web change boot: config lxc.x = 1 -> lxc.y = 2 (changed on the node)"
    ]


def test_a_link_that_is_gone_comes_back_by_a_restart() -> None:
    wanted = one({"network": LAN})
    gone = {f"network__eth0__{option}": None for option in ("ip", "mac", "bridge", "gateway")}
    assert [step.action for step in plan.make(wanted, drifted(node(wanted), "web", **gone)).steps] == ["restart"]


def test_drift_and_a_declaration_together() -> None:
    world = drifted(node(one({"ram": "512M", "swap": "1G"})), "web", ram=256 * M, swap=2048 * M)
    assert planned(one({"ram": "1G", "swap": "1G"}), world) == [
        "web change memory: swap 2G -> 1G (changed on the node)",
        "web change memory: ram 256M -> 1G (declared)",
    ]
    # The kernel has it already, and only the record has not.
    world = drifted(node(one({"ram": "512M"})), "web", ram=1024 * M)
    assert planned(one({"ram": "1G"}), world) == ["web change memory: ram 512M -> 1G (declared)"]


@pytest.mark.parametrize(
    "option", ["ram", "swap", "cpus", "cpu_weight", "cpu_set", "processes", "nameservers", "hosts"]
)
def test_what_was_never_declared_is_not_looked_at(option: str) -> None:
    world = node(one({}))
    assert planned(one({}), drifted(world, "web", **{option: "whatever is found"})) == []


def test_an_option_that_is_no_longer_declared_is_removed() -> None:
    made = plan.make(one({}), node(one({"ram": "1G", "hosts": {"a": "::1"}})))
    removed = [change.public() for step in made.steps for change in step.changes]
    assert removed == [
        {"field": "ram", "before": "1G", "after": None},
        {"field": "hosts", "before": "a=::1", "after": None},
    ]


def test_addresses_that_are_not_ours_are_left_alone() -> None:
    world = node(one({"network": LAN}))
    extra = ["10.20.0.5/24", "10.20.0.99/24", "192.168.7.7/24"]
    world = drifted(world, "web", network__eth0__ip=extra, network__eth0__gateway=["10.20.0.1", "fd00::1"])
    assert planned(one({"network": LAN}), world) == []
    assert planned(one({"network": BOTH}), world) == [
        "web change network: network.eth0.ip 10.20.0.5/24 -> 10.20.0.5/24, 10.20.0.6/24 (declared)"
    ]
    assert node(one({"network": BOTH}), world).containers["web"].seen["network.eth0.ip"] == [
        "10.20.0.5/24", "10.20.0.6/24", "10.20.0.99/24", "192.168.7.7/24",
    ]  # fmt: skip


def test_one_step_for_each_facet_and_direction() -> None:
    before = {"ram": "1G", "swap": "1G", "cpus": 1, "processes": 400, "hostname": "web", "autostart": True}
    after = {"ram": "2G", "swap": "512M", "cpus": 2, "processes": 300, "hostname": "w", "autostart": False}
    assert planned(one(after), node(one(before))) == [
        "web change memory: swap 1G -> 512M (declared)",
        "web change processes: processes 400 -> 300 (declared)",
        "web change cpu: cpus 1 -> 2 (declared)",
        "web change memory: ram 1G -> 2G (declared)",
        "web change identity: hostname web -> w (declared)",
        "web change boot: autostart true -> false (declared)",
    ]


def test_what_shrinks_shrinks_before_what_grows_and_what_stops_comes_first() -> None:
    before = fleet({"a": {"ram": "1G"}, "b": {"ram": "2G"}, "c": {}, "d": {"cpus": 2}, "e": {"ram": "1G"}})
    after = {"a": {"ram": "2G"}, "b": {"ram": "1G"}, "c": {"state": "stopped"}, "d": {"ram": "1G"}, "f": {"ram": "1G"}}
    made = plan.make(fleet(after), node(before))
    assert [f"{step.name} {step.action}" for step in made.steps] == [
        "c stop", "e destroy", "b change", "d change", "a change", "d change", "f create", "f start",
    ]  # fmt: skip
    assert [step.phase for step in made.steps][2:6] == ["shrink", "shrink", "change", "change"]


def test_starts_and_stops_in_order() -> None:
    orders = {"a": 20, "b": 10, "c": 30, "d": 10}
    on = fleet({name: {"start_order": order} for name, order in orders.items()})
    off = fleet({name: {"start_order": order, "state": "stopped"} for name, order in orders.items()})
    starts = [(s.order, s.name) for s in plan.make(on, EMPTY).steps if s.action == "start"]
    assert starts == [(10, "b"), (10, "d"), (20, "a"), (30, "c")]
    stops = [(s.order, s.name) for s in plan.make(off, node(on)).steps]
    assert stops == [(-30, "c"), (-20, "a"), (-10, "b"), (-10, "d")]


def test_programs_of_another_version_are_replaced_first() -> None:
    made = plan.make(one({}), NodeSeen(**{**vars(EMPTY), "runtime": None}))
    assert lines(made)[0] == "runtime change: runtime - -> r1 (programs that start containers)"
    assert (made.steps[0].kind, made.steps[0].reach) == ("node", "live")
