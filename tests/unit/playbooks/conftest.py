# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collection that is this one, but for its nodes, which are dictionaries in files: whole runs of the playbooks."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.steps import NodeSeen

ROOT = Path(__file__).parents[3]
# The module node as it is, on a node that is read from a file and written back. Calls are written down.
MODULE = """\
import json, os, pickle, sys
from ..module_utils import reconcile
from ..module_utils.engines import memory
from ..module_utils.host import Host
from ..module_utils.observe import Observation
from ..module_utils.paths import Paths
from ..module_utils.steps import DONE, NodeSeen, untouched
from ansible.module_utils.basic import AnsibleModule

here = os.path.join(os.environ["CARVE_TEST_DIRECTORY"], os.environ["CARVE_TEST_NODE"])

def observe(host, declared=None, to_move=()):
    with open(here + ".node", "rb") as file:
        return Observation(pickle.load(file), {})

def carry_out(job, made, seen):
    with open(here + ".node", "wb") as file:
        pickle.dump(memory.carry_out(made, seen.node, job.desired.fleet), file)
    return [DONE if status == "planned" else status for status in untouched(made)], []

reconcile.observe, reconcile._carry_out = observe, carry_out
NAMES = "containers templates networks elsewhere hold".split()
module = AnsibleModule(
    {"fleet": {"type": "str"}, **{name: {"type": "dict"} for name in NAMES}, "prune": {"type": "bool"},
     "allow": {"type": "list", "elements": "str"}, "expect": {"type": "str"}, "lock_timeout": {"type": "int"},
     "secrets": {"type": "list", "no_log": True}},
    supports_check_mode=True,
)
with open(here + ".calls", "a") as file:
    file.write(json.dumps(module.check_mode) + "\\n")
result = reconcile.run(module.params, module.check_mode, host=Host(paths=Paths(here + ".lib", here + ".run")))
(module.fail_json if result.get("failed") else module.exit_json)(**result)
"""
EMPTY = NodeSeen(
    runtime="r1", own_runtime="r1", cpus=2, online=frozenset({0, 1}), own_ids=((1 << 20, 2146435072),), swap_limit=True
)


@dataclass
class Ran:
    """What a run printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What was printed, without timings and signs of life."""
        lines = [line for line in self.out.splitlines() if not re.fullmatch(r"[\w, ]+: [\w: ]+, \d+ s", line)]
        return lines[:-1] if lines and re.match(r"\d+\.\d+ s", lines[-1]) else lines


@dataclass
class Lot:
    """A manifest and its nodes."""

    directory: Path
    collections: Path
    silent: set[str] = field(default_factory=set)

    def write(self, text: str, nodes: dict[str, str]) -> None:
        """The manifest, and in it the nodes, with options in YAML's flow style."""
        lines = []
        for name, options in nodes.items():
            file = self.directory / f"{name}.node"
            if not file.exists():
                self.put(name, EMPTY)
            python = self.directory / f"{name}-python"
            python.write_text(f'#!/bin/sh\nCARVE_TEST_NODE={name} exec {sys.executable} "$@"\n', encoding="utf-8")
            python.chmod(0o755)
            way = f"ansible_connection: local, ansible_python_interpreter: {python}"
            if name in self.silent:
                way = "ansible_host: 127.0.0.1, ansible_port: 9, ansible_ssh_timeout: 5"
            lines.append(f"  {name}: {{{way}, {options}}}")
        body = dedent(text).replace("NODES", "nodes:\n" + "\n".join(lines))
        (self.directory / "fleet.yml").write_text(body, encoding="utf-8")

    def seen(self, node: str) -> NodeSeen:
        with (self.directory / f"{node}.node").open("rb") as file:
            found = pickle.load(file)
        assert isinstance(found, NodeSeen)
        return found

    def put(self, node: str, seen: NodeSeen) -> None:
        with (self.directory / f"{node}.node").open("wb") as file:
            pickle.dump(seen, file)

    def where(self) -> dict[str, list[str]]:
        """The containers of every node."""
        return {path.stem: sorted(self.seen(path.stem).containers) for path in sorted(self.directory.glob("*.node"))}

    def ip(self, node: str, name: str) -> list[str]:
        found = self.seen(node).containers[name].recorded["network.eth0.ip"]
        return [address.split("/")[0] for address in found]

    def calls(self) -> dict[str, list[bool]]:
        """Of every node, for each call since this was last asked, whether it was in check mode."""
        found = {}
        for path in sorted(self.directory.glob("*.calls")):
            found[path.stem] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            path.unlink()
        return found

    def forget(self) -> None:
        """As on another controller: nothing is remembered."""
        for path in self.directory.glob("cache/carve/whereabouts/*"):
            path.unlink()

    def run(self, playbook: str, *words: str) -> Ran:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CARVE_"))}
        environment: dict[str, Any] = {
            **kept,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_STDOUT_CALLBACK": "carve.vps.plan",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            "CARVE_TEST_DIRECTORY": str(self.directory),
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [str(program), "-i", "fleet.yml", f"carve.vps.{playbook}", *words], cwd=self.directory, env=environment,
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fleet-collections")
    copy = root / "ansible_collections/carve/vps"
    (copy / "plugins/modules").mkdir(parents=True)
    for name in ("galaxy.yml", "meta", "playbooks", "roles"):
        (copy / name).symlink_to(ROOT / name)
    for path in (ROOT / "plugins").iterdir():
        if path.name != "modules" and path.is_dir():
            (copy / "plugins" / path.name).symlink_to(path)
    (copy / "plugins/modules/node.py").write_text(MODULE, encoding="utf-8")
    return root


@pytest.fixture
def lot(tmp_path: Path, collections: Path) -> Lot:
    return Lot(tmp_path, collections)
