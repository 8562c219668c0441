# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carve as its users run it: one manifest, and the whole `ansible-playbook` run timed with Ansible's own start."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import Command, output, run
from contenders.base import NODE_PYTHON, Bench, Contender
from observe import Limits

REPOSITORY = Path(__file__).resolve().parents[3]
CONTAINERS = Path("/var/lib/carve/containers")
TEMPLATES = Path("/var/lib/carve/templates")
FLEET = GROUP = "bench"
TEMPLATE = "bench-rootfs"


class Carve(Contender):
    """`carve.vps.apply` of a manifest on this machine as its one node."""

    name = "carve"
    note = (
        "Carve from this checkout: the whole ansible-playbook run, unprivileged containers, no network; "
        "nothing to do = the same apply again"
    )

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.directory = bench.state / "carve"
        self._result = self.directory / "result.json"
        self.names = [f"{GROUP}-{number}" for number in range(1, bench.count + 1)]

    def create(self) -> Command:
        self._declare(self.bench.count, self.bench.before)
        return self._playbook("apply")

    def noop(self) -> Command:
        return self._playbook("apply")

    def change(self) -> Command:
        self._declare(self.bench.count, self.bench.after)
        return self._playbook("apply")

    def destroy(self) -> Command:
        return self._playbook("destroy")

    def changed(self, said: str) -> str:
        result = json.loads(self._result.read_text(encoding="utf-8"))
        return said if any(node["steps"] for node in result["nodes"].values()) else ""

    def pids(self) -> dict[str, int]:
        running = output(("lxc-ls", "-P", str(CONTAINERS), "-1", "--running")).split()
        return {
            name: int(output(("lxc-info", "-P", str(CONTAINERS), "-pH", "-n", name)))
            for name in running
            if name in self.names
        }

    def prepare(self) -> None:
        """Make this machine a node and have its template made, as the others' images are made: untimed."""
        self._link_collection()
        self._declare(1, self.bench.before)
        log = self.bench.log("carve")
        for playbook in ("bootstrap", "apply", "destroy"):
            run(self._playbook(playbook), log)

    def wipe(self) -> None:
        if not any(CONTAINERS.glob(f"{GROUP}-*")):
            return
        self._link_collection()
        # Of any count: what an earlier, larger run left bears the fleet's mark, and goes with it.
        self._declare(self.bench.count, self.bench.before)
        run(self._playbook("destroy"), self.bench.log("carve"))

    def _declare(self, count: int, limits: Limits) -> None:
        manifest = {
            "plugin": "carve.vps.fleet",
            "version": 1,
            "fleet": FLEET,
            "templates": {TEMPLATE: {"archive": str(self.bench.rootfs.archive), "sha256": self.bench.rootfs.sha256}},
            "nodes": {
                "node1": {
                    "ansible_connection": "local",
                    "ansible_host": "localhost",
                    "ansible_python_interpreter": NODE_PYTHON,
                }
            },
            "defaults": {"template": TEMPLATE, "cpus": limits.cpus, "ram": f"{limits.ram // 1024**2}M"},
            "containers": {GROUP: {"count": count}},
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "fleet.yml").write_text(json.dumps(manifest, indent=2), encoding="utf-8")

    def _playbook(self, name: str) -> Command:
        playbook = Path(sys.executable).with_name("ansible-playbook")
        manifest = self.directory / "fleet.yml"
        return Command(
            # The destroy playbook asks for the fleet's name, or takes it from here; the others do not look at it.
            (str(playbook), f"--inventory={manifest}", f"carve.vps.{name}", f"--extra-vars=carve_destroy={FLEET}"),
            # As the `carve` command runs it, whose callback also leaves what was done as JSON.
            env={
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_STDOUT_CALLBACK": "carve.vps.plan",
                "CARVE_RESULT_FILE": str(self._result),
            },
        )

    def _link_collection(self) -> None:
        """This checkout under the path where Ansible looks for a collection, whatever else is installed."""
        link = self.directory / "collections/ansible_collections/carve/vps"
        link.parent.mkdir(parents=True, exist_ok=True)
        # One that a killed run left may lead to another checkout.
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY)


@contextmanager
def contest(bench: Bench) -> Iterator[list[Contender]]:
    carve = Carve(bench)
    carve.wipe()
    try:
        carve.prepare()
        yield [carve]
    finally:
        carve.wipe()
        # By hand: collecting what is unused would take other fleets' templates along.
        shutil.rmtree(TEMPLATES / TEMPLATE, ignore_errors=True)
        shutil.rmtree(carve.directory, ignore_errors=True)
