# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container with systemd, limits and a TCP connection: suspended over a power cut, resumed, moved there and back."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.support import rootfs_archive, wait_for
from ansible_collections.carve.vps.tests.lab.conftest import Pair
from ansible_collections.carve.vps.tests.lab.machine import SEGMENT, Machine
from ansible_collections.carve.vps.tests.lab.support import LabFleet, archives_served

NAME, V4, V6, PORT = "live", "198.18.200.77", "fd00:200::77", 7000
ATTACH = f"lxc-attach -P /var/lib/carve/containers -n {NAME} --clear-env --"
GROUP = f"/sys/fs/cgroup/carve/{NAME}"
# Counts in its memory, writes down what it was sent, and answers with both.
SERVER = f"""
import os, socket
heard = 0
server = socket.create_server(("", {PORT}))
while True:
    line, _peer = server.accept()
    with line, line.makefile("rw") as stream, open("/root/heard", "a", buffering=1) as kept:
        for text in stream:
            heard += 1
            kept.write(text)
            print(text.strip(), heard, os.getpid(), file=stream, flush=True)
"""
UNIT = """
[Service]
ExecStart=/usr/bin/python3 /root/server.py
"""
# One connection for all its life; each number once, and the next one when the answer is there.
CLIENT = f"""
import itertools, socket, sys, time
line = socket.create_connection(("{V4}", {PORT}), source_address=(sys.argv[1], 0))
with line.makefile("rw") as stream, open("/root/answers", "w", buffering=1) as answers:
    for number in itertools.count(1):
        print(number, file=stream, flush=True)
        answers.write(stream.readline())
        time.sleep(0.1)
"""


class Live:
    """The container, whoever is connected to it, and what both nodes say. The client is on the second node."""

    def __init__(self, fleet: LabFleet, one: Machine, two: Machine) -> None:
        self.fleet, self.one, self.two = fleet, one, two
        self.at = one
        self.options: dict[str, Any] = {
            "template": "base", "live_migration": True, "cpus": 0.9, "ram": "256M", "swap": "64M", "processes": 200,
            "disk": "64M", "stop_timeout": 20,
            "network": {"eth0": {"on": "public", "ip": [V4, V6], "rate_in": "50mbit"}},
        }  # fmt: skip
        fleet.manifest["containers"] = {NAME: self.options}

    def inside(self, script: str) -> str:
        return self.at.run(f"{ATTACH} sh -c {shlex.quote(script)}")

    def limits(self) -> str:
        return self.at.run(
            f"cd {GROUP} && cat memory.max memory.swap.max cpu.max pids.max && "
            f"tc -o qdisc show dev $(ip -o route get {V4} | sed 's/.* dev //; s/ .*//') root && "
            f"{ATTACH} df -k / | tail -n1 | awk '{{print $2}}'"
        )

    def answers(self) -> list[list[int]]:
        lines = self.two.run("cat /root/answers 2>/dev/null; true").splitlines()
        return [[int(word) for word in line.split()] for line in lines if len(line.split()) == 3]

    def goes_on(self) -> None:
        """The client gets answers, and nothing was lost, doubled, or started anew."""
        before = len(self.answers())
        wait_for("answers", lambda: len(self.answers()) > before + 3, 180)
        found = self.answers()
        assert [number for number, _heard, _pid in found] == list(range(1, len(found) + 1))
        assert [heard for _number, heard, _pid in found] == list(range(1, len(found) + 1))
        assert len({pid for _number, _heard, pid in found}) == 1
        kept = self.inside("cat /root/heard").split()
        assert kept[: len(found)] == [str(number) for number in range(1, len(found) + 1)]

    def fitness(self) -> Any:
        code = "import json; from carve import info; print(json.dumps(info.gather()['containers']['live']))"
        found = self.at.run(f"cd / && PYTHONPATH=/usr/lib/carve/current python3 -c {shlex.quote(code)}")
        return json.loads(found)["live_migration"]

    def migrate(self, to: Machine) -> str:
        run = self.fleet.play("migrate", "-e", f"carve_move={NAME} carve_to={to.name} carve_method=live").ok()
        self.at = to
        return run.words()


@pytest.fixture
def live(pair: Pair) -> Iterator[Live]:
    before = copy.deepcopy(pair.fleet.manifest)
    with archives_served(base=rootfs_archive()) as templates:
        pair.fleet.manifest["templates"] = templates
        made = Live(pair.fleet, pair.one, pair.two)
        yield made
        made.two.run("pkill -f [/]root/client.py; true")
        pair.fleet.carve("destroy", "-e", "carve_destroy=lab").ok()
    pair.fleet.manifest = before


def test_a_connection_survives_a_power_cut_and_two_moves(live: Live) -> None:
    one, two = live.one, live.two
    live.options["node"] = one.name
    live.fleet.carve("apply", "--yes").ok()
    del live.options["node"]
    live.inside(f"cat >/root/server.py <<'END'\n{SERVER}\nEND")
    live.inside(f"cat >/etc/systemd/system/server.service <<'END'\n{UNIT}\nEND\nsystemctl start server")
    # By whichever node has it; while none has, nobody says that there is no such connection.
    ways = f"ip route replace blackhole {V4} metric 4000; ip route replace {V4} via {SEGMENT[0]}.{{}} metric 2000"
    two.run(ways.format(one.index))
    two.run(f"cat >/root/client.py <<'END'\n{CLIENT}\nEND")
    two.run(f"setsid python3 /root/client.py {SEGMENT[0]}.{two.index} </dev/null >/root/client.log 2>&1 &")
    live.goes_on()
    limits = live.limits()
    wait_for("all services", lambda: live.inside("systemctl is-system-running; true") in ("running", "degraded"), 120)
    assert live.fitness() == {"fit": True, "findings": []}

    two.run("pkill -STOP -f [/]root/client.py")
    live.options["state"] = "suspended"
    assert f"{NAME} suspended" in live.fleet.carve("apply", "--yes").ok().words()
    one.power_cut()
    one.boot()
    state = "systemctl show --property ActiveState --value carve.service"
    wait_for("carve.service", lambda: one.run(state) in ("active", "failed"), 300)
    assert one.run(f"test -e {GROUP}/cgroup.procs", check=False) == "1"
    assert "No changes" in live.fleet.carve("apply").ok().output
    del live.options["state"]
    live.fleet.carve("apply", "--yes").ok()
    two.run("pkill -CONT -f [/]root/client.py")
    live.goes_on()
    assert live.limits() == limits

    for there, other in ((two, one), (one, two)):
        other.run(ways.format(there.index) if other is two else "true")
        assert f"moved from {other.name} to {there.name} live, frozen for" in live.migrate(there)
        live.goes_on()
        assert live.limits() == limits
        assert live.inside(f"ip -o addr show dev eth0 | grep -c -e {V4}/ -e {V6}/") == "2"
        assert live.fitness() == {"fit": True, "findings": []}
    assert "No drift" in live.fleet.carve("drift").ok().output
