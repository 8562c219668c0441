# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet that nobody has: what the controller does with 10, 100 and 1000 nodes of 100 containers, and what it costs.

Called by `./dev bench fleet`. Half of the containers are counted out of entries, half are written one by one; three in
four find their node themselves, and all get their addresses from a pool. Every size runs in a process of its own, so
that peak memory is its own, too. Nothing is remembered from run to run but where that is what is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.carve.vps.plugins.module_utils import desired
from ansible_collections.carve.vps.plugins.plugin_utils import collector, hosts, manifest, settlement
from ansible_collections.carve.vps.plugins.plugin_utils.manifest import Fleet
from ansible_collections.carve.vps.plugins.plugin_utils.whereabouts import NOWHERE, Whereabouts

PER_NODE = 100
SIZES = (10, 100, 1000)
HEAD = """\
plugin: carve.vps.fleet
version: 1
fleet: simulated
flavors:
  small: {cpus: 0.5, ram: 512M, swap: 256M, processes: 400}
  medium: {cpus: 1, ram: 1G, processes: 800}
templates: {debian-13: {build: {suite: trixie, packages: [openssh-server]}}}
networks:
  public: {mode: routed, subnet: 10.0.0.0/8, pool: 10.64.0.0-10.79.255.255}
defaults: {template: debian-13, flavor: small, labels: {team: web}}
"""
WORDS = {
    "manifest": "manifest",
    "first": "read and validated, nothing known",
    "again": "read and validated, all known",
    "hosts": "made into an inventory",
    "settled": "compared with what was found",
    "node": "one node's desired state, on the node",
    "memory": "peak memory",
}


def text(nodes: int) -> Iterator[str]:
    """A manifest of this many nodes, a line at a time."""
    yield HEAD
    yield "nodes:\n"
    for number in range(nodes):
        labels = f"labels: {{zone: {'abcd'[number % 4]}}}, capacity: {{ram: 256G, cpus: 64}}, overcommit: {{cpus: 2}}"
        yield f"  node{number}: {{ansible_host: 192.0.{number // 250}.{number % 250 + 1}, {labels}}}\n"
    yield "containers:\n"
    network = "network: {eth0: {on: public, ip: auto}}"
    for number in range(nodes // 2):
        yield f"  web{number}: {{count: {PER_NODE}, {network}, placement: {{match: {{zone: {'abcd'[number % 4]}}}}}}}\n"
    for number in range((nodes - nodes // 2) * PER_NODE):
        where = f"node: node{number % nodes}" if number % 2 else f"placement: {{apart: group{number // 8}}}"
        yield f"  vps{number}:\n    flavor: medium\n    hostname: vps{number}.example.net\n    {where}\n    {network}\n"


class Clock:
    """How much of a processor's time each thing took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        # Of the processor, since others may be using it, too; all of this is one thread.
        began = time.process_time()
        result = work()
        self.seconds[name] = time.process_time() - began
        return result


def measure(nodes: int) -> dict[str, float]:
    """What a fleet of this size costs, in seconds and bytes."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "fleet.yml")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(text(nodes))
        size = path.stat().st_size
        # Not remembered as good: the schema is gone through every time.
        source = DataLoader().get_text_file_contents(str(path))
        fleet: Fleet = clock.time("first", lambda: manifest.read(source, "fleet.yml", None, NOWHERE))
        known = _everything(fleet)
        fleet = clock.time("again", lambda: manifest.read(source, "fleet.yml", None, known))
    assert _everything(fleet) == known
    assert len(fleet.containers) == nodes * PER_NODE
    inventory = InventoryData()
    hint = {"file": "", "digest": known.digest()}
    clock.time("hosts", lambda: hosts.populate(inventory, fleet, hint))
    bodies = {name: inventory.hosts[name].vars for name in fleet.nodes}
    settled = clock.time("settled", lambda: _settled(bodies, known))
    assert not (settled.stale or settled.again or settled.errors)
    params = bodies[f"node{nodes - 1}"]["carve_desired"]
    _made, problems = clock.time("node", lambda: desired.build(params))
    assert not problems
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**clock.seconds, "memory": peak, "manifest": size}


def _everything(fleet: Fleet) -> Whereabouts:
    return Whereabouts({container.name: container.node or "" for container in fleet.containers}, fleet.addresses)


def _settled(bodies: dict[str, Any], known: Whereabouts) -> settlement.Settlement:
    found: dict[str, dict[str, Any]] = {name: {} for name in bodies}
    for name, node in known.nodes.items():
        found[node][name] = known.addresses.get(name, {})
    with collector.paused():
        return settlement.settle(settlement.Look(settlement.shares(bodies), found, {}, {}, known, known.digest()))


def table(found: dict[int, dict[str, float]]) -> str:
    """Sizes beside each other, with how much more the last one costs than the one before."""
    sizes = list(found)
    rows = [["", *(f"{size} nodes, {size * PER_NODE} containers" for size in sizes), "growth at the last step"]]
    rows.append(["---"] * len(rows[0]))
    for name, words in WORDS.items():
        values = [found[size][name] for size in sizes]
        shown = [f"{v / 1e6:.1f} MB" if name in ("memory", "manifest") else f"{v:.3f} s" for v in values]
        growth = f"{values[-1] / values[-2]:.1f}x for {sizes[-1] / sizes[-2]:.0f}x" if len(values) > 1 else ""
        rows.append([words, *shown, growth])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench fleet", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="numbers of nodes; 10 100 1000 unless given")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    found = {}
    for size in options.sizes:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(size)], check=True, stdout=subprocess.PIPE, text=True
        )
        found[size] = json.loads(done.stdout)
        print(f"{size} nodes: done", file=sys.stderr)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
