# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``ram_guarantee`` is worth on a node that runs short: who is guaranteed memory keeps it, others give theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.carve.vps.tests.lab.hardware import MEMORY
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import LabFleet, archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

MIB = 1 << 20
ATTACH = "lxc-attach -P /var/lib/carve/containers --clear-env"
HELD = 256  # MiB of file cache that each of the two has


def _write(machine: Machine, name: str, mib: int) -> None:
    script = f"dd if=/dev/zero of=/root/file bs=1048576 count={mib} 2>/dev/null && sync"
    machine.run(f"{ATTACH} -n {name} -- sh -c '{script}'")


def _cached(machine: Machine, name: str) -> int:
    return int(machine.run(f"awk '$1 == \"file\" {{ print $2 }}' /sys/fs/cgroup/carve/{name}/memory.stat"))


@contextmanager
def _emptied(fleet: LabFleet) -> Iterator[None]:
    """Whatever comes of it, the tests after this one find no containers."""
    with fleet.borrowed():
        try:
            yield
        finally:
            fleet.carve("destroy", "-e", "carve_destroy=lab")


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
