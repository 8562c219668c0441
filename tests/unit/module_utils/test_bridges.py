# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's bridges, made and observed in a network namespace of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import bridges, files
from ansible_collections.carve.vps.plugins.module_utils.kernel import links, namespaces, netlink, syscalls
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.steps import BridgeSeen


def wanted(bridge: str = "br-lan", **options: Any) -> dict[str, Any]:
    full = {"network": "lan", "bridge": bridge, "addresses": ["10.20.0.1/24"], "mtu": 1500, "uplink": None}
    return {**full, **options}


def on_a_node(directory: Path, work: Callable[[Paths], None]) -> None:
    def inside() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        work(Paths(str(directory), str(directory)))

    namespaces.inside(inside)


def card(name: str) -> None:
    """A network card that can be a port: a bridge cannot be, but the end of a pair can."""
    with links.routes() as ipr:
        ipr.link("add", ifname=name, kind="veth", peer={"ifname": f"{name}-peer"})


def ports(bridge: str) -> set[str]:
    found = netlink.links(routes=False)
    index = next(index for index, link in found.items() if link.name == bridge)
    return {link.name for link in found.values() if link.master == index}


def test_a_bridge_is_made_as_wanted_and_seen_so(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        card("eth1")
        want = wanted(addresses=["10.20.0.1/24", "fd00:20::1/64"], mtu=1400, uplink="eth1")
        for _time in range(2):
            bridges.ensure(paths, "acme", want)
            seen = bridges.observe(paths)["br-lan"]
            assert (seen.fleet, set(seen.addresses), seen.mtu, seen.uplink) == (
                "acme",
                set(want["addresses"]),
                1400,
                "eth1",
            )
            assert seen.recorded == want
        assert ports("br-lan") == {"eth1"}

    on_a_node(tmp_path, work)


def test_a_bridge_changes_and_goes(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        bridges.ensure(paths, "acme", wanted())
        bridges.ensure(paths, "acme", wanted(addresses=["10.20.0.2/24"], mtu=1300))
        seen = bridges.observe(paths)["br-lan"]
        assert (seen.addresses, seen.mtu) == (("10.20.0.2/24",), 1300)
        for _time in range(2):
            bridges.remove(paths, "br-lan")
        assert "br-lan" not in bridges.observe(paths)
        assert files.read_json(paths.networks) == {}

    on_a_node(tmp_path, work)


def test_an_uplink_that_is_no_longer_wanted_is_let_go(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        card("eth1")
        card("eth2")
        bridges.ensure(paths, "acme", wanted(uplink="eth1"))
        bridges.ensure(paths, "acme", wanted(uplink="eth2"))
        assert ports("br-lan") == {"eth2"}
        bridges.ensure(paths, "acme", wanted())
        assert ports("br-lan") == set()
        assert bridges.observe(paths)["br-lan"].uplink is None
        bridges.ensure(paths, "acme", wanted(uplink="eth1"))
        links.remove_link("eth1")
        assert bridges.observe(paths)["br-lan"].uplink is None
        bridges.ensure(paths, "acme", wanted())

    on_a_node(tmp_path, work)


def test_ports_that_others_have_plugged_in_are_theirs(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        for name in ("eth1", "vnet0", "v20-eth0"):
            card(name)
        bridges.ensure(paths, "acme", wanted())
        links.set_link("vnet0", master="br-lan")
        links.set_link("v20-eth0", master="br-lan")
        assert bridges.observe(paths)["br-lan"].uplink is None
        bridges.ensure(paths, "acme", wanted(uplink="eth1"))
        assert bridges.observe(paths)["br-lan"].uplink == "eth1"
        assert ports("br-lan") == {"eth1", "vnet0", "v20-eth0"}
        links.set_link("eth1", master=0)
        assert bridges.observe(paths)["br-lan"].uplink is None

    on_a_node(tmp_path, work)


def test_what_is_not_carves_bears_no_mark(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        links.ensure_bridge("br-theirs", "office")
        assert bridges.observe(paths)["br-theirs"] == BridgeSeen(fleet=None)
        assert bridges.observe(paths)["lo"].fleet is None

    on_a_node(tmp_path, work)


def test_a_bridge_that_went_with_the_nodes_power_is_remembered(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        bridges.ensure(paths, "acme", wanted())
        links.remove_link("br-lan")
        assert bridges.observe(paths)["br-lan"] == BridgeSeen("acme", exists=False, recorded=wanted())
        bridges.make("acme", wanted())
        assert bridges.observe(paths)["br-lan"].exists

    on_a_node(tmp_path, work)


def test_several_are_made_at_once_and_all_remembered(tmp_path: Path) -> None:
    def work(paths: Paths) -> None:
        names = [f"br-{number}" for number in range(12)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: bridges.ensure(paths, "acme", wanted(name, addresses=[])), names))
        assert set(files.read_json(paths.networks)) == set(names)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: bridges.remove(paths, name), names))
        assert files.read_json(paths.networks) == {}

    on_a_node(tmp_path, work)
