# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an interface may carry and send, and what a network's firewall lets through, read where it acts."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    booted,
    box,
    brief,
    inside,
    pings,
    start_time,
    wait_for,
)

LAN = {"on": "lan", "ip": ["10.213.0.5", "fd00:213::5"]}
PUBLIC = {"on": "public", "ip": ["198.18.113.5", "fd00:113::5"]}
# Sends datagrams from an address that may not be its own: what arrives is what was let through.
STRANGER = "10.213.0.77"


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def bucket(link: str) -> int:
    """The rate of a card's token bucket, as the program tc has it, in bits; 0 where it has none."""
    for found in json.loads(run("tc", "-j", "qdisc", "show", "dev", link)):
        if found["kind"] == "tbf":
            return int(found["options"]["rate"]) * 8
    return 0


def rate_in(name: str) -> int:
    return bucket(network.host_end(box(name), "eth0"))


def rate_out(name: str) -> int:
    end, through = network.host_end(box(name), "eth0"), network.shaper(box(name), "eth0")
    filters = run("tc", "filter", "show", "dev", end, "parent", "ffff:")
    return bucket(through) if f"Redirect to device {through}" in filters else 0


def forget_rate_in(name: str) -> None:
    run("tc", "qdisc", "del", "dev", network.host_end(box(name), "eth0"), "root")


def forget_rate_out(name: str) -> None:
    run("tc", "qdisc", "del", "dev", network.host_end(box(name), "eth0"), "ingress")


def elements(family: str, name: str) -> list[Any]:
    listed = json.loads(run("nft", "-j", "list", "set", family, "carve", name))["nftables"]
    return next(item["set"].get("elem", []) for item in listed if "set" in item)


def guarded(name: str) -> bool:
    """Whether a container cannot send from an address that is not its own, by sending so to the node."""
    run("ip", "route", "replace", f"{STRANGER}/32", "dev", "br-carvetest")
    try:
        inside(name, "ip", "addr", "replace", f"{STRANGER}/32", "dev", "eth0")
        answer = inside(name, "ping", "-c1", "-W1", "-I", STRANGER, "10.213.0.1", check=False)
        inside(name, "ip", "addr", "del", f"{STRANGER}/32", "dev", "eth0")
    finally:
        run("ip", "route", "del", f"{STRANGER}/32", "dev", "br-carvetest")
    pings(name, "10.213.0.1")
    return not answer.startswith("0 ")


def let_go(name: str) -> None:
    end = network.host_end(box(name), "eth0")
    run("nft", "delete", "element", "bridge", "carve", "guarded", f'{{ "{end}" }}')


def answers(_name: str) -> list[bool]:
    """By which of three addresses the node reaches a container: one that is there refuses a port that nobody has."""
    found = []
    for last in (5, 6, 7):
        with socket.socket() as knocking:
            knocking.settimeout(2)
            found.append(knocking.connect_ex((f"10.213.0.{last}", 9)) == errno.ECONNREFUSED)
    return found


def lose_an_address(name: str) -> None:
    inside(name, "ip", "address", "del", "10.213.0.7/24", "dev", "eth0")


def test_options_of_an_interface(fleet: Fleet) -> None:
    def eth0(**options: Any) -> dict[str, Any]:
        return {"network": {"eth0": options}}

    cases = [
        Case("network.eth0.rate_in", eth0(rate_in="20mbit"), eth0(rate_in="50mbit"), rate_in, 20_000_000,
             50_000_000, forget_rate_in, 0),
        Case("network.eth0.rate_out", eth0(rate_out="1gbit"), eth0(rate_out="64kbit"), rate_out, 1_000_000_000,
             64_000, forget_rate_out, 0),
        Case("network.eth0.trusted", eth0(trusted=True), eth0(trusted=False), guarded, False, True, let_go, True),
        Case("network.eth0.ip", eth0(ip=[*LAN["ip"], "10.213.0.6"]), eth0(ip=[*LAN["ip"], "10.213.0.7"]), answers,
             [True, True, False], [True, False, True], lose_an_address, [True, False, False]),
    ]  # fmt: skip
    prove(fleet, "t-one", cases, **eth0(**LAN))
    shaper = network.shaper(box("t-one"), "eth0")
    assert shaper not in run("ip", "-br", "link")


def test_what_a_container_leaves_when_it_ends(fleet: Fleet) -> None:
    fleet.declare("t-one", network={"eth0": {**LAN, "rate_out": "10mbit"}})
    fleet.apply()
    end, shaper = network.host_end(box("t-one"), "eth0"), network.shaper(box("t-one"), "eth0")
    assert end in elements("bridge", "guarded")
    assert end in elements("bridge", "closed")
    assert shaper in run("ip", "-br", "link")
    booted("t-one")
    inside("t-one", "systemctl", "poweroff", "--no-block", check=False)
    wait_for("nothing to be left", lambda: end not in elements("bridge", "guarded"))
    wait_for("the shaper to go", lambda: shaper not in run("ip", "-br", "link"))
    assert end not in elements("bridge", "closed")


def test_rules_that_are_flushed_by_hand_are_made_again_at_once(fleet: Fleet) -> None:
    fleet.declare("t-one", network={"eth0": LAN})
    fleet.declare("t-two", network={"eth0": PUBLIC})
    fleet.apply()
    born = start_time("t-one")
    for meddle, what in (
        (["flush", "ruleset"], "bridge carve is gone; inet carve is gone; arp carve is gone"),
        (["delete", "table", "inet", "carve"], "inet carve is gone"),
        (["flush", "chain", "bridge", "carve", "own"], "bridge carve has other rules"),
        (["insert", "rule", "bridge", "carve", "own", "accept"], "bridge carve has other rules"),
    ):
        run("nft", *meddle)
        found = fleet.check()
        assert [(s["name"], s["changes"][0]["before"]) for s in found["steps"]] == [("rules", what)]
        assert found["steps"][0]["reason"] == "changed on the node"
        assert brief(fleet.apply()) == ["change rules network"]
        assert guarded("t-one")
    pings("t-two", "198.18.113.5")
    assert start_time("t-one") == born
    # An address more, by hand.
    end = network.host_end(box("t-one"), "eth0")
    run("nft", "add", "element", "bridge", "carve", "v4", f'{{ "{end}" . {STRANGER} }}')
    assert [c["field"] for s in fleet.check()["steps"] for c in s["changes"]] == ["network.eth0.trusted"]
    fleet.apply()
    assert guarded("t-one")
