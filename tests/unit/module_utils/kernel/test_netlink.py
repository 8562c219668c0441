# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links, addresses and routes as the kernel lists them, in a network namespace of the tests'."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import links, namespaces, netlink, syscalls
from ansible_collections.carve.vps.plugins.module_utils.kernel.netlink import Link


def apart(work: Callable[[], Any]) -> Any:
    """The result of some work in a fresh network namespace."""

    def inside() -> Any:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        return work()

    return namespaces.inside(inside)


def by_name() -> dict[str, Link]:
    return {link.name: link for link in netlink.links(proxies=True).values()}


def test_a_fresh_namespace_has_only_its_loopback() -> None:
    found = apart(by_name)
    assert set(found) == {"lo"}
    assert (found["lo"].mac, found["lo"].addresses, found["lo"].gateways) == ("00:00:00:00:00:00", [], [])


def test_all_that_links_can_be_told() -> None:
    def work() -> tuple[int, dict[str, Link]]:
        index = links.ensure_bridge("br-x", "carve:acme")
        assert links.ensure_bridge("br-x", "carve:acme") == index
        links.set_link("br-x", mtu=1400)
        for _time in range(2):
            links.add_addresses("br-x", ["10.0.0.1/24", "fd00::1/64", "192.0.2.1/32"])
            links.remove_addresses("br-x", ["192.0.2.1/32"])
            links.add_host_routes("br-x", ["198.51.100.7/32", "2001:db8::7/128", "198.51.100.8/32"])
            links.remove_host_routes("br-x", ["198.51.100.8/32"])
            links.add_default_routes("br-x", ["10.0.0.254"], on_link=False)
            links.add_default_routes("br-x", ["fe80::1"], on_link=True)
            links.answer_for("br-x", ["169.254.1.1", "fe80::1"])
        return index, by_name()

    index, found = apart(work)
    bridge = found["br-x"]
    assert index > 0
    assert (bridge.alias, bridge.mtu, bridge.master) == ("carve:acme", 1400, 0)
    assert sorted(bridge.addresses) == ["10.0.0.1/24", "fd00::1/64"]
    assert bridge.gateways == ["10.0.0.254", "fe80::1"]
    assert bridge.host_routes >= {"198.51.100.7/32", "2001:db8::7/128"}
    assert "198.51.100.8/32" not in bridge.host_routes
    assert bridge.proxied == {"169.254.1.1", "fe80::1"}


def test_what_is_taken_away_is_gone_and_taking_it_again_is_fine() -> None:
    def work() -> dict[str, Link]:
        links.ensure_bridge("br-x", "carve:acme")
        links.add_addresses("br-x", ["10.0.0.1/24"])
        links.add_default_routes("br-x", ["10.0.0.254"], on_link=False)
        for _time in range(2):
            links.remove_default_routes("br-x", ["10.0.0.254"])
            links.remove_addresses("br-x", ["10.0.0.1/24"])
        found = by_name()
        for _time in range(2):
            links.remove_link("br-x")
        assert set(by_name()) == {"lo"}
        return found

    bridge = apart(work)["br-x"]
    assert (bridge.addresses, bridge.gateways) == ([], [])


def test_a_default_route_takes_the_place_of_one_that_leads_elsewhere() -> None:
    def work() -> dict[str, Link]:
        for name, address in (("br-x", "10.0.0.1/24"), ("br-y", "10.0.1.1/24")):
            links.ensure_bridge(name, "carve:acme")
            links.add_addresses(name, [address])
        links.add_default_routes("br-y", ["10.0.1.254"], on_link=False)
        links.add_default_routes("br-y", ["fe80::2"], on_link=True)
        for _time in range(2):
            links.add_default_routes("br-x", ["10.0.0.254"], on_link=False)
            links.add_default_routes("br-x", ["fe80::1"], on_link=True)
        return by_name()

    found = apart(work)
    assert (found["br-x"].gateways, found["br-y"].gateways) == (["10.0.0.254", "fe80::1"], [])


def test_many_links_and_addresses_fit_into_many_messages() -> None:
    def work() -> dict[str, Link]:
        for number in range(60):
            links.ensure_bridge(f"br-{number}", f"carve:{number}")
        links.add_addresses("br-0", [f"10.0.{number // 250}.{number % 250 + 1}/32" for number in range(500)])
        return by_name()

    found = apart(work)
    assert {f"br-{number}": f"carve:{number}" for number in range(60)} == {
        name: link.alias for name, link in found.items() if name != "lo"
    }
    assert len(found["br-0"].addresses) == 500


def test_a_link_that_is_not_there() -> None:
    with pytest.raises(OSError, match="there is no network card br-x") as caught:
        apart(lambda: links.set_link("br-x", mtu=1400))
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize(
    "work",
    [
        lambda: links.add_addresses("br-x", ["10.0.0.1/24"]),
        lambda: links.add_host_routes("br-x", ["10.0.0.1/32"]),
        lambda: links.add_default_routes("br-x", ["10.0.0.1"], on_link=True),
        lambda: links.ensure_bridge("no/name", "carve:acme"),
        lambda: links.ensure_bridge("lo", "carve:acme") and links.add_default_routes("lo", ["10.9.9.9"], on_link=False),
    ],
)
def test_what_the_kernel_refuses_is_an_oserror(work: Callable[[], Any]) -> None:
    """The hands report those and go on; anything else ends the whole run."""
    with pytest.raises(OSError):
        apart(work)


def test_an_error_of_the_kernels_is_raised() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        theirs.send(struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -errno.EPERM) + bytes(16))
        with pytest.raises(PermissionError, match=os.strerror(errno.EPERM)):
            list(netlink.dump(ours, 18, b""))
