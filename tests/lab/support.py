# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet on the lab's machines, driven as people drive it: by ansible-playbook, over SSH, from a manifest."""

from __future__ import annotations

import copy
import functools
import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.carve.vps.tests.integration.support import sha256
from ansible_collections.carve.vps.tests.lab.machine import SEGMENT, Machine

CARVE = str(Path(sys.executable).with_name("carve"))
HOST = "10.0.2.2"  # the host that the machines run on, as QEMU's network shows it to them
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What came of a playbook: its status, all it said, and how many tasks changed something on each host."""

    status: int
    output: str
    changed: Mapping[str, int]

    def ok(self) -> Run:
        assert self.status == 0, self.output
        return self

    def words(self) -> str:
        """All it said without line ends, which Ansible puts anywhere."""
        return re.sub(r"\s+", " ", self.output)


class LabFleet:
    """A manifest whose nodes are machines of the lab."""

    def __init__(self, directory: Path, name: str = "lab") -> None:
        self.path = directory / "fleet.yml"
        self.machines: dict[str, Machine] = {}
        self.manifest: dict[str, Any] = {
            "plugin": "carve.vps.fleet",
            "version": 1,
            "fleet": name,
            "networks": {"public": {"mode": "routed", "subnet": ["198.18.200.0/24", "fd00:200::/64"]}},
            "nodes": {},
        }
        self._calls = directory / "ssh-calls"
        self._ssh = directory / "ssh"
        self._ssh.write_text(
            f'#!/bin/sh\necho "$*" >>{shlex.quote(str(self._calls))}\nexec ssh "$@"\n', encoding="utf-8"
        )
        self._ssh.chmod(0o755)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """What is declared meanwhile is forgotten after it: other tests have the same fleet."""
        before = copy.deepcopy(self.manifest)
        try:
            yield
        finally:
            self.manifest = before

    def node(self, machine: Machine, user: str = "root", **variables: Any) -> None:
        self.machines[machine.name] = machine
        # Nodes reach each other over their segment; from the host each has a port of its own.
        move = {"carve_move_address": f"{SEGMENT[0]}.{machine.index}"}
        ssh = {"ansible_ssh_executable": str(self._ssh)}
        self.manifest["nodes"][machine.name] = {**machine.ansible(user), **move, **ssh, **variables}

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Run a command with the manifest, and do not wait for it. It is the first of a process group of its own."""
        self.path.write_text(yaml.safe_dump(self.manifest, sort_keys=False), encoding="utf-8")
        self._calls.write_text("", encoding="utf-8")
        # A machine that competes for its processor may take longer than Ansible's 10 s to let somebody in.
        patient = {**os.environ, "ANSIBLE_TIMEOUT": "90"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=patient
        )

    def play(self, verb: str, *arguments: str) -> Run:
        """Run the playbook `carve.vps.VERB`."""
        return self._run(verb, "ansible-playbook", "-i", str(self.path), f"carve.vps.{verb}", *arguments)

    def carve(self, verb: str, *arguments: str) -> Run:
        """Run the command `carve`."""
        return self._run(verb, CARVE, verb, str(self.path), *arguments)

    def info(self, machine: Machine) -> dict[str, Any]:
        """What `carve.vps.node_info` says of a node."""
        return self.module(machine, "node_info")

    def module(self, machine: Machine, name: str, arguments: str = "", *options: str) -> dict[str, Any]:
        """What the module `carve.vps.NAME` returns, whether it has failed or not."""
        ask = ["ansible", machine.name, "-i", str(self.path), "-b", "-m", f"carve.vps.{name}", *options]
        said, _nothing = self.begin(*ask, *(["-a", arguments] if arguments else [])).communicate()
        found: dict[str, Any] = json.loads(said.partition("=>")[2])
        return found

    def _run(self, verb: str, *command: str) -> Run:
        began = time.monotonic()
        process = self.begin(*command)
        output, _nothing = process.communicate()
        changed = {name: int(count) for name, _ok, count, *_rest in _RECAP.findall(output)}
        status = process.returncode
        print(f"{verb}: {time.monotonic() - began:.0f} s, exit status {status}", flush=True)
        return Run(status, output, changed)

    def ssh_calls(self) -> dict[str, int]:
        """How often the last playbook has called ssh for each node."""
        lines = self._calls.read_text(encoding="utf-8").splitlines()
        return {name: sum(f"Port={machine.port} " in line for line in lines) for name, machine in self.machines.items()}


@contextmanager
def archives_served(**archives: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Templates whose archives the machines get from the host: building one under emulation would take minutes."""
    (directory,) = {archive.parent for archive in archives.values()}
    serve = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                name: {"archive": f"http://{HOST}:{server.server_port}/{archive.name}", "sha256": sha256(archive)}
                for name, archive in archives.items()
            }
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass
