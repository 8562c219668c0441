# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A customer's server for the tests of live moves: a database in a container with systemd, limits and addresses, and a
client on another machine that writes to it through one connection and keeps every answer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.integration.support import rootfs_archive, wait_for
from ansible_collections.carve.vps.tests.lab.machine import SEGMENT, Machine
from ansible_collections.carve.vps.tests.lab.support import LabFleet, Run

NAME, V4, V6, PORT = "live", "198.18.200.77", "fd00:200::77", 6379
GROUP = f"/sys/fs/cgroup/carve/{NAME}"
STORE = f"/var/lib/carve/containers/{NAME}"
# Every write is on disk before it is answered.
_CONFIGURATION = 'bind * -::*\\nprotected-mode no\\nappendonly yes\\nappendfsync always\\nsave ""\\n'
# One connection for all its life: what breaks it ends the client. Each number once, the next when the answer is there.
_CLIENT = f"""
import itertools, socket, sys, time
for _try in range(60):
    try:
        line = socket.create_connection(("{V4}", {PORT}), timeout=5, source_address=(sys.argv[1], 0))
        break
    except OSError as error:
        print("not connected yet:", error, file=sys.stderr, flush=True)
        time.sleep(1)
line.settimeout(None)
with line.makefile("rwb") as stream, open("/root/answers", "w", buffering=1) as answers:
    for number in itertools.count(1):
        stream.write(b"MULTI\\r\\nINCR count\\r\\nRPUSH log %d\\r\\nEXEC\\r\\n" % number)
        stream.flush()
        got = [stream.readline().strip().decode() for _ in range(6)]
        print(number, *got, round(time.monotonic(), 2), file=answers)
        time.sleep(0.1)
"""


def archive() -> Path:
    return rootfs_archive("debian-13-redis", "redis-server")


class Live:
    """The container, whoever is connected to it, and what both nodes say. The client is on the second node."""

    def __init__(self, fleet: LabFleet, one: Machine, two: Machine) -> None:
        self.fleet, self.one, self.two = fleet, one, two
        self.at = one
        self.options: dict[str, Any] = {
            "template": "base", "live_migration": True, "cpus": 0.9, "ram": "256M", "swap": "64M", "processes": 200,
            "disk": "300M", "stop_timeout": 20,
            "network": {"eth0": {"on": "public", "ip": [V4, V6], "rate_in": "50mbit"}},
        }  # fmt: skip
        fleet.manifest["containers"] = {NAME: self.options}
        self.run_id = ""

    def begin(self) -> None:
        """Make it on the first node, and let the client begin."""
        self.options["node"] = self.one.name
        self.fleet.carve("apply", "--yes").ok()
        del self.options["node"]
        wait_for(
            "all services", lambda: self.inside("systemctl is-system-running; true") in ("running", "degraded"), 180
        )
        self.inside(f"printf {shlex.quote(_CONFIGURATION)} >>/etc/redis/redis.conf && systemctl restart redis-server")
        wait_for("the database", lambda: "PONG" in self._database("PING"), 60)
        self.lead()
        self.two.run("rm -f /root/answers")
        self.two.run(f"cat >/root/client.py <<'END'\n{_CLIENT}\nEND")
        address = f"{SEGMENT[0]}.{self.two.index}"
        self.two.run(f"setsid python3 /root/client.py {address} </dev/null >/root/client.log 2>&1 &")
        self.run_id = self._database("INFO server").partition("run_id:")[2].split()[0]
        self.goes_on()

    def lead(self) -> None:
        """The client's way to it: on its own machine, where it is there, else by the other one.

        Whichever node has it not is silent: nobody says that there is no such connection.
        """
        self.one.run(f"ip route replace blackhole {V4} metric 4000")
        self.two.run(f"ip route replace {V4} via {SEGMENT[0]}.{self.one.index} metric 2000")

    def inside(self, script: str, at: Machine | None = None, name: str = NAME) -> str:
        attach = f"lxc-attach -P /var/lib/carve/containers -n {name} --clear-env --"
        return (at or self.at).run(f"{attach} sh -c {shlex.quote(script)}")

    def _database(self, command: str) -> str:
        return self.inside(f"redis-cli {command}")

    def limits(self) -> str:
        rate = f"tc -o qdisc show dev $(ip -o route get {V4} | sed 's/.* dev //; s/ .*//') root"
        own = "df -k / | tail -n1 | awk '{print $2}'; ip -o addr show dev eth0 scope global | awk '{print $4}'"
        return "\n".join(
            [self.at.run(f"cd {GROUP} && cat memory.max memory.swap.max cpu.max pids.max && {rate}"), self.inside(own)]
        )

    def answers(self) -> list[list[str]]:
        lines = self.two.run("cat /root/answers 2>/dev/null; cat /root/client.log >&2; true").splitlines()
        return [line.split() for line in lines if len(line.split()) == 8]

    def goes_on(self) -> list[float]:
        """The client gets answers by its one connection; nothing was lost, doubled, or started anew. When they came."""
        before = len(self.answers())
        try:
            wait_for("answers", lambda: len(self.answers()) > before + 3, 240)
        except AssertionError as error:
            raise AssertionError(f"{error}; the client says {self.two.run('tail -n 5 /root/client.log')!r}") from None
        found = self.answers()
        # +OK, twice +QUEUED, and of EXEC the two counts: how often it was asked, and how long the list is.
        for number, answer in enumerate(found, 1):
            assert answer[:7] == [str(number), "+OK", "+QUEUED", "+QUEUED", "*2", f":{number}", f":{number}"], answer
        assert self.run_id in self._database("INFO server"), "the database was started anew"
        kept = self._database(f"LRANGE log 0 {len(found) - 1}").split()
        assert kept == [str(number) for number in range(1, len(found) + 1)]
        return [float(answer[7]) for answer in found]

    def pause(self) -> None:
        self.two.run("pkill -STOP -f [/]root/client.py")

    def unpause(self) -> None:
        self.two.run("pkill -CONT -f [/]root/client.py")

    def end(self) -> None:
        self.two.run("pkill -f [/]root/client.py; true")

    def fitness(self) -> Any:
        return self.fleet.info(self.at)["containers"][NAME]["live_migration"]

    def other(self) -> Machine:
        return self.two if self.at is self.one else self.one

    def try_to_migrate(self, method: str = "live") -> Run:
        """Begin a move to the other node; whether it went well is the caller's to see."""
        return self.fleet.carve("migrate", "--move", NAME, "--to", self.other().name, "--method", method)

    def migrate(self) -> str:
        there = self.other()
        run = self.try_to_migrate().ok()
        self.at = there
        return run.words()

    def where(self) -> list[str]:
        """The machines on which it runs."""
        group = f"test -e {GROUP}/cgroup.procs && cat $(find {GROUP} -name cgroup.procs) | grep -q ."
        return [one.name for one in (self.one, self.two) if one.run(f"{group}", check=False).startswith("0")]

    def leftovers(self) -> str:
        """What a move has left on both machines that is not the container."""
        places = "departing/* incoming/*/* containers/*/memory*"
        look = f"cd /var/lib/carve && ls -d {places} 2>/dev/null; true"
        return "".join(machine.run(look) for machine in (self.one, self.two))
