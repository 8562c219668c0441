# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collection that is this one but for its module ``node``, which returns what a test tells it to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# For each node, by its fleet's name: the results of a check and of a real call (of a rollout's, by the containers that
# it is limited to), and how long they take. What it was called with is written down.
MODULE = """\
import json, os, time
from ansible.module_utils.basic import AnsibleModule
OPTIONS = dict(fleet="str", containers="dict", templates="dict", networks="dict", prune="bool", expect="str",
               elsewhere="dict", hold="dict",
               lock_timeout="int", gate="dict", expect_containers="dict")
module = AnsibleModule(
    {**{name: {"type": kind} for name, kind in OPTIONS.items()}, "allow": {"type": "list", "elements": "str"},
     "only": {"type": "list", "elements": "str"},
     "secrets": {"type": "list", "no_log": True}},
    supports_check_mode=True,
)
here = os.path.join(os.environ["CARVE_TEST_DIRECTORY"], module.params["fleet"])
with open(here + ".calls", "a") as file:
    file.write(json.dumps({**module.params, "check": module.check_mode}) + "\\n")
with open(here + ".json") as file:
    told = json.load(file)
time.sleep(told["seconds"])
result = told["check" if module.check_mode else "real"]
if module.params["only"] is not None:
    result = result[",".join(module.params["only"])]
if "crash" in result:
    raise Exception(result["crash"])
if module.params["expect"] not in (None, result["fingerprint"]):
    result = {**result, "steps": [], "errors": ["it has moved"], "failed": True, "msg": "it has moved"}
(module.fail_json if result.get("failed") else module.exit_json)(**result)
"""


@dataclass
class Ran:
    """What a run printed and how it ended."""

    code: int
    out: str
    err: str
    summary: dict[str, Any] | None

    @property
    def lines(self) -> list[str]:
        """What was printed, without the line of timings and, where the machine is slow, signs of life."""
        lines = [line for line in self.out.splitlines() if not re.fullmatch(r"[\w, ]+: \w+, \d+ s", line)]
        return lines[:-1] if lines and " s" in lines[-1] and lines[-1][0].isdigit() else lines


@dataclass
class Stage:
    """A directory with an inventory, and what its nodes answer."""

    directory: Path
    collections: Path
    nodes: dict[str, str] = field(default_factory=dict)

    def node(
        self, name: str, check: dict[str, Any], real: dict[str, Any] | None = None, seconds: float = 0, **variables: Any
    ) -> None:
        """Each node is of a fleet of its own, for that is what tells the module which node it is."""
        fleet = name.replace("node", "fleet")
        told = {"check": check, "real": real or check, "seconds": seconds}
        (self.directory / f"{fleet}.json").write_text(json.dumps(told), encoding="utf-8")
        desired = {"fleet": fleet, "allow": ["restart"], "prune": True, "networks": {}, "templates": {},
                   "containers": {"web": {}, "db": {"protect": True}}}  # fmt: skip
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        self.nodes[name] = json.dumps({**local, **variables, "carve_desired": desired})

    def calls(self, node: str) -> list[dict[str, Any]]:
        path = self.directory / f"{node.replace('node', 'fleet')}.calls"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CARVE_"))}
        return {
            **kept,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_STDOUT_CALLBACK": "carve.vps.plan",
            "CARVE_TEST_DIRECTORY": str(self.directory),
            "CARVE_RESULT_FILE": str(self.directory / "summary.json"),
            **more,
        }

    def command(self, playbook: str, *words: str) -> list[str]:
        inventory = {"carve_nodes": {"hosts": {name: json.loads(text) for name, text in self.nodes.items()}}}
        (self.directory / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
        program = Path(sys.executable).with_name("ansible-playbook")
        return [str(program), "-i", str(self.directory / "inventory.json"), playbook, *words]

    def run(self, playbook: str, *words: str, **environment: str) -> Ran:
        (self.directory / "summary.json").unlink(missing_ok=True)
        done = subprocess.run(
            self.command(playbook, *words), cwd=self.directory, env=self.environment(**environment), check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr, self.summary())

    def tasks(self, text: str, *words: str) -> Ran:
        """Runs a playbook of a test's own."""
        (self.directory / "own.yml").write_text(text, encoding="utf-8")
        return self.run(str(self.directory / "own.yml"), *words)

    def summary(self) -> dict[str, Any] | None:
        path = self.directory / "summary.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collections")
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
def stage(tmp_path: Path, collections: Path) -> Stage:
    return Stage(tmp_path, collections)
