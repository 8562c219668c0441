# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network's firewall, asked by those whom it concerns: containers of one network, and the node's own ports."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    booted,
    box,
    inside,
    pings,
    start_time,
    wait_for,
)

WHERE = {
    "lan": (("10.213.0.5", "fd00:213::5"), ("10.213.0.6", "fd00:213::6"), ("10.213.0.1", "fd00:213::1")),
    "public": (("198.18.113.5", "fd00:113::5"), ("198.18.113.6", "fd00:113::6"), ("10.213.0.1", "fd00:213::1")),
}
_CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as made:
    print(made.recv(5).decode())
"""


_SAY = """
import socket, sys
source, to, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.bind((source, 0))
    for _again in range(3):
        out.sendto(b"x" * size, (to, port))
"""


def reaches(name: str, address: str) -> bool:
    return inside(name, "ping", "-c2", "-i0.2", "-W1", address, check=False).startswith("0 ")


def connects(name: str, address: str, port: int, patience: float) -> bool:
    return inside(name, "python3", "-c", _CONNECT, address, str(port), str(patience), check=False).startswith("0 hello")


def local_address(name: str) -> str:
    return inside(name, "ip", "-o", "-6", "addr", "show", "dev", "eth0", "scope", "link").split()[3].partition("/")[0]


@contextlib.contextmanager
def greeter() -> Iterator[int]:
    """A port of the node's own, on all its addresses, that greets who connects."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    made, _who = server.accept()
                    with made:
                        made.sendall(b"hello")

        threading.Thread(target=greet, daemon=True).start()
        yield int(server.getsockname()[1])
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def said(name: str, source: str, to: str, port: int, size: int = 5) -> None:
    """Datagrams from such an address, which the container takes for itself."""
    inside(name, "python3", "-c", _SAY, source, to, str(port), str(size))


@contextlib.contextmanager
def listener() -> Iterator[tuple[int, Callable[[float], set[str]]]]:
    """A UDP port of the node's own, and from whom something came there until nothing has come for some seconds."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        heard.bind(("::", 0))

        def whom(seconds: float) -> set[str]:
            heard.settimeout(seconds)
            found = set()
            with contextlib.suppress(TimeoutError):
                while True:
                    found.add(heard.recvfrom(9000)[1][0].removeprefix("::ffff:"))
            return found

        yield int(heard.getsockname()[1]), whom


def two(fleet: Fleet, on: str, **rules: Any) -> None:
    """Two containers on a network with such a firewall."""
    fleet.networks[on]["firewall"] = rules
    for name, addresses in zip(("t-one", "t-two"), WHERE[on][:2], strict=True):
        fleet.declare(name, network={"eth0": {"on": on, "ip": list(addresses)}})
    # The node has the bridge only where somebody is on it, and its addresses are what the tests ask for.
    fleet.declare("t-third", network={"eth0": {"on": "lan", "ip": "10.213.0.9"}})
    fleet.apply()


@pytest.mark.parametrize("on", WHERE)
def test_containers_of_a_network_that_keeps_them_apart(fleet: Fleet, on: str) -> None:
    two(fleet, on)
    for name in ("t-one", "t-two"):
        booted(name)
    born = start_time("t-one")
    theirs, gateway = WHERE[on][1], WHERE[on][2]
    beside = local_address("t-two") + "%eth0"
    for address in theirs:
        pings("t-one", address)
    two(fleet, on, between="deny")
    pings("t-one", gateway[0])
    pings("t-one", gateway[1])
    assert not any(reaches("t-one", address) for address in (*theirs, *([beside] if on == "lan" else [])))
    if on == "lan":
        # Nor by way of the node.
        for address, via in zip(theirs, gateway, strict=True):
            inside("t-one", "ip", "route", "add", address, "via", via)
            assert not reaches("t-one", address)
            inside("t-one", "ip", "route", "del", address, "via", via)
    # Neighbour discovery works on: with nobody known any more, the gateway is found again.
    inside("t-one", "ip", "-6", "neigh", "flush", "dev", "eth0")
    pings("t-one", gateway[1])
    two(fleet, on, between="allow")
    for address in theirs:
        pings("t-one", address)
    assert start_time("t-one") == born


@pytest.mark.parametrize("on", WHERE)
def test_the_nodes_own_ports(fleet: Fleet, on: str) -> None:
    two(fleet, on)
    booted("t-one")
    born, gateway, mine = start_time("t-one"), WHERE[on][2], WHERE[on][0]
    with greeter() as port, greeter() as other:
        # Closed unless something else is written, but for what says that the node is there.
        assert not any(connects("t-one", address, port, 1) for address in gateway)
        for address in gateway:
            pings("t-one", address)
        two(fleet, on, node=[f"tcp/{port}"])
        for address in gateway:
            assert connects("t-one", address, port, 10)
            assert not connects("t-one", address, other, 1)
        two(fleet, on, node="allow")
        assert all(connects("t-one", address, other, 10) for address in gateway)
    two(fleet, on, node="deny")
    # The node itself may speak to the container, which may answer.
    script = (
        "import socket; s = socket.create_server(('', 7)); print('up', flush=True); s.accept()[0].sendall(b'hello')"
    )
    inside("t-one", "systemd-run", "--unit=seven", "python3", "-c", script)
    wait_for("an answer", lambda: _greeted(mine[0]))
    assert start_time("t-one") == born


@pytest.mark.parametrize("on", WHERE)
def test_who_is_trusted_has_the_nodes_ports_by_no_address(fleet: Fleet, on: str) -> None:
    """It may take a free address of the subnet, or forward for others: what counts is by which end it comes."""
    mine, gateway = WHERE[on][0], WHERE[on][2]
    free = tuple(address[:-1] + "77" for address in mine)

    def declare(**rules: Any) -> None:
        fleet.networks[on]["firewall"] = rules
        fleet.declare("t-one", network={"eth0": {"on": on, "ip": list(mine), "trusted": True}})
        fleet.declare("t-third", network={"eth0": {"on": "lan", "ip": "10.213.0.9"}})
        fleet.apply()

    declare(node="deny")
    booted("t-one")
    for address in free:
        inside("t-one", "ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    wait_for("addresses that nobody else has", lambda: "tentative" not in inside("t-one", "ip", "address"))

    with listener() as (port, whom), listener() as (other, whom_else), greeter() as greeting:

        def say(to: int, size: int = 5) -> None:
            for pair in (mine, free):
                for source, address in zip(pair, gateway, strict=True):
                    said("t-one", source, address, to, size)

        say(port)
        assert whom(1) == set()
        if on == "lan":
            # The node answers such an address on the bridge: so that what it is asked comes from there.
            for source, address in zip(free, gateway, strict=True):
                inside("t-one", "ip", "route", "add", address, "dev", "eth0", "src", source)
            assert not any(connects("t-one", address, greeting, 1) for address in gateway)
            assert all(reaches("t-one", address) for address in gateway)
        declare(node=[f"udp/{port}"])
        # In several fragments, too, of which only the first tells the port.
        for size in (5, 5000):
            say(port, size)
            assert whom(1) == {*mine, *free}
        say(other, 5)
        say(other, 5000)
        assert whom_else(1) == set()
        declare(node="allow")
        say(other)
        assert whom_else(1) == {*mine, *free}


def _greeted(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 7), timeout=5) as made:
        return made.recv(5) == b"hello"
    return False


def test_rules_of_a_network_that_are_meddled_with_are_named(fleet: Fleet) -> None:
    two(fleet, "lan", between="deny", node=["tcp/53"])
    end = network.host_end(box("t-one"), "eth0")
    from ansible_collections.carve.vps.tests.integration.own_node import run

    for meddle in (
        ["delete", "element", "bridge", "carve", "apart", f'{{ "{end}" }}'],
        ["delete", "element", "bridge", "carve", "closed", f'{{ "{end}" }}'],
        ["add", "element", "bridge", "carve", "open", f'{{ "{end}" . tcp . 22 }}'],
    ):
        run("nft", *meddle)
        found = fleet.check()
        assert [c["field"] for s in found["steps"] for c in s["changes"]] == ["network.eth0.firewall"], meddle
        fleet.apply()
    assert not reaches("t-one", "10.213.0.6")
