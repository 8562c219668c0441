# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is handed out works where nothing of this checkout is: the wheel, and the collection's own archive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.carve.vps.tests.integration.support import exists, force_remove, pid

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = ("ansible-core==2.19.*", "pyroute2", "jsonschema", "pyyaml")


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_"))
    }
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, **environment},
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    assert result.returncode == 0, f"{command}: {result.stdout}"
    return result.stdout


@pytest.fixture(scope="module")
def empty_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment with Ansible and nothing of Carve's."""
    place = tmp_path_factory.mktemp("empty")
    _run("/usr/bin/python3", "-m", "venv", place / "venv", cwd=place)
    _run(place / "venv/bin/pip", "install", "--quiet", *CORE, cwd=place)
    return place


@pytest.fixture
def manifest(empty_place: Path, base_template: dict[str, Any]) -> Iterator[Path]:
    """The quickstart under other names, so that a demo on this host is left alone."""
    force_remove("q-")
    fleet = yaml.safe_load((REPOSITORY / "examples/quickstart/fleet.yml").read_text(encoding="utf-8"))
    fleet["fleet"] = "carve-test-artefact"
    fleet["templates"] = {"debian-13": base_template, "web": {"from": "debian-13", "commands": ["touch /web"]}}
    fleet["networks"]["lan"] |= {"bridge": "br-carveq", "subnet": "10.215.0.0/24", "gateway": "10.215.0.1"}
    fleet["networks"]["public"]["subnet"] = "198.18.115.0/24"
    fleet["containers"] = {f"q-{name}": options for name, options in fleet["containers"].items()}
    fleet["containers"]["q-web"]["network"] = {"eth0": {"on": "public", "ip": "198.18.115.10-11"}}
    fleet["containers"]["q-db"] |= {"protect": False, "network": {"eth0": {"on": "lan", "ip": "10.215.0.5"}}}
    path = empty_place / "fleet.yml"
    path.write_text(yaml.safe_dump(fleet, sort_keys=False), encoding="utf-8")
    yield path
    force_remove("q-")


def _bring_up_and_down(place: Path, *carve: str | Path, **environment: str) -> None:
    assert "3 containers: valid" in _run(*carve, "validate", "fleet.yml", cwd=place, **environment)
    _run(*carve, "apply", "fleet.yml", "--yes", cwd=place, **environment)
    assert all(pid(name) for name in ("q-web-1", "q-web-2", "q-db"))
    assert "as declared" in _run(*carve, "plan", "fleet.yml", cwd=place, **environment)
    _run(*carve, "destroy", "fleet.yml", "-e", "carve_destroy=carve-test-artefact", cwd=place, **environment)
    assert not exists("q-web-1")


def test_the_collection_archive(empty_place: Path, manifest: Path) -> None:
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    _run(galaxy, "collection", "build", "--output-path", empty_place, REPOSITORY, cwd=empty_place)
    (archive,) = empty_place.glob("carve-vps-*.tar.gz")
    names = _run("tar", "-tf", archive, cwd=empty_place).split()
    assert not [name for name in names if name.startswith((".venv", ".cache", ".git/", "tests/", "dist"))]
    there = empty_place / "collections"
    _run(
        empty_place / "venv/bin/ansible-galaxy",
        "collection",
        "install",
        "--offline",
        "-p",
        there,
        archive,
        cwd=empty_place,
    )
    module = "ansible_collections.carve.vps.plugins.plugin_utils.cli"
    _bring_up_and_down(
        empty_place,
        empty_place / "venv/bin/python",
        "-m",
        module,
        PYTHONPATH=str(there),
        ANSIBLE_COLLECTIONS_PATH=str(there),
    )


def test_the_wheel(empty_place: Path, manifest: Path) -> None:
    pip = empty_place / "venv/bin/pip"
    _run(pip, "install", "--quiet", "--no-deps", REPOSITORY, cwd=empty_place)
    _run(empty_place / "venv/bin/ansible-doc", "-t", "module", "carve.vps.node", cwd=empty_place)
    _bring_up_and_down(empty_place, empty_place / "venv/bin/carve")
