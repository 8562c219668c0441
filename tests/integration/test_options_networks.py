# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an interface gets of its network, and which network that is, each option through the one shape."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired
from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.support import Fleet, addresses, box, inside, pings, wait_for
from ansible_collections.carve.vps.tests.integration.test_firewall import connects, greeter, listener, reaches, said

BRIDGE = "br-carvetest"
ADDRESSES = ["10.213.0.5", "fd00:213::5"]
LAN: dict[str, Any] = {"eth0": {"on": "lan", "ip": ADDRESSES}}


def lan(**options: Any) -> dict[str, Any]:
    return {"networks": {"lan": options}}


def eth0(**options: Any) -> dict[str, Any]:
    return {"network": {"eth0": options}}


def end(name: str) -> str:
    return network.host_end(box(name), "eth0")


def of_link(link: str, what: str) -> str:
    return Path("/sys/class/net", link, what).read_text(encoding="ascii").strip()


def master(name: str) -> str:
    """The bridge whose port a container's end is."""
    return Path("/sys/class/net", end(name), "master").readlink().name


def way_out(name: str) -> list[str]:
    """The gateways by which a container leaves, once they have answered it, and it has answered the node."""
    found = [inside(name, "ip", f"-{family}", "route", "show", "default").split()[2] for family in (4, 6)]
    for gateway in found:
        # Those of a routed network are nobody's addresses: the node answers for them, and only who they are.
        if gateway not in desired.ROUTED_GATEWAYS.values():
            pings(name, gateway)
    for address in sorted(addresses(name)):
        wait_for(f"{address} to answer", lambda address=address: refuses(address.partition("/")[0]))
    return found


def refuses(address: str) -> bool:
    """Whether somebody is there: who is refuses a port that nobody has."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as knocking:
        knocking.settimeout(2)
        return knocking.connect_ex((address, 9)) == errno.ECONNREFUSED


def card(name: str) -> str:
    return inside(name, "cat", "/sys/class/net/eth0/address")


def mtus(name: str) -> list[str]:
    """Of the container's card, and of what is behind it on the node."""
    return [inside(name, "cat", "/sys/class/net/eth0/mtu"), of_link(end(name), "mtu"), of_link(BRIDGE, "mtu")]


def test_the_card_and_its_largest_packet(fleet: Fleet) -> None:
    one, two = "02:00:00:aa:00:01", "02:00:00:aa:00:02"
    cases = [
        Case(
            "network.eth0.mac", eth0(mac=one), eth0(mac=two), card, one, two,
            lambda name: inside(name, "ip", "link", "set", "eth0", "address", "02:00:00:aa:00:99") and None,
            desired.mac("carve-test", "t-card", "eth0"), "restart",
        ),
        Case(
            "networks.lan.mtu", lan(mtu=1400), lan(mtu=1300), mtus, ["1400"] * 3, ["1300"] * 3,
            lambda name: inside(name, "ip", "link", "set", "eth0", "mtu", "1290") and None,
            ["1500"] * 3, "restart", shown="network.eth0.mtu",
        ),
    ]  # fmt: skip
    prove(fleet, "t-card", cases, network=LAN)


def prefixes(name: str) -> list[str]:
    """How large the subnet is in which a container and its bridge believe to be."""
    found = [json.loads(inside(name, "ip", "-j", "-4", "addr", "show", "dev", "eth0"))]
    shown = subprocess.run(["ip", "-j", "-4", "addr", "show", "dev", BRIDGE], check=True, capture_output=True)
    found.append(json.loads(shown.stdout))
    pings(name, "10.213.0.1")
    return [f"{entry['local']}/{entry['prefixlen']}" for (link,) in found for entry in link["addr_info"]]


def test_the_subnet_grows_under_a_container_that_runs(fleet: Fleet) -> None:
    subnet = Case(
        "networks.lan.subnet",
        lan(subnet=["10.213.0.0/24", "fd00:213::/64"]),
        lan(subnet=["10.213.0.0/23", "fd00:213::/64"]),
        prefixes,
        ["10.213.0.5/24", "10.213.0.1/24"],
        ["10.213.0.5/23", "10.213.0.1/23"],
        lambda name: inside(name, "ip", "addr", "del", "fd00:213::5/64", "dev", "eth0") and None,
        ["10.213.0.5/24", "10.213.0.1/24"],
        shown="network.eth0.ip",
    )
    prove(fleet, "t-subnet", [subnet], network=LAN)


def test_another_gateway(fleet: Fleet) -> None:
    gateway = Case(
        "networks.lan.gateway",
        lan(gateway=["10.213.0.2", "fd00:213::2"]),
        lan(gateway=["10.213.0.3", "fd00:213::3"]),
        way_out,
        ["10.213.0.2", "fd00:213::2"],
        ["10.213.0.3", "fd00:213::3"],
        lambda name: inside(name, "ip", "route", "replace", "default", "via", "10.213.0.2", "dev", "eth0") and None,
        ["10.213.0.1", "fd00:213::1"],
        shown="network.eth0.gateway",
    )
    prove(fleet, "t-way", [gateway], network=LAN)


def test_another_bridge(fleet: Fleet) -> None:
    """The old one goes by leave: it holds the same gateway."""
    bridge = Case(
        "networks.lan.bridge",
        lan(bridge="br-carvetest1"),
        lan(bridge="br-carvetest2"),
        lambda name: [master(name), *way_out(name)],
        ["br-carvetest1", "10.213.0.1", "fd00:213::1"],
        ["br-carvetest2", "10.213.0.1", "fd00:213::1"],
        lambda name: subprocess.run(["ip", "link", "set", end(name), "nomaster"], check=True) and None,
        [BRIDGE, "10.213.0.1", "fd00:213::1"],
        shown="network.eth0.bridge",
    )
    prove(fleet, "t-bridge", [bridge], leave=["destroy"], network=LAN)


def test_from_one_bridged_network_to_another(fleet: Fleet) -> None:
    """That is no more than another port and other addresses."""
    fleet.networks["other"] = {
        "mode": "bridged", "bridge": "br-carvetest3", "subnet": ["10.217.0.0/24", "fd00:217::/64"],
        "gateway": ["10.217.0.1", "fd00:217::1"],
    }  # fmt: skip
    on = Case(
        "network.eth0.on",
        eth0(on="lan", ip=ADDRESSES),
        eth0(on="other", ip=["10.217.0.5", "fd00:217::5"]),
        lambda name: [master(name), *way_out(name)],
        [BRIDGE, "10.213.0.1", "fd00:213::1"],
        ["br-carvetest3", "10.217.0.1", "fd00:217::1"],
        lambda name: subprocess.run(["ip", "link", "set", end(name), "master", BRIDGE], check=True) and None,
        [BRIDGE, "10.213.0.1", "fd00:213::1"],
        shown="network.eth0.bridge",
    )
    prove(fleet, "t-on", [on], network=LAN)


def test_from_a_bridged_network_to_a_routed_one(fleet: Fleet) -> None:
    on = Case(
        "network.eth0.on",
        eth0(on="lan", ip=ADDRESSES),
        eth0(on="public", ip=["198.18.113.5", "fd00:113::5"]),
        way_out,
        ["10.213.0.1", "fd00:213::1"],
        ["169.254.1.1", "fe80::1"],
        lambda name: subprocess.run(["ip", "route", "del", "198.18.113.5/32", "dev", end(name)], check=True) and None,
        ["10.213.0.1", "fd00:213::1"],
        "restart",
        shown="network.eth0.mode",
        spoiled="network.eth0.ip",
    )
    prove(fleet, "t-on", [on], network=LAN)


def test_a_network_that_becomes_a_routed_one(fleet: Fleet) -> None:
    subnet = ["10.216.0.0/24", "fd00:216::/64"]
    bridged = {"mode": "bridged", "bridge": "br-carvetest4", "gateway": ["10.216.0.1", "fd00:216::1"]}
    mode = Case(
        "networks.own.mode",
        {"networks": {"own": bridged}},
        {"networks": {"own": {"mode": "routed"}}},
        way_out,
        ["10.216.0.1", "fd00:216::1"],
        ["169.254.1.1", "fe80::1"],
        lambda name: inside(name, "ip", "route", "del", "default") and None,
        None,
        "restart",
        shown="network.eth0.mode",
        spoiled="network.eth0.gateway",
    )
    fleet.networks["own"] = {"mode": "routed", "subnet": subnet}
    on_own = {"eth0": {"on": "own", "ip": ["10.216.0.5", "fd00:216::5"]}}
    prove(fleet, "t-mode", [mode], leave=["destroy"], network=on_own)
    assert not Path("/sys/class/net/br-carvetest4").exists()


@pytest.fixture
def uplinks() -> Iterator[tuple[str, str]]:
    """Two network cards of the node, each one end of a pair."""
    for number in (0, 1):
        subprocess.run(["ip", "link", "del", f"t-up{number}"], check=False, capture_output=True)
        pair = ["name", f"t-up{number}", "type", "veth", "peer", "name", f"t-far{number}"]
        subprocess.run(["ip", "link", "add", *pair], check=True)
        subprocess.run(["ip", "link", "set", f"t-far{number}", "up"], check=True)
    yield "t-up0", "t-up1"
    for number in (0, 1):
        subprocess.run(["ip", "link", "del", f"t-up{number}"], check=True)


def test_a_bridge_that_leads_beyond_the_node(fleet: Fleet, uplinks: tuple[str, str]) -> None:
    def ports(_name: str) -> list[str]:
        """Which of the cards are the bridge's; and the addresses that the node itself holds there."""
        shown = subprocess.run(["ip", "-j", "-4", "addr", "show", "dev", BRIDGE], check=True, capture_output=True)
        held = [entry["local"] for link in json.loads(shown.stdout) for entry in link["addr_info"]]
        return [card for card in uplinks if Path("/sys/class/net", BRIDGE, "brif", card).exists()] + held

    uplink = Case(
        "networks.lan.uplink",
        lan(uplink=uplinks[0]),
        lan(uplink=uplinks[1]),
        ports,
        [uplinks[0]],
        [uplinks[1]],
        lambda _name: subprocess.run(["ip", "link", "set", uplinks[1], "nomaster"], check=True) and None,
        ["10.213.0.1"],
        shown="uplink",
    )
    prove(fleet, "t-up", [uplink], network=LAN)


def test_who_may_speak_to_whom(fleet: Fleet) -> None:
    """A port of the node's for TCP, then one for UDP; and a neighbour, which is kept away then."""
    fleet.declare("t-beside", network={"eth0": {"on": "lan", "ip": "10.213.0.6"}})
    with greeter() as tcp, listener() as (udp, whom):

        def heard(name: str) -> dict[str, bool]:
            found = {"tcp": connects(name, "10.213.0.1", tcp, 1), "neighbour": reaches(name, "10.213.0.6")}
            whom(0.1)
            said(name, "10.213.0.5", "10.213.0.1", udp)
            return {**found, "udp": whom(1) == {"10.213.0.5"}}

        def close(name: str) -> None:
            element = f'{{ "{end(name)}" . udp . {udp} }}'
            subprocess.run(["nft", "delete", "element", "bridge", "carve", "open", element], check=True)

        firewall = Case(
            "networks.lan.firewall",
            lan(firewall={"node": [f"tcp/{tcp}"]}),
            lan(firewall={"node": [f"udp/{udp}"], "between": "deny"}),
            heard,
            {"tcp": True, "udp": False, "neighbour": True},
            {"tcp": False, "udp": True, "neighbour": False},
            close,
            {"tcp": False, "udp": False, "neighbour": True},
            shown="network.eth0.firewall",
        )
        prove(fleet, "t-wall", [firewall], network=LAN)
