# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container that wants more memory than it has loses processes of its own: its init, neighbours and node live on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.integration.support import Fleet, booted, host, inside, start_time

M = 1 << 20
RAM = 96 * M
ATTACKER = {"ram": RAM, "swap": 0, "stop_timeout": 0}
BOMB = "x = []\nwhile True: x.append(bytearray(4 << 20))"
# A process that is larger than init, so that it is the one to go, fills a file in memory, which outlives it.
IN_MEMORY = "x = bytearray(24 << 20)\nf = open('/dev/shm/bomb', 'wb', 0)\nwhile True: f.write(bytes(1 << 20))"
WITNESS = "import signal\nx = bytearray(16 << 20)\nsignal.pause()"


@pytest.fixture
def attacked(fleet: Fleet) -> Iterator[Fleet]:
    """The attacker, and a neighbour whose process has memory to lose, and must not lose it."""
    fleet.declare("t-bomb", **ATTACKER)
    fleet.declare("t-next", ram=RAM, swap=0)
    fleet.apply()
    for name in ("t-bomb", "t-next"):
        booted(name)
    inside("t-next", "systemd-run", "--unit=witness", "python3", "-c", WITNESS)
    born = start_time("t-next")
    witness = inside("t-next", "systemctl", "show", "-P", "MainPID", "witness")
    yield fleet
    assert start_time("t-next") == born
    assert inside("t-next", "systemctl", "show", "-P", "MainPID", "witness") == witness != "0"
    assert kills("t-next") == 0
    assert fleet.check()["steps"] == []


def kills(name: str) -> int:
    """How many processes of a container the kernel has ended for want of memory."""
    group = host().cgroup
    text = group.read(name, "memory", "memory.events" if group.version == 2 else "memory.oom_control") or ""
    return int(dict(line.split() for line in text.splitlines())["oom_kill"])


def peak(name: str) -> int:
    group = host().cgroup
    file = "memory.peak" if group.version == 2 else "memory.max_usage_in_bytes"
    return int(group.read(name, "memory", file) or 0)


@pytest.mark.parametrize("program", [BOMB, IN_MEMORY], ids=["process", "shared memory"])
def test_a_bomb_is_ended_and_nothing_else(attacked: Fleet, program: str) -> None:
    born = start_time("t-bomb")
    answer = inside("t-bomb", "python3", "-c", program, check=False)
    assert answer.startswith("137 "), answer
    assert kills("t-bomb") >= 1
    assert RAM * 0.9 < peak("t-bomb") <= RAM
    inside("t-bomb", "rm", "-f", "/dev/shm/bomb")
    booted("t-bomb")
    assert start_time("t-bomb") == born


def test_memory_that_outlives_its_processes(attacked: Fleet) -> None:
    """What small processes leave in memory is not given back when they are ended; init may be next. That can cost the
    container its own life, and nobody else's, and it can be started again."""
    inside("t-bomb", "dd", "if=/dev/zero", "of=/dev/shm/bomb", "bs=64k", check=False)
    for state in ("stopped", "running"):
        attacked.declare("t-bomb", **ATTACKER, state=state)
        result = attacked.run()
        assert not result.get("failed"), result["msg"]
    booted("t-bomb")


def test_a_flood_of_files_costs_only_the_containers_own_cache(attacked: Fleet) -> None:
    """Twice what it has, written and read: what is cached gives way, and nobody is ended."""
    flood = "dd if=/dev/zero of=/root/flood bs=1M count=192 && cat /root/flood >/dev/null && rm /root/flood"
    born = start_time("t-bomb")
    inside("t-bomb", "sh", "-c", flood)
    assert kills("t-bomb") == 0
    assert start_time("t-bomb") == born
    assert RAM * 0.9 < peak("t-bomb") <= RAM
