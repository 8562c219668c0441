# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who types commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CARVE = [sys.executable, "-m", "ansible_collections.carve.vps.plugins.plugin_utils.cli"]


class Desk:
    """A directory with a manifest in it, and somebody who types commands there."""

    def __init__(self, place: Path, template: dict[str, Any]) -> None:
        self.place = place
        self.manifest: dict[str, Any] = {
            "plugin": "carve.vps.fleet", "version": 1, "fleet": "carve-test-desk",
            "templates": {"base": template},
            "networks": {"public": {"mode": "routed", "subnet": "198.18.114.0/24"}},
            "nodes": {"desk": {"ansible_connection": "local", "labels": {"zone": "a"}}},
            "defaults": {"template": "base", "stop_timeout": 20},
            "containers": {"c": {"count": 2, "ram": "96M",
                                 "network": {"eth0": {"on": "public", "ip": "198.18.114.10-11"}}}},
        }  # fmt: skip

    def write(self) -> None:
        (self.place / "fleet.yml").write_text(yaml.safe_dump(self.manifest, sort_keys=False), encoding="utf-8")

    def carve(self, verb: str, *options: str) -> tuple[int, str]:
        self.write()
        return self.run(*CARVE, verb, "fleet.yml", *options)

    def run(self, *command: str) -> tuple[int, str]:
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        result = subprocess.run(
            command,
            cwd=self.place,
            env=environment,
            check=False,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return result.returncode, result.stdout

    def ansible(self, pattern: str, module: str, arguments: str = "") -> tuple[int, str]:
        binary = str(Path(sys.executable).with_name("ansible"))
        return self.run(binary, "-i", "fleet.yml", pattern, "-m", module, "-a", arguments)
