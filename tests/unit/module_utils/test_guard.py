# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that keep containers to their addresses: what is said of each container, and that nft understands it all,
tried in network namespaces of the tests' own."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import guard
from ansible_collections.carve.vps.plugins.module_utils.kernel import links, namespaces, nft, syscalls
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
        "bridge closed": ["v20-eth0"],
        "inet ports": ["v20-eth0"],
        "arp ports": ["v20-eth0"],
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
    """By whatever address it comes: the end is what is closed."""
    assert of({"v20-eth0": {**LAN, "trusted": True}}) == {
        "bridge closed": ["v20-eth0"],
        "inet ports": ["v20-eth0"],
        "arp ports": ["v20-eth0"],
    }
    closed = {"between": "allow", "node": "deny"}
    assert of({"v20-eth0": {**PUBLIC, "trusted": True, "firewall": closed}}) == {"inet closed": ["v20-eth0"]}
    assert of({"v20-eth0": {**PUBLIC, "trusted": True}}) == {}


def test_a_record_from_before_there_were_rules_is_guarded() -> None:
    old = {option: value for option, value in PUBLIC.items() if option not in ("trusted", "firewall")}
    assert of({"v20-eth0": old}) == of({"v20-eth0": PUBLIC})


def test_a_network_whose_containers_are_apart() -> None:
    found = of({"v20-eth0": {**LAN, "firewall": APART}})
    assert found["bridge apart"] == ["v20-eth0"]
    assert found["bridge apart4"] == ["v20-eth0 . 10.20.0.0/24"]
    assert found["bridge gate6"] == ["v20-eth0 . fd00:20::1"]
    assert found["bridge open"] == ["v20-eth0 . 17 . 53", "v20-eth0 . 6 . 53"]
    routed = of({"v20-eth0": {**PUBLIC, "firewall": {**APART, "subnet": ["203.0.113.9/32"], "gateway": []}}})
    assert routed["inet apart4"] == ["v20-eth0 . 203.0.113.9"]
    assert "inet apart" not in routed
    assert routed["inet open"] == ["v20-eth0 . 17 . 53", "v20-eth0 . 6 . 53"]


def test_what_an_option_is_about() -> None:
    both = guard.elements({"v20-eth0": {**LAN, "firewall": APART}, "v20-eth1": PUBLIC})
    trusted = guard.about(both, "v20-eth0", "trusted")
    firewall = guard.about(both, "v20-eth0", "firewall")
    assert {name for _family, name in trusted} == {"guarded", "mac", "v4", "v6", "nd"}
    assert {name for _family, name in firewall} == {
        "apart", "apart4", "apart6", "gate4", "gate6", "closed", "open", "ports",
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


def frame(target: str, source: str, kind: int, packet: bytes) -> bytes:
    return bytes.fromhex((target + source).replace(":", "")) + struct.pack(">H", kind) + packet.ljust(46, b"\0")


def packet6(source: str, target: str, following: int, content: bytes) -> bytes:
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(target).packed
    return struct.pack(">IHBB", 6 << 28, len(content), following, 255) + addresses + content


MARKED = struct.pack(">HHHH", 9, 9, 16, 0) + b"a-datagr"


@contextlib.contextmanager
def bridged(*ports: str) -> Iterator[dict[str, socket.socket]]:
    """A bridge with these ports, and what speaks and listens at the other end of each."""
    links.ensure_bridge("br-lan", "carve:acme")
    with contextlib.ExitStack() as stack:
        far = {}
        for number, port in enumerate(ports):
            with links.routes() as ipr:
                ipr.link("add", ifname=port, kind="veth", peer=f"far{number}")
            links.set_link(f"far{number}", state="up")
            links.set_link(port, master="br-lan", state="up")
            far[port] = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)))
            far[port].bind((f"far{number}", 3))
            far[port].settimeout(10)
        # The kernel notices later that there is somebody at the other end.
        while ask("bridge", "link").count("state forwarding") < len(ports):
            time.sleep(0.02)
        yield far


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def hears(ear: socket.socket, last: bytes) -> list[bytes]:
    found: list[bytes] = []
    while last not in found:
        found.append(ear.recv(2000))
    return found


def test_frames_that_no_bridge_passes_on_are_not_taken_in_either() -> None:
    """The kernel learns from them where a MAC address is. Those to :0e meet no hook: the bridge is told."""

    def work() -> None:
        mine, theirs = LAN["mac"], "02:00:00:00:00:99"
        with bridged("v20-eth0", "v21-eth0") as far:
            last = frame("ff:ff:ff:ff:ff:ff", mine, 0x86DD, packet6(CARD, "ff02::1", 17, MARKED))
            for trusted in (False, True):
                nft.run(guard.tables() + guard.update(guard.elements({"v20-eth0": {**LAN, "trusted": trusted}}), {}))
                if trusted:
                    nft.run("delete element bridge carve guarded { v20-eth0 }")
                for low in (2, 3, 0xD, 0xF):
                    far["v20-eth0"].send(frame(f"01:80:c2:00:00:{low:02x}", theirs, 0x88CC, b""))
                far["v20-eth0"].send(last)
                hears(far["v21-eth0"], last)
                assert (theirs in ask("bridge", "fdb", "show", "br", "br-lan")) is trusted

    alone(work)


def test_who_is_apart_reaches_no_link_local_address_by_an_uplink() -> None:
    def work() -> None:
        nft.run(guard.tables() + guard.update(guard.elements({"v20-eth0": {**LAN, "firewall": APART}}), {}))
        with bridged("v20-eth0", "uplink") as far:
            there, mine = "02:00:00:00:00:99", LAN["mac"]

            def to(address: str, following: int, content: bytes) -> bytes:
                return frame(there, mine, 0x86DD, packet6(CARD, address, following, content))

            asks = to("fe80::99", 58, bytes((135, 0, 0, 0)) + bytes(4) + ipaddress.IPv6Address("fe80::99").packed)
            pings = to("fe80::99", 58, bytes((128, 0, 0, 0)) + bytes(16))
            speaks = to("fe80::99", 17, MARKED)
            last = to("2001:db8::1", 17, MARKED)
            for one in (speaks, pings, asks, last):
                far["v20-eth0"].send(one)
            found = hears(far["uplink"], last)
            assert [one in found for one in (speaks, pings, asks)] == [False, False, True]

    alone(work)


def packets4(source: str, target: str, port: int, size: int) -> list[bytes]:
    """A datagram, in fragments if it is long."""
    datagram = struct.pack(">HHHH", 9, port, 8 + size, 0) + b"x" * size
    made = []
    for start in range(0, len(datagram), 1400):
        part, more = datagram[start : start + 1400], 0x2000 if start + 1400 < len(datagram) else 0
        addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(target).packed
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(part), 7 + port, more | start // 8, 64, 17, 0) + addresses
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        made.append(head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + part)
    return made


@pytest.mark.parametrize("options", [LAN, PUBLIC], ids=["bridged", "routed"])
def test_what_is_closed_is_the_end_whatever_address_is_said(options: dict[str, Any]) -> None:
    """Of fragments only the first tells the port, and it may come last."""

    def work() -> None:
        with contextlib.ExitStack() as stack:
            far = stack.enter_context(bridged("v20-eth0"))["v20-eth0"]
            way = "br-lan" if options is LAN else "v20-eth0"
            if options is PUBLIC:
                links.set_link("v20-eth0", master=0)
            links.add_addresses(way, ["10.20.0.1/24"])
            card = card_of(way)
            opened, closed = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _each in "12")
            for one in (opened, closed):
                one.bind(("10.20.0.1", 0))

            def arrives(at: socket.socket, source: str, size: int, backwards: bool, wanted: bool) -> bool:
                made = packets4(source, "10.20.0.1", at.getsockname()[1], size)
                for packet in reversed(made) if backwards else made:
                    far.send(frame(card, options["mac"], 0x0800, packet))
                # What is dropped is dropped at once; what is not is waited for.
                at.settimeout(10 if wanted else 0.1)
                with contextlib.suppress(TimeoutError):
                    return len(at.recv(9000)) == size
                return False

            port = f"udp/{opened.getsockname()[1]}"
            for node, wanted in (("deny", (False, False)), ([port], (True, False)), ("allow", (True, True))):
                ends = {"v20-eth0": {**options, "trusted": True, "firewall": {"between": "allow", "node": node}}}
                nft.run("flush ruleset")
                nft.run(guard.tables() + guard.update(guard.elements(ends), {}))
                for source, size, backwards in itertools.product(("10.20.0.5", "10.20.0.77"), (5, 4000), (False, True)):
                    for at, expected in zip((opened, closed), wanted, strict=True):
                        found = arrives(at, source, size, backwards, expected)
                        assert found is expected, (node, source, size, backwards)

    alone(work)


def card_of(name: str) -> str:
    return ask("ip", "-br", "link", "show", name).split()[2]


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
        assert found["bridge", "closed"] == {"v20-eth0"}
