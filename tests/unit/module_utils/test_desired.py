# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's options become flat canonical state: addresses with their prefix, gateways, MAC addresses, problems."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired, units
from hypothesis import given
from hypothesis import strategies as st

NETWORKS: dict[str, Any] = {
    "public": {"mode": "routed", "subnet": ["203.0.113.0/24", "2001:db8::/64"]},
    "lan": {
        "mode": "bridged", "bridge": "br-lan", "mtu": 1400,
        "subnet": ["10.20.0.0/24", "fd00:20::/64"], "gateway": ["10.20.0.1", "fd00:20::1"],
    },
    "back": {"mode": "bridged", "bridge": "br-back", "subnet": "10.30.0.0/24"},
}  # fmt: skip
TEMPLATES = {"debian": {"build": {"suite": "trixie"}}}


def build(container: Any, networks: Any = None, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """The flat options of one container, ``web``, and what is wrong, in words."""
    if isinstance(container, dict) and "template" not in container:
        container = {"template": "debian", **container}
    params = {
        "fleet": "acme",
        "containers": {"web": container},
        "templates": TEMPLATES,
        "networks": NETWORKS if networks is None else networks,
        **options,
    }
    made, problems = desired.build(params)
    return dict(made.containers.get("web", {})), [str(problem) for problem in problems]


def interface(**options: Any) -> tuple[dict[str, Any], list[str]]:
    """The flat options of the container's only interface, without their path, and what is wrong."""
    flat, problems = build({"network": {"eth0": options}})
    return {path.split(".")[2]: value for path, value in flat.items() if path.startswith("network.")}, problems


def test_a_container_of_defaults() -> None:
    flat, problems = build({})
    assert problems == []
    assert flat == {
        "state": "running", "template": "debian", "template_policy": "warn", "protect": False, "hostname": "web",
        "autostart": True, "start_order": 100, "start_delay": 0, "stop_timeout": 60,
    }  # fmt: skip


def test_a_routed_interface() -> None:
    flat, problems = interface(on="public", ip=["2001:db8::10", "203.0.113.10"], mac="02-00-00-AA-BB-CC")
    assert problems == []
    assert flat == {
        "mode": "routed", "mac": "02:00:00:aa:bb:cc",
        "ip": ["203.0.113.10/32", "2001:db8::10/128"], "gateway": ["169.254.1.1", "fe80::1"],
        "trusted": False, "firewall": {"between": "allow", "node": "deny"},
    }  # fmt: skip


def test_a_bridged_interface() -> None:
    flat, problems = interface(on="lan", ip=["fd00:20::5", "10.20.0.5"])
    assert problems == []
    assert flat == {
        "mode": "bridged", "mac": desired.mac("acme", "web", "eth0"), "bridge": "br-lan", "mtu": 1400,
        "ip": ["10.20.0.5/24", "fd00:20::5/64"], "gateway": ["10.20.0.1", "fd00:20::1"],
        "trusted": False, "firewall": {"between": "allow", "node": "deny"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "gateway"),
    [
        ({"on": "public", "ip": "203.0.113.10"}, ["169.254.1.1"]),
        ({"on": "public", "ip": "2001:db8::10"}, ["fe80::1"]),
        ({"on": "public"}, []),
        ({"on": "lan", "ip": "10.20.0.5"}, ["10.20.0.1"]),
        ({"on": "lan", "ip": "fd00:20::5"}, ["fd00:20::1"]),
        ({"on": "back", "ip": "10.30.0.5"}, []),
    ],
)
def test_a_gateway_for_each_family_that_has_an_address(options: dict[str, Any], gateway: list[str]) -> None:
    flat, problems = interface(**options)
    assert (flat["gateway"], problems) == (gateway, [])


def test_the_first_interface_that_can_gives_the_default_route() -> None:
    flat, problems = build(
        {
            "network": {
                "eth2": {"on": "public", "ip": ["203.0.113.10", "2001:db8::10"]},
                "eth1": {"on": "lan", "ip": "10.20.0.5"},
                "eth0": {"on": "back", "ip": "10.30.0.5"},
            }
        }
    )
    assert problems == []
    assert [flat[f"network.eth{i}.gateway"] for i in range(3)] == [[], ["10.20.0.1"], ["fe80::1"]]


def test_an_unquoted_on_is_understood() -> None:
    """YAML 1.1 reads it as true, and JSON makes the text "True" of that."""
    for key in (True, "True", "on"):
        flat, problems = build({"network": {"eth0": {key: "back"}}})
        assert (problems, flat["network.eth0.bridge"]) == ([], "br-back")


@given(st.text(max_size=8), st.text(max_size=8), st.sampled_from(["eth0", "eth1"]))
def test_mac_addresses_are_local_unicast_and_stay(fleet: str, name: str, card: str) -> None:
    mac = desired.mac(fleet, name, card)
    assert mac == desired.mac(fleet, name, card) == units.parse_mac(mac)
    assert int(mac[:2], 16) & 3 == 2


def test_mac_addresses_differ() -> None:
    assert len({desired.mac(f, n, i) for f in "ab" for n in "abc" for i in ("eth0", "eth1")}) == 12


@given(st.lists(st.ip_addresses().map(str), unique=True))
def test_addresses_sort_by_family_and_number(addresses: list[str]) -> None:
    ordered = sorted(addresses, key=desired.address_key)
    assert [units.family(a) for a in ordered] == sorted(units.family(a) for a in addresses)
    numbers = [(ipaddress.ip_address(a).version, int(ipaddress.ip_address(a))) for a in ordered]
    assert numbers == sorted(numbers)


IP, ON, TEMPLATE = "containers.web.network.eth0.ip", "containers.web.network.eth0.on", "containers.web.template"


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        (
            {"network": {"eth0": {"on": "lan", "ip": "10.21.0.5"}}},
            f"{IP}: 10.21.0.5 is outside 10.20.0.0/24, fd00:20::/64 of 'lan'; write one inside",
        ),
        (
            {"network": {"eth0": {"on": "lan", "ip": "10.20.0.1"}}},
            f"{IP}: 10.20.0.1 is the gateway of 'lan'; write another one",
        ),
        (
            {"network": {"eth0": {"on": "lan", "ip": "10.20.0.255"}}},
            f"{IP}: 10.20.0.255 is no host's address in its subnet; write another one",
        ),
        ({"network": {"eth0": {"on": "lab"}}}, f"{ON}: there is no network 'lab'; did you mean lan?"),
        ({"network": {"eth0": {}}}, f"{ON}: is missing; write on: public"),
        (
            {"network": {"eth0": "lan"}},
            "containers.web.network.eth0: is not a map; write {on: NETWORK, ip: ADDRESS}",
        ),
        (
            {"network": {"Eth0": {"on": "lan"}}},
            "containers.web.network.Eth0: 'Eth0' cannot be an interface's name; write one such as eth0",
        ),
        (
            {"network": {"lo": {"on": "lan"}}},
            "containers.web.network.lo: 'lo' cannot be an interface's name; write one such as eth0",
        ),
        (
            {"network": {3: {"on": "lan"}, "eth0": {"on": "lan"}}},
            "containers.web.network.3: '3' cannot be an interface's name; write one such as eth0",
        ),
        (
            {"network": "lan"},
            "containers.web.network: is not a map; write eth0: {on: NETWORK, ip: ADDRESS} below it",
        ),
        ({"template": "debain"}, f"{TEMPLATE}: there is no template 'debain'; did you mean debian?"),
        ({"template": None}, f"{TEMPLATE}: is missing; write one of templates:, or set it in defaults:"),
        (
            {"search_domains": "a.b"},
            "containers.web.search_domains: needs nameservers: beside it; write both or neither",
        ),
        ("debian", "containers.web: is not a map; write its options below it, or {} for the defaults"),
    ],
)
def test_what_is_wrong_with_a_container(container: Any, problem: str) -> None:
    assert build(container)[1] == [problem]


def test_a_container_that_is_to_go_needs_no_template() -> None:
    assert build({"state": "absent", "template": None})[1] == []


LAN = NETWORKS["lan"]
NO_CARD = "is no name for a network card; write at most 15 characters, such as br-lan"


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ({**LAN, "bridge": None}, "bridge: is missing; write the bridge's name, such as br-lan"),
        ({**LAN, "bridge": "br lan"}, f"bridge: 'br lan' {NO_CARD}"),
        ({**LAN, "bridge": "b" * 16}, f"bridge: '{'b' * 16}' {NO_CARD}"),
        ({**LAN, "bridge": "ü" * 8}, f"bridge: '{'ü' * 8}' {NO_CARD}"),
        ({**LAN, "uplink": "eth/0"}, f"uplink: 'eth/0' {NO_CARD}"),
        ({**LAN, "gateway": "10.21.0.1"}, "gateway: 10.21.0.1 is outside 10.20.0.0/24, fd00:20::/64; write one inside"),
        ({**LAN, "gateway": "10.20.0.0"}, "gateway: 10.20.0.0 is no host's address; write another one"),
        ({**LAN, "gateway": ["10.20.0.1", "10.20.0.2"]}, "gateway: has two for IPv4; write one of each family"),
        ({**LAN, "subnet": []}, "subnet: is empty; write one or more, such as 10.20.0.0/24"),
        ({**LAN, "mode": "routed", "gateway": None}, "bridge: a routed network has no bridge; delete it"),
        (
            {"mode": "routed", "subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
            "gateway: a routed network needs none, the node itself is the gateway; delete it",
        ),
        ({**LAN, "mtu": 100}, "mtu: 100 is out of range; write a whole number from 1280 to 65535"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_network(network: Any, problem: str) -> None:
    assert build({}, networks={"lan": network})[1] == [f"networks.lan.{problem}"]


def test_what_is_wrong_with_the_rest() -> None:
    assert build({}, fleet="Acme", allow=["restart", "reboot"], networks={"lan": []})[1] == [
        "fleet: 'Acme' is not a DNS label; write lower-case letters, digits and dashes, such as 'acme'",
        "networks.lan: is not a map; write mode: and subnet: below it",
        "allow: 'reboot' is unknown; write any of restart, rebuild, destroy",
    ]


def test_what_else_a_node_is_told() -> None:
    made, problems = desired.build({"fleet": "acme", "allow": ["restart"]})
    assert not problems
    assert (made.fleet, made.allow, made.prune, dict(made.containers)) == ("acme", {"restart"}, True, {})
    assert desired.build({"fleet": "acme", "prune": False})[0].prune is False


@pytest.mark.parametrize(
    ("address", "length"), [("10.0.0.9", 24), ("10.9.9.9", 8), ("fd00::1", 64), ("192.0.2.1", None), ("::a00:9", None)]
)
def test_prefix_of_the_first_subnet_that_holds_it(address: str, length: int | None) -> None:
    assert desired.prefix(address, ["10.0.0.0/24", "10.0.0.0/8", "fd00::/64"]) == length


words = st.sampled_from(
    ["lan", "public", "eth0", "10.20.0.5", "203.0.113.7", "fd00:20::5", "br-lan", "routed", "absent", "{{ x }}"]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | words | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=3,
)
keyed = st.dictionaries(
    st.sampled_from(["on", "ip", "mac", "mode", "subnet", "bridge", "gateway", "mtu", "uplink"]) | st.just(True),
    junk,
    max_size=5,
)
names = st.sampled_from(["web", "lan", "eth0", "eth1", "A"]) | st.integers(0, 2)
containers = st.dictionaries(
    names,
    junk
    | st.fixed_dictionaries(
        {}, optional={"network": junk | st.dictionaries(names, junk | keyed), "state": junk, "template": junk}
    ),
)


@given(containers, st.dictionaries(names, junk | keyed) | st.just(NETWORKS), st.lists(st.text(max_size=2)))
def test_whatever_is_written_is_read_or_refused(found: Any, networks: Any, allow: Any) -> None:
    made, problems = desired.build({"fleet": "acme", "containers": found, "networks": networks, "allow": allow})
    assert all(str(problem) for problem in problems)
    for flat in made.containers.values():
        for path, value in flat.items():
            if path.endswith(".ip"):
                assert value == sorted(map(str, map(ipaddress.ip_interface, value)), key=desired.address_key)
