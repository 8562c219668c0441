# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a container is, each option through the one shape: asked of the programs inside that go by it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.support import Fleet, booted, inside

# Two name servers that know nothing, and what the C library asks which of them for one short name.
_ASKED = """
import json, select, socket, subprocess, time
servers = {}
for address in ("127.0.0.2", "127.0.0.3"):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    servers[server] = address
asking = subprocess.Popen(["getent", "hosts", "probe"], stdout=subprocess.DEVNULL)
asked, until = [], time.monotonic() + 30
while asking.poll() is None and time.monotonic() < until:
    for server in select.select(list(servers), [], [], 0.1)[0]:
        query, whom = server.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        if [servers[server], ".".join(labels)] not in asked:
            asked.append([servers[server], ".".join(labels)])
        # No such name (RFC 1035, 4.1.1).
        server.sendto(query[:2] + bytes((0x81, 0x83)) + query[4:], whom)
asking.kill()
print(json.dumps(asked))
"""
ONE, TWO = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter}{letter} ops" for letter in "AB")
KEYS = "/root/.ssh/authorized_keys"


def asked(name: str) -> list[list[str]]:
    found: list[list[str]] = json.loads(inside(name, "python3", "-c", _ASKED))
    return found


def servers(name: str) -> list[str]:
    return sorted({server for server, _question in asked(name)})


def questions(name: str) -> list[str]:
    return [question for _server, question in asked(name)]


def edit(script: str, file: str) -> Any:
    """Somebody who edits a file inside."""
    return lambda name: inside(name, "sed", "-i", script, file) and None


def names(name: str) -> list[str]:
    """What the kernel says, what the next boot would say, and the whole name as programs work it out."""
    whole = inside(name, "python3", "-c", "import socket; print(socket.getfqdn())")
    return [inside(name, "hostname"), inside(name, "cat", "/etc/hostname"), whole]


def address_of(name: str) -> str:
    return inside(name, "getent", "hosts", "db.internal", check=False).partition(" ")[2].split(" ")[0]


def keys(name: str) -> list[str]:
    """Keys that may log in; and whose the file is, which sshd looks at before it believes it."""
    lines = inside(name, "cat", KEYS).splitlines()
    shown = inside(name, "stat", "-c", "%a %u", KEYS, "/root/.ssh").splitlines()
    return [line for line in lines if line and not line.startswith("#")] + shown


def test_who_it_is_and_whom_it_asks(fleet: Fleet) -> None:
    cases = [
        Case(
            "hostname", {"hostname": "one.example.net"}, {"hostname": "two.example.net"}, names,
            ["one.example.net"] * 3, ["two.example.net"] * 3,
            lambda name: inside(name, "hostname", "somebody-else") and None, ["t-who"] * 3,
        ),
        Case(
            "hosts", {"hosts": {"db.internal": "10.0.0.9"}}, {"hosts": {"db.internal": "10.0.0.10"}}, address_of,
            "10.0.0.9", "10.0.0.10", edit("s/10.0.0.10/10.0.0.66/", "/etc/hosts"), "",
        ),
        Case(
            "ssh_keys", {"ssh_keys": [ONE]}, {"ssh_keys": [TWO]}, keys,
            [ONE, "600 0", "700 0"], [TWO, "600 0", "700 0"], edit("s/BB ops/CC ops/", KEYS), ["600 0", "700 0"],
        ),
        Case(
            "nameservers", {"nameservers": ["127.0.0.2"]}, {"nameservers": ["127.0.0.3"]}, servers,
            ["127.0.0.2"], ["127.0.0.3"], edit("s/127.0.0.3/127.0.0.2/", "/etc/resolv.conf"),
            # That file is the container's own now, with what it was left with.
            ["127.0.0.3"],
        ),
        Case(
            "search_domains", {"search_domains": ["one.test"]}, {"search_domains": ["two.test", "three.test"]},
            questions, ["probe.one.test", "probe"], ["probe.two.test", "probe.three.test", "probe"],
            edit("s/ three.test//", "/etc/resolv.conf"),
        ),
    ]  # fmt: skip
    prove(fleet, "t-who", cases)

    fleet.declare("t-who", nameservers=["127.0.0.2"], search_domains=["one.test"])
    fleet.apply()
    fleet.declare("t-who", nameservers=["127.0.0.2"])
    fleet.apply()
    assert questions("t-who") == ["probe"]
    # What is outside the block is the container's own.
    inside("t-who", "sh", "-c", f"echo '{ONE} of mine' >>{KEYS}")
    fleet.declare("t-who", ssh_keys=[TWO])
    fleet.apply()
    assert keys("t-who")[:2] == [f"{ONE} of mine", TWO]


def test_what_is_deleted_inside_comes_back(fleet: Fleet) -> None:
    fleet.declare("t-who", hostname="one.example.net", nameservers=["127.0.0.2"], ssh_keys=[ONE])
    fleet.apply()
    booted("t-who")
    inside("t-who", "rm", "-r", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/root/.ssh")
    found = {change["field"] for step in fleet.check()["steps"] for change in step["changes"]}
    assert found == {"hostname", "nameservers", "ssh_keys"}
    fleet.apply()
    assert names("t-who") == ["one.example.net"] * 3 and servers("t-who") == ["127.0.0.2"]
    assert keys("t-who") == [ONE, "600 0", "700 0"]
