# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that keep containers to their addresses: what is said of each container, and that nft understands it all,
tried in network namespaces of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import guard
from ansible_collections.carve.vps.plugins.module_utils.kernel import namespaces, nft, syscalls
from hypothesis import given
from hypothesis import strategies as st

LAN: dict[str, Any] = {
    "mode": "bridged", "mac": "02:00:00:00:00:01", "ip": ["10.20.0.5/24", "fd00:20::5/64"], "trusted": False,
    "firewall": {"between": "allow", "node": "deny"},
}  # fmt: skip
PUBLIC: dict[str, Any] = {
    "mode": "routed", "mac": "02:00:00:00:00:02", "ip": ["203.0.113.5/32"], "trusted": False,
    "firewall": {"between": "allow", "node": "allow"},
}  # fmt: skip
APART = {
    "between": "deny", "node": ["tcp/53", "udp/53"], "subnet": ["10.20.0.0/24", "fd00:20::/64"],
    "gateway": ["10.20.0.1", "fd00:20::1"],
}  # fmt: skip
CARD, SLAAC = "fe80::ff:fe00:1", "fd00:20::ff:fe00:1"


def of(ends: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {" ".join(key): sorted(members) for key, members in guard.elements(ends).items()}


def test_a_bridged_interface_sends_from_its_own_addresses() -> None:
    own = {"10.20.0.5", "fd00:20::5", CARD, SLAAC}
    assert of({"v20-eth0": LAN}) == {
        "bridge guarded": ["v20-eth0"],
        "bridge mac": ["v20-eth0 . 02:00:00:00:00:01"],
        "bridge v4": ["v20-eth0 . 10.20.0.5"],
        "bridge v6": sorted(f"v20-eth0 . {address}" for address in own if ":" in address),
        "bridge nd": [
            "v20-eth0 . 0xfd000020000000000000000000000005",
            "v20-eth0 . 0xfd00002000000000000000fffe000001",
            "v20-eth0 . 0xfe8000000000000000000000fe000001".replace("0000fe000001", "00fffe000001"),
        ],
        "inet closed4": ["10.20.0.5"],
        "inet closed6": sorted(address for address in own if ":" in address),
    }


def test_a_routed_interface_is_held_in_the_nodes_own_stack() -> None:
    found = of({"v20-eth0": PUBLIC})
    assert set(found) == {"inet guarded", "inet v4", "inet v6", "inet nd", "arp guarded", "arp v4"}
    assert found["inet v6"] == ["v20-eth0 . fe80::ff:fe00:2"]
    assert found["arp v4"] == ["v20-eth0 . 203.0.113.5"]


def test_an_answer_may_leave_by_another_interface() -> None:
    found = of({"v20-eth0": LAN, "v20-eth1": PUBLIC})
    assert found["bridge v4"] == ["v20-eth0 . 10.20.0.5", "v20-eth0 . 203.0.113.5"]
    assert found["inet v4"] == ["v20-eth1 . 10.20.0.5", "v20-eth1 . 203.0.113.5"]


def test_a_trusted_interface_is_held_to_nothing_but_the_firewall() -> None:
    assert set(of({"v20-eth0": {**LAN, "trusted": True}})) == {"inet closed4", "inet closed6"}
    assert of({"v20-eth0": {**PUBLIC, "trusted": True}}) == {}


def test_a_record_from_before_there_were_rules_is_guarded() -> None:
    old = {option: value for option, value in PUBLIC.items() if option not in ("trusted", "firewall")}
    assert of({"v20-eth0": old}) == of({"v20-eth0": PUBLIC})


def test_a_network_whose_containers_are_apart() -> None:
    found = of({"v20-eth0": {**LAN, "firewall": APART}})
    assert found["bridge apart"] == ["v20-eth0"]
    assert found["bridge apart4"] == ["v20-eth0 . 10.20.0.0/24"]
    assert found["bridge gate6"] == ["v20-eth0 . fd00:20::1"]
    assert found["inet open4"] == ["10.20.0.5 . 17 . 53", "10.20.0.5 . 6 . 53"]
    routed = of({"v20-eth0": {**PUBLIC, "firewall": {**APART, "subnet": ["203.0.113.9/32"], "gateway": []}}})
    assert routed["inet apart4"] == ["v20-eth0 . 203.0.113.9"]
    assert "inet apart" not in routed


def test_what_an_option_is_about() -> None:
    both = guard.elements({"v20-eth0": {**LAN, "firewall": APART}, "v20-eth1": PUBLIC})
    trusted = guard.about(both, "v20-eth0", LAN, "trusted")
    firewall = guard.about(both, "v20-eth0", LAN, "firewall")
    assert {name for _family, name in trusted} == {"guarded", "mac", "v4", "v6", "nd"}
    assert {name for _family, name in firewall} == {
        "apart", "apart4", "apart6", "gate4", "gate6", "closed4", "closed6", "open4", "open6",
    }  # fmt: skip
    assert all(member.startswith("v20-eth0") for members in trusted.values() for member in members)


def test_an_own_address_is_no_leave_to_give_out_leases() -> None:
    rules = guard.RULES["bridge"]["own"]
    (leases,) = (number for number, rule in enumerate(rules) if "dport" in rule)
    assert rules[leases] == "udp dport { 68, 546 } drop"
    assert all(number > leases for number, rule in enumerate(rules) if "saddr @v" in rule and "arp" not in rule)


def test_nothing_to_say_is_no_command() -> None:
    assert guard.update({}, {("inet", "v4"): frozenset()}) == ""
    nft.run("")


def alone(work: Callable[[], None]) -> None:
    """In a network namespace that has no rules."""

    def run() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        work()

    namespaces.inside(run)


def seen() -> tuple[dict[str, list[str]], dict[tuple[str, str], frozenset[str]]]:
    tables = nft.tables(guard.RULES, guard.TABLE)
    members = {(family, name): found for family, table in tables.items() for name, found in table.sets.items() if found}
    return {family: table.skeleton for family, table in tables.items()}, members


ENDS = {"v20-eth0": {**LAN, "firewall": APART}, "v32767-longname": {**PUBLIC, "firewall": APART}}


def test_the_kernel_shows_what_was_put_in_place_and_forgets_it_again() -> None:
    def work() -> None:
        assert seen() == ({}, {})
        wanted = guard.elements(ENDS)
        for _again in range(2):
            nft.run(guard.tables() + guard.update(wanted, {}))
            assert seen() == (guard.skeleton(), wanted)
        fewer = guard.elements({"v20-eth0": LAN})
        nft.run(guard.update(fewer, guard.without(wanted, fewer)))
        assert seen()[1] == fewer
        for _again in range(2):
            nft.run(guard.update({}, wanted))
            assert seen() == (guard.skeleton(), {})

    alone(work)


def test_rules_that_others_changed_are_told_from_carves() -> None:
    def work() -> None:
        nft.run(guard.tables())
        for meddle in (
            "flush chain inet carve own",
            "insert rule bridge carve own accept",
            "add chain inet carve input { policy drop; }",
            "delete table arp carve",
        ):
            nft.run(meddle)
            assert seen()[0] != guard.skeleton()
            nft.run(guard.tables())
            assert seen()[0] == guard.skeleton()

    alone(work)


def test_what_nft_refuses_is_told_in_its_words() -> None:
    def work() -> None:
        try:
            nft.run("add rule inet carve own accept")
        except OSError as error:
            assert "No such file or directory" in str(error)
        else:
            raise AssertionError("nft took it")

    alone(work)


ADDRESSES = st.ip_addresses(v=4, network="10.0.0.0/8").map(lambda a: f"{a}/8") | st.ip_addresses(
    v=6, network="fd00::/16"
).map(lambda a: f"{a}/64")


@given(st.lists(ADDRESSES, max_size=4, unique=True), st.binary(min_size=5, max_size=5), st.booleans())
def test_every_address_is_in_the_set_of_its_kind(addresses: list[str], low: bytes, trusted: bool) -> None:
    mac = ":".join(f"{octet:02x}" for octet in (2, *low))
    found = guard.elements({"v20-eth0": {**LAN, "ip": addresses, "mac": mac, "trusted": trusted}})
    for address in addresses:
        bare = address.partition("/")[0]
        version = 6 if ":" in bare else 4
        assert (f"v20-eth0 . {bare}" in found.get(("bridge", f"v{version}"), ())) is not trusted
        assert bare in found["inet", f"closed{version}"]
