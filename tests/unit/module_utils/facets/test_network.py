# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interfaces: the lines that LXC makes them from, and changes of those that run, in namespaces of the tests' own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired, guard, slots
from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.plugins.module_utils.facets.network import Network
from ansible_collections.carve.vps.plugins.module_utils.host import Box
from ansible_collections.carve.vps.plugins.module_utils.kernel import (
    links,
    namespaces,
    netlink,
    nft,
    shaping,
    syscalls,
)
from ansible_collections.carve.vps.plugins.module_utils.steps import Change
from hypothesis import given
from hypothesis import strategies as st

from unit.module_utils.facets import boxes

MAC = "02:00:00:00:00:01"
GUARD: dict[str, Any] = {
    "network.eth0.trusted": False, "network.eth0.firewall": {"between": "allow", "node": "deny"},
}  # fmt: skip
BRIDGED: dict[str, Any] = {
    "network.eth0.mode": "bridged", "network.eth0.mac": MAC, "network.eth0.bridge": "br-lan", "network.eth0.mtu": 1400,
    "network.eth0.ip": ["10.20.0.5/24", "fd00:20::5/64"], "network.eth0.gateway": ["10.20.0.1", "fd00:20::1"],
    **GUARD,
}  # fmt: skip
ROUTED: dict[str, Any] = {
    "network.eth0.mode": "routed", "network.eth0.mac": MAC,
    "network.eth0.ip": ["203.0.113.5/32", "2001:db8::5/128"], "network.eth0.gateway": ["169.254.1.1", "fe80::1"],
    **GUARD,
}  # fmt: skip


@given(st.integers(slots.FIRST, slots.LAST), st.from_regex(desired.INTERFACE_NAME, fullmatch=True))
def test_the_nodes_end_has_a_name_that_a_card_can_have(slot: int, interface: str) -> None:
    assert len(network.host_end(boxes.box({"id": slot}), interface)) <= 15


def boot(tmp_path: Path, fields: dict[str, Any]) -> list[tuple[str, str]]:
    return Network().boot_config(boxes.host(tmp_path), boxes.box(fields))


def test_a_bridged_interface_at_boot(tmp_path: Path) -> None:
    assert boot(tmp_path, BRIDGED) == [
        ("lxc.net.0.type", "veth"),
        ("lxc.net.0.name", "eth0"),
        ("lxc.net.0.flags", "up"),
        ("lxc.net.0.hwaddr", MAC),
        ("lxc.net.0.veth.pair", "v20-eth0"),
        ("lxc.net.0.link", "br-lan"),
        ("lxc.net.0.mtu", "1400"),
        ("lxc.net.0.ipv4.address", "10.20.0.5/24"),
        ("lxc.net.0.ipv6.address", "fd00:20::5/64"),
        ("lxc.net.0.ipv4.gateway", "10.20.0.1"),
        ("lxc.net.0.ipv6.gateway", "fd00:20::1"),
    ]


def test_a_routed_interface_at_boot(tmp_path: Path) -> None:
    assert boot(tmp_path, ROUTED)[4:] == [
        ("lxc.net.0.veth.pair", "v20-eth0"),
        ("lxc.net.0.veth.mode", "router"),
        ("lxc.net.0.ipv4.address", "203.0.113.5/32"),
        ("lxc.net.0.ipv6.address", "2001:db8::5/128"),
        ("lxc.net.0.ipv4.gateway", "169.254.1.1"),
        ("lxc.net.0.ipv6.gateway", "fe80::1"),
    ]


def test_several_interfaces_and_none(tmp_path: Path) -> None:
    second = {path.replace("eth0", "eth1"): value for path, value in ROUTED.items()}
    names = [(key, value) for key, value in boot(tmp_path, {**second, **BRIDGED}) if key.endswith((".name", ".pair"))]
    assert names == [
        ("lxc.net.0.name", "eth0"),
        ("lxc.net.0.veth.pair", "v20-eth0"),
        ("lxc.net.1.name", "eth1"),
        ("lxc.net.1.veth.pair", "v20-eth1"),
    ]


def test_no_network_is_not_the_nodes_network(tmp_path: Path) -> None:
    """Without any line LXC would leave the container in the namespace of the node."""
    assert boot(tmp_path, {}) == [("lxc.net.0.type", "empty")]


# --- On interfaces that run


def on_a_node(work: Callable[[Box], None], fields: dict[str, Any]) -> None:
    """Do something on a node with a running container, whose interface is as LXC would have just made it."""

    def inside() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        with namespace() as pid:
            box = boxes.box(fields, pid=pid)
            make_pair(box)
            Network().apply_live(HOST, box, [Change(path, None, value) for path, value in fields.items()])
            work(box)

    namespaces.inside(inside)


HOST: Any = None  # what the facet is given and never uses


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """A process in a network namespace of its own."""
    command = ["unshare", "--net", "sh", "-c", "echo && exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def make_pair(box: Box) -> None:
    """What LXC does before any address is set; ``carve`` is the node's bridge."""
    links.set_link("lo", state="up")
    links.ensure_bridge("br-lan", "carve:acme")
    links.add_addresses("br-lan", ["10.20.0.1/24", "fd00:20::1/64"])
    links.ensure_bridge("br-new", "carve:acme")
    end = network.host_end(box, "eth0")
    with links.routes() as ipr:
        peer = {"ifname": "eth0", "net_ns_pid": box.pid, "address": MAC, "mtu": 1400}
        ipr.link("add", ifname=end, kind="veth", mtu=1400, peer=peer)
    for setting, value in (("ipv4/conf/{}/proxy_arp", "1"), ("ipv6/conf/{}/forwarding", "1")):
        Path("/proc/sys/net", setting.format(end)).write_text(value, encoding="ascii")
    links.set_link(end, state="up")


def observed(box: Box) -> dict[str, Any]:
    return Network().observe(HOST, [box])["web"]


def change(box: Box, **options: Any) -> None:
    """Change options of the interface, as a step does: the kernel first, the record after."""
    after = {f"network.eth0.{option}": value for option, value in options.items()}
    Network().apply_live(HOST, box, [Change(path, box.record.fields.get(path), value) for path, value in after.items()])
    box.record = box.record.with_fields(after)


def known(fields: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in fields.items() if path != "network.eth0.mode"}


both = pytest.mark.parametrize("fields", [BRIDGED, ROUTED], ids=["bridged", "routed"])


@both
def test_what_is_put_in_place_is_found(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        assert observed(box) == known(fields)
        # Doing it again changes nothing.
        Network().apply_live(HOST, box, [Change(path, None, value) for path, value in fields.items()])
        Network().reapply(HOST, box)
        assert observed(box) == known(fields)

    on_a_node(work, fields)


@both
def test_addresses_come_and_go_one_by_one(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        v4, v6 = fields["network.eth0.ip"]
        other = v4.replace(".5/", ".6/")
        for addresses in ([v4, other, v6], [other, v6], [v4, v6], [v4], [v4, v6]):
            change(box, ip=addresses)
            assert observed(box)["network.eth0.ip"] == addresses
        assert observed(box) == known(fields)

    on_a_node(work, fields)


@both
def test_the_only_address_makes_room_for_another(fields: dict[str, Any]) -> None:
    """As a plan does it: one leaves in one step, another comes in the next."""

    def work(box: Box) -> None:
        v4, _v6 = fields["network.eth0.ip"]
        change(box, ip=[])
        assert observed(box)["network.eth0.ip"] == []
        change(box, ip=[v4.replace(".5/", ".9/")])
        seen = observed(box)
        assert seen["network.eth0.ip"] == [v4.replace(".5/", ".9/")]
        assert fields["network.eth0.gateway"][0] in seen["network.eth0.gateway"]

    on_a_node(work, fields)


@both
def test_what_the_container_did_is_seen_and_mended(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        enter = (syscalls.CLONE_NEWNET, f"/proc/{box.pid}/ns/net")
        namespaces.inside(lambda: links.remove_addresses("eth0", fields["network.eth0.ip"][:1]), enter)
        assert observed(box)["network.eth0.ip"] == fields["network.eth0.ip"][1:]
        change(box, ip=fields["network.eth0.ip"])
        assert observed(box) == known(fields)
        namespaces.inside(lambda: links.remove_default_routes("eth0", fields["network.eth0.gateway"]), enter)
        assert observed(box)["network.eth0.gateway"] == []
        change(box, gateway=fields["network.eth0.gateway"])
        assert observed(box) == known(fields)

    on_a_node(work, fields)


def test_addresses_of_the_containers_own_are_seen_and_stay() -> None:
    def work(box: Box) -> None:
        enter = (syscalls.CLONE_NEWNET, f"/proc/{box.pid}/ns/net")
        namespaces.inside(lambda: links.add_addresses("eth0", ["192.0.2.7/24"]), enter)
        change(box, ip=["10.20.0.6/24"])
        assert observed(box)["network.eth0.ip"] == ["10.20.0.6/24", "192.0.2.7/24"]

    on_a_node(work, BRIDGED)


def test_another_bridge_is_changed_live() -> None:
    def work(box: Box) -> None:
        change(box, bridge="br-new")
        assert observed(box)["network.eth0.bridge"] == "br-new"

    on_a_node(work, BRIDGED)


def test_a_routed_address_without_its_route_is_as_good_as_absent() -> None:
    def work(box: Box) -> None:
        links.remove_host_routes("v20-eth0", ["203.0.113.5/32"])
        assert observed(box)["network.eth0.ip"] == ["2001:db8::5/128"]
        change(box, ip=["2001:db8::5/128"])
        routes = {route for link in netlink.links().values() for route in link.host_routes}
        assert routes == {"2001:db8::5/128"}

    on_a_node(work, ROUTED)


def test_an_interface_that_is_gone_shows_nothing() -> None:
    def work(box: Box) -> None:
        links.remove_link("v20-eth0")
        assert observed(box) == {}
        box.pid = None
        assert Network().observe(HOST, [box]) == {}
        Network().apply_live(HOST, box, [Change("network.eth0.ip", None, ["10.20.0.5/24"])])

    on_a_node(work, BRIDGED)


# --- What an interface may send, to whom and how fast


def meddled(box: Box) -> list[str]:
    facet = Network()
    facet.observe(HOST, [box])
    return facet.meddled


@both
def test_rates_are_found_mended_and_lifted(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        for rates in ((10**7, 64_000), (10**9, 10**6)):
            change(box, rate_in=rates[0], rate_out=rates[1])
            seen = observed(box)
            assert (seen["network.eth0.rate_in"], seen["network.eth0.rate_out"]) == rates
        # As after a reboot from inside: the pair is another one.
        links.remove_link(network.host_end(box, "eth0"))
        make_pair(box)
        network.limit_rates(box)
        assert observed(box)["network.eth0.rate_out"] == 10**6
        shaping.limit_received(network.host_end(box, "eth0"), "none", None)
        assert observed(box)["network.eth0.rate_out"] is None
        change(box, rate_in=None, rate_out=10**6)
        seen = observed(box)
        assert (seen.get("network.eth0.rate_in"), seen["network.eth0.rate_out"]) == (None, 10**6)
        change(box, rate_out=None)
        assert network.shaper(box, "eth0") not in {link.name for link in netlink.links().values()}

    on_a_node(work, fields)


@both
def test_who_is_not_enclosed_is_seen_and_mended(fields: dict[str, Any]) -> None:
    family = "bridge" if fields is BRIDGED else "inet"

    def work(box: Box) -> None:
        for meddle in ("delete element {} carve guarded {{ v20-eth0 }}",
                       'add element {} carve v4 {{ "v20-eth0" . 192.0.2.9 }}'):  # fmt: skip
            nft.run(meddle.format(family))
            assert observed(box)["network.eth0.trusted"] is True
            assert meddled(box) == []
            change(box, trusted=False)
            assert observed(box) == known(fields)
        nft.run(f"add element {family} carve open {{ v20-eth0 . tcp . 22 }}")
        assert observed(box)["network.eth0.firewall"] is None
        change(box, firewall=fields["network.eth0.firewall"])
        assert observed(box) == known(fields)

    on_a_node(work, fields)


@both
def test_rules_that_are_gone_are_named_once_and_made_anew(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        nft.run("flush ruleset")
        assert meddled(box) == ["bridge carve is gone", "inet carve is gone", "arp carve is gone"]
        assert observed(box) == known(fields)
        network.restore([box])
        assert meddled(box) == []
        assert observed(box) == known(fields)
        nft.run("insert rule bridge carve own accept")
        assert meddled(box) == ["bridge carve has other rules"]

    on_a_node(work, fields)


@both
def test_a_container_starts_under_the_rules_of_this_version(fields: dict[str, Any]) -> None:
    """With no container running nobody looks at what an earlier one has left."""

    def work(box: Box) -> None:
        nft.run("flush chain bridge carve own; flush chain inet carve own")
        network.enclose(box)
        assert meddled(box) == []
        assert observed(box) == known(fields)

    on_a_node(work, fields)


@both
def test_trusted_and_back(fields: dict[str, Any]) -> None:
    def work(box: Box) -> None:
        change(box, trusted=True)
        assert observed(box)["network.eth0.trusted"] is True
        change(box, ip=[])
        change(box, trusted=False)
        assert observed(box)["network.eth0.trusted"] is False
        network.release(box)
        tables = nft.tables(guard.RULES, guard.TABLE)
        assert [members for table in tables.values() for members in table.sets.values() if members] == []

    on_a_node(work, fields)
