# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers reach each other, whatever network they are on, and what is changed of a network by hand is put back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets.network import host_end
from ansible_collections.carve.vps.tests.integration.own_node import BRIDGE, run
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    Result,
    addresses,
    box,
    brief,
    inside,
    pings,
    start_time,
)

FOREIGN = "br-carvex2"


def changes(result: Result) -> list[tuple[str, str | None, str | None]]:
    return [(c["field"], c["before"], c["after"]) for step in result["steps"] for c in step["changes"]]


def bridge(name: str = BRIDGE) -> dict[str, Any]:
    """A bridge as ``ip`` shows it."""
    (found,) = json.loads(run("ip", "-j", "-d", "addr", "show", name))
    return {
        "alias": found.get("ifalias"),
        "addresses": {f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"] if a["scope"] == "global"},
        "mtu": found["mtu"],
    }


def ports() -> set[str]:
    return {link["ifname"] for link in json.loads(run("ip", "-j", "link", "show", "master", BRIDGE))}


def defaults(name: str) -> set[str]:
    """A container's default gateways."""
    routes = [inside(name, "ip", f"-{version}", "route", "show", "default") for version in "46"]
    return {line.split()[2] for text in routes for line in text.splitlines()}


def test_everybody_reaches_everybody(fleet: Fleet) -> None:
    where = {
        "x-r1": {"eth0": {"on": "public", "ip": ["198.51.100.11", "fd00:114::11"]}},
        "x-r2": {"eth0": {"on": "public", "ip": ["198.51.100.12", "fd00:114::12"]}},
        "x-b1": {"eth0": {"on": "lan", "ip": ["10.214.0.11", "fd00:214::11"]}},
        "x-b2": {"lan": {"on": "lan", "ip": ["10.214.0.12", "fd00:214::12"]},
                 "wan": {"on": "public", "ip": ["198.51.100.13", "198.51.100.14", "fd00:114::13"]}},
    }  # fmt: skip
    for name, network in where.items():
        fleet.declare(name, network=network)
    fleet.apply()
    assert bridge() == {"alias": f"carve:{fleet.name}", "addresses": {"10.214.0.1/24", "fd00:214::1/64"}, "mtu": 1500}
    assert addresses("x-b2", "wan") == {"198.51.100.13/32", "198.51.100.14/32", "fd00:114::13/128"}
    assert defaults("x-r1") == {"169.254.1.1", "fe80::1"}
    # Of two interfaces with a gateway, the first by name gives the default route.
    assert defaults("x-b2") == {"10.214.0.1", "fd00:214::1"}
    for source in where:
        for target, network in where.items():
            for interface in network.values() if source != target else ():
                for address in interface["ip"]:
                    pings(source, address)
        pings(source, "10.214.0.1")
        pings(source, "fd00:214::1")


def test_macs_and_names_follow_from_the_manifest(fleet: Fleet) -> None:
    def look() -> list[str]:
        fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": "10.214.0.5"}, "longname": {"on": "public"}})
        fleet.apply()
        found = [inside("x-one", "cat", f"/sys/class/net/{card}/address") for card in ("eth0", "longname")]
        for card in ("eth0", "longname"):
            assert Path(f"/sys/class/net/{host_end(box('x-one'), card)}").exists()
        return found

    first = look()
    assert len(set(first)) == 2
    fleet.containers.clear()
    fleet.apply(["destroy"])
    assert look() == first


def test_what_needs_a_restart_waits_for_leave_and_then_is_one(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": "10.214.0.5"}})
    fleet.apply()
    born = start_time("x-one")
    fleet.networks["lan"]["mtu"] = 1400
    fleet.declare("x-one", ram="128M", network={
        "eth0": {"on": "lan", "ip": ["10.214.0.5", "10.214.0.6"], "mac": "02:00:00:00:00:05"},
        "eth1": {"on": "public", "ip": ["198.51.100.5", "fd00:114::5"]},
        "eth2": {"on": "public", "ip": "198.51.100.6"},
    })  # fmt: skip
    held = fleet.apply()
    # The bridge and the memory change now; the cards, whole, wait.
    assert [(step["action"], step["held"]) for step in held["steps"]] == [
        ("change", None), ("change", None), ("restart", "needs allow: restart")
    ]  # fmt: skip
    assert start_time("x-one") == born
    assert addresses("x-one") == {"10.214.0.5/24"}
    assert brief(fleet.apply(["restart"])) == ["restart x-one"]
    assert start_time("x-one") != born
    assert addresses("x-one") == {"10.214.0.5/24", "10.214.0.6/24"}
    assert addresses("x-one", "eth1") == {"198.51.100.5/32", "fd00:114::5/128"}
    assert addresses("x-one", "eth2") == {"198.51.100.6/32"}
    assert "mtu 1400" in inside("x-one", "ip", "link", "show", "eth0")
    assert "02:00:00:00:00:05" in inside("x-one", "ip", "link", "show", "eth0")
    assert bridge()["mtu"] == 1400
    # And away again.
    born = start_time("x-one")
    fleet.declare("x-one", ram="128M", network={"eth1": {"on": "public", "ip": "198.51.100.5"}})
    del fleet.networks["lan"]
    assert "restart x-one" in brief(fleet.apply(["restart", "destroy"]))
    assert start_time("x-one") != born
    assert inside("x-one", "ls", "/sys/class/net").split() == ["eth1", "lo"]
    assert not Path(f"/sys/class/net/{BRIDGE}").exists()


def test_a_bridge_deleted_by_hand_comes_back_with_its_ports(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": ["10.214.0.5", "fd00:214::5"]}})
    fleet.declare("x-two", network={"eth0": {"on": "lan", "ip": "10.214.0.6"}})
    fleet.apply()
    born = {name: start_time(name) for name in fleet.containers}
    ends = {host_end(box(name), "eth0") for name in fleet.containers}
    assert ports() == ends
    run("ip", "link", "del", BRIDGE)
    planned = fleet.check()["steps"]
    assert (planned[0]["kind"], planned[0]["name"], planned[0]["reason"]) == ("network", BRIDGE, "gone from the node")
    fleet.apply()
    assert ports() == ends
    assert {name: start_time(name) for name in fleet.containers} == born
    pings("x-one", "10.214.0.6")
    pings("x-two", "10.214.0.1")
    pings("x-one", "fd00:214::1")


def test_a_bridge_changed_by_hand_is_named_and_mended(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": "10.214.0.5"}})
    fleet.apply()
    before = bridge()
    end = host_end(box("x-one"), "eth0")
    for command, field in (
        (["ip", "addr", "del", "10.214.0.1/24", "dev", BRIDGE], "addresses"),
        (["ip", "addr", "add", "10.214.0.77/24", "dev", BRIDGE], "addresses"),
        (["ip", "link", "set", BRIDGE, "mtu", "1300"], "mtu"),
        (["ip", "link", "set", end, "nomaster"], "network.eth0.bridge"),
    ):
        run(*command)
        found = fleet.check()
        assert field in [name for name, _before, _after in changes(found)], command
        assert {step["reason"] for step in found["steps"]} == {"changed on the node"}, command
        fleet.apply()
        assert bridge() == before, command
    assert ports() == {end}
    pings("x-one", "10.214.0.1")


def test_what_a_routed_container_loses_by_hand_is_named_and_mended(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "public", "ip": ["198.51.100.5", "fd00:114::5"]}})
    fleet.declare("x-two", network={"eth0": {"on": "public", "ip": ["198.51.100.6", "fd00:114::6"]}})
    fleet.apply()
    end, born = host_end(box("x-one"), "eth0"), start_time("x-one")
    whole = ("198.51.100.5/32, fd00:114::5/128", "169.254.1.1, fe80::1")
    for command, field, before, after in (
        (["ip", "route", "del", "198.51.100.5/32", "dev", end], "ip", "fd00:114::5/128", whole[0]),
        (["ip", "-6", "route", "del", "fd00:114::5/128", "dev", end], "ip", "198.51.100.5/32", whole[0]),
        (["ip", "neigh", "del", "proxy", "169.254.1.1", "dev", end], "gateway", "fe80::1", whole[1]),
        (["ip", "neigh", "del", "proxy", "fe80::1", "dev", end], "gateway", "169.254.1.1", whole[1]),
    ):
        run(*command)
        assert changes(fleet.check()) == [(f"network.eth0.{field}", before, after)], command
        fleet.apply()
        pings("x-one", "198.51.100.6")
        pings("x-one", "fd00:114::6")
    for command, field, before, after in (
        (["ip", "addr", "del", "198.51.100.5/32", "dev", "eth0"], "ip", "fd00:114::5/128", whole[0]),
        (["ip", "-6", "addr", "del", "fd00:114::5/128", "dev", "eth0"], "ip", "198.51.100.5/32", whole[0]),
        (["ip", "route", "del", "default"], "gateway", "fe80::1", whole[1]),
        (["ip", "-6", "route", "del", "default"], "gateway", "169.254.1.1", whole[1]),
    ):
        inside("x-one", *command)
        # With its last IPv4 address the kernel takes the default route of that version, too.
        assert (f"network.eth0.{field}", before, after) in changes(fleet.check()), command
        fleet.apply()
    inside("x-one", "ip", "link", "set", "eth0", "down")
    assert [field for field, _before, _after in changes(fleet.check())] == ["network.eth0.ip", "network.eth0.gateway"]
    fleet.apply()
    assert start_time("x-one") == born
    pings("x-one", "198.51.100.6")


def test_what_the_container_adds_itself_is_its_own(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": ["10.214.0.5", "10.214.0.6"]}})
    fleet.apply()
    for command in (
        ["addr", "add", "10.214.0.99/24", "dev", "eth0"],
        ["addr", "add", "192.168.77.1/24", "dev", "eth0"],
        ["addr", "add", "192.168.78.1/24", "dev", "lo"],
        ["link", "add", "dummy7", "type", "bridge"],
        ["route", "add", "192.0.2.0/24", "via", "10.214.0.1"],
    ):
        inside("x-one", "ip", *command)
    assert fleet.check()["steps"] == []
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": ["10.214.0.6", "fd00:214::7"]}})
    fleet.apply()
    assert addresses("x-one") == {"10.214.0.6/24", "10.214.0.99/24", "192.168.77.1/24", "fd00:214::7/64"}
    assert "192.168.78.1/24" in addresses("x-one", "lo")
    assert "192.0.2.0/24" in inside("x-one", "ip", "route")
    # Declared, it is Carve's; declared no longer, it goes.
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": ["10.214.0.6", "10.214.0.99"]}})
    fleet.apply()
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": "10.214.0.6"}})
    fleet.apply()
    assert addresses("x-one") == {"10.214.0.6/24", "192.168.77.1/24"}


def test_a_gateway_that_moves_does_so_live(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": ["10.214.0.5", "fd00:214::5"]}})
    fleet.apply()
    born = start_time("x-one")
    fleet.networks["lan"]["gateway"] = ["10.214.0.254", "fd00:214::fe"]
    fleet.apply()
    assert bridge()["addresses"] == {"10.214.0.254/24", "fd00:214::fe/64"}
    assert defaults("x-one") == {"10.214.0.254", "fd00:214::fe"}
    pings("x-one", "fd00:214::fe")
    del fleet.networks["lan"]["gateway"]
    fleet.apply()
    assert bridge()["addresses"] == set()
    assert defaults("x-one") == set()
    assert start_time("x-one") == born


@pytest.fixture
def foreign_bridge() -> Iterator[str]:
    run("ip", "link", "add", FOREIGN, "type", "bridge")
    run("ip", "addr", "add", "10.215.0.1/24", "dev", FOREIGN)
    run("ip", "link", "set", FOREIGN, "up")
    yield FOREIGN
    run("ip", "link", "del", FOREIGN)


def test_a_bridge_of_somebody_elses_is_used_as_it_is(fleet: Fleet, foreign_bridge: str) -> None:
    before = bridge(foreign_bridge)
    fleet.networks["theirs"] = {"mode": "bridged", "bridge": foreign_bridge, "subnet": "10.215.0.0/24",
                                "gateway": "10.215.0.254"}  # fmt: skip
    fleet.declare("x-one", network={"eth0": {"on": "theirs", "ip": "10.215.0.5"}})
    result = fleet.apply()
    assert f"bridge {foreign_bridge} exists and is not of fleet '{fleet.name}'; it is used as it is" in result["notes"]
    pings("x-one", "10.215.0.1")
    assert bridge(foreign_bridge) == before
    fleet.containers.clear()
    assert [step["kind"] for step in fleet.apply(["destroy"])["steps"]] == ["container"]
    assert bridge(foreign_bridge) == before


def test_a_card_that_an_end_has_left_is_no_hindrance(fleet: Fleet) -> None:
    fleet.declare("x-one", state="stopped", network={"eth0": {"on": "lan", "ip": "10.214.0.5"}})
    fleet.apply()
    run("ip", "link", "add", host_end(box("x-one"), "eth0"), "type", "veth", "peer", "x-left")
    fleet.containers["x-one"]["state"] = "running"
    fleet.apply()
    pings("x-one", "10.214.0.1")


def test_a_bridge_goes_with_its_network_and_the_last_that_used_it(fleet: Fleet) -> None:
    fleet.declare("x-one", network={"eth0": {"on": "lan", "ip": "10.214.0.5"}})
    fleet.declare("x-two", state="stopped", network={"eth0": {"on": "lan", "ip": "10.214.0.6"}})
    fleet.apply()
    del fleet.containers["x-one"]
    assert brief(fleet.apply(["destroy"])) == ["destroy x-one"]
    del fleet.containers["x-two"], fleet.networks["lan"]
    held = fleet.apply()
    assert {step["name"]: step["held"] for step in held["steps"]} == {"x-two": "needs allow: destroy"}
    assert bridge()["alias"] == f"carve:{fleet.name}"
    assert brief(fleet.apply(["destroy"])) == ["destroy x-two", f"destroy {BRIDGE}"]
    assert not Path(f"/sys/class/net/{BRIDGE}").exists()
