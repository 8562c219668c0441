# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet on the lab's machines, driven as people drive it: by ansible-playbook, over SSH, from a manifest."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.carve.vps.tests.integration.support import rootfs_archive, sha256
from ansible_collections.carve.vps.tests.lab.machine import Machine

HOST = "10.0.2.2"  # the host that the machines run on, as QEMU's network shows it to them
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What came of a playbook: its status, all it said, and how many tasks changed something on each host."""

    status: int
    output: str
    changed: Mapping[str, int]
    seconds: float

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
        self.manifest: dict[str, Any] = {
            "plugin": "carve.vps.fleet",
            "version": 1,
            "fleet": name,
            "networks": {"public": {"mode": "routed", "subnet": ["198.18.200.0/24", "fd00:200::/64"]}},
            "nodes": {},
        }

    def node(self, machine: Machine, user: str = "root", **variables: Any) -> None:
        self.manifest["nodes"][machine.name] = {**machine.ansible(user), **variables}

    def play(self, verb: str, *arguments: str) -> Run:
        """Run `carve.vps.VERB`, and show how long it took."""
        self.path.write_text(yaml.safe_dump(self.manifest, sort_keys=False), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(self.path), f"carve.vps.{verb}", *arguments]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        output = done.stdout + done.stderr
        changed = {name: int(count) for name, _ok, count, *_rest in _RECAP.findall(output)}
        print(f"{verb} {' '.join(arguments)}: {took:.0f} s, changed {changed}")
        return Run(done.returncode, output, changed, took)


@contextmanager
def archive_served() -> Iterator[dict[str, str]]:
    """A template whose archive the machines get from the host: building it under emulation would take minutes."""
    archive = rootfs_archive()
    serve = functools.partial(_Quiet, directory=str(archive.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {"archive": f"http://{HOST}:{server.server_port}/{archive.name}", "sha256": sha256(archive)}
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass
