# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``ram_guarantee`` is worth on a node that runs short: who is guaranteed memory keeps it, others give theirs."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.carve.vps.tests.integration.support import wait_for
from ansible_collections.carve.vps.tests.lab.hardware import MEMORY
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import LabFleet, archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

MIB = 1 << 20
ATTACH = "lxc-attach -P /var/lib/carve/containers --clear-env"
HELD = 256  # MiB of file cache that each of the two has
SWAP = "/var/lib/carve/swap"
PAGES = MIB // 4096  # in a megabyte


def _write(machine: Machine, name: str, mib: int) -> None:
    script = f"dd if=/dev/zero of=/root/file bs=1048576 count={mib} 2>/dev/null && sync"
    machine.run(f"{ATTACH} -n {name} -- sh -c '{script}'")


def _cached(machine: Machine, name: str) -> int:
    return int(machine.run(f"awk '$1 == \"file\" {{ print $2 }}' /sys/fs/cgroup/carve/{name}/memory.stat"))


@contextmanager
def _emptied(fleet: LabFleet) -> Iterator[None]:
    """Whatever comes of it, the tests after this one find no containers."""
    before = copy.deepcopy(fleet.manifest)
    try:
        yield
    finally:
        fleet.carve("destroy", "-e", "carve_destroy=lab")
        fleet.manifest = before


def test_what_is_guaranteed_is_kept_when_a_neighbour_fills_the_node(pair: Pair) -> None:
    fleet, node = pair.fleet, pair.one
    tiny = {"template": "tiny", "node": node.name, "stop_timeout": 0}
    with archives_served(tiny=tiny_archive()) as templates, _emptied(fleet):
        fleet.manifest["templates"] = templates
        fleet.manifest["containers"] = {
            "sure": {**tiny, "ram_guarantee": f"{HELD + 64}M"}, "unsure": tiny, "hog": tiny
        }  # fmt: skip
        fleet.carve("apply", "--yes").ok()
        for name in ("sure", "unsure"):
            _write(node, name, HELD)
        held = {name: _cached(node, name) for name in ("sure", "unsure")}
        assert min(held.values()) > 0.9 * HELD * MIB, held
        # Twice what the machine has: all of it that nobody is guaranteed has been wanted by somebody else by then.
        _write(node, "hog", 2 * MEMORY)
        left = {name: _cached(node, name) for name in held}
        print("file cache before and after, in MiB:", *((n, held[n] // MIB, left[n] // MIB) for n in held))
        assert left["sure"] > 0.9 * held["sure"], (held, left)
        assert left["unsure"] < 0.5 * held["unsure"], (held, left)


@contextmanager
def _swap(machine: Machine, mib: int) -> Iterator[None]:
    machine.run(f"fallocate -l {mib}M {SWAP} && chmod 600 {SWAP} && mkswap -q {SWAP} && swapon {SWAP}")
    try:
        yield
    finally:
        machine.run(f"swapoff {SWAP} && rm {SWAP}")


def test_swap_is_held_to_its_limit_and_its_counters_move(pair: Pair) -> None:
    fleet, node = pair.fleet, pair.one
    # Emptied before the swap goes: what is held there has nowhere else to go.
    with archives_served(tiny=tiny_archive()) as templates, _swap(node, 256), _emptied(fleet):
        fleet.manifest["templates"] = templates
        options = {"template": "tiny", "node": node.name, "stop_timeout": 0, "ram": "64M", "swap": "32M"}
        fleet.manifest["containers"] = {"swaps": options}
        fleet.carve("apply", "--yes").ok()
        before = _swappages(fleet, node)
        assert (before["held"], before["limit"], before["failcnt"]) == (0, 32 * PAGES, 0)
        # One block of so much, which nobody takes off its hands.
        hold = "setsid sh -c 'dd if=/dev/zero bs=80M count=1 | sleep 600' >/dev/null 2>&1 </dev/null &"
        node.run(f"{ATTACH} -n swaps -- sh -c {shlex.quote(hold)}")
        wait_for("swap to be held", lambda: _swappages(fleet, node)["held"] > 12 * PAGES, 120)
        held = _swappages(fleet, node)
        assert held["maxheld"] >= held["held"] and held["failcnt"] == 0
        # More than there is room for: whoever asks is killed.
        node.run(f"{ATTACH} -n swaps -- dd if=/dev/zero of=/dev/null bs=160M count=1", check=False)
        refused = _swappages(fleet, node)
        print("swappages before, held, refused:", before, held, refused)
        assert refused["failcnt"] > 0 and held["maxheld"] <= refused["maxheld"] <= 32 * PAGES


def _swappages(fleet: LabFleet, node: Machine) -> dict[str, int]:
    found: dict[str, int] = fleet.info(node)["containers"]["swaps"]["usage"]["beancounters"]["swappages"]
    return found
