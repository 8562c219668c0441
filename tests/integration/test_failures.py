# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens when the world is not as it should be: the disk is full, the package mirror is broken."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import reconcile
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.own_node import fleet_of, own_node, run
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, exists, sha256

SIZE = 48 << 20


@pytest.fixture
def fleet(base_template: dict[str, Any], tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on a node of its own, whose disk is small."""
    image = tmp_path / "disk"
    with image.open("wb") as handle:
        handle.truncate(SIZE)
    run("mkfs.ext4", "-q", "-m", "0", str(image))
    with own_node():
        run("mount", "-o", "loop", str(image), Paths().base)
        try:
            # pylint: disable-next=contextmanager-generator-missing-cleanup
            with fleet_of(base_template) as made:
                yield made
        finally:
            run("umount", Paths().base)


@pytest.fixture
def crumb(tmp_path: Path) -> dict[str, Any]:
    """An archive that is enough for a template, though not for a container that starts."""
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/crumb").write_text("crumb\n", encoding="utf-8")
    with tarfile.open(tmp_path / "crumb.tar", "w") as archive:
        archive.add(tmp_path / "root", ".")
    return {"archive": str(tmp_path / "crumb.tar"), "sha256": sha256(tmp_path / "crumb.tar")}


def free() -> int:
    disk = os.statvfs(Paths().base)
    return disk.f_bavail * disk.f_frsize


def fill() -> Path:
    """Leave not a single byte."""
    ballast = Path(Paths().base, "ballast")
    with ballast.open("wb", buffering=0) as handle:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    handle.write(b"\1" * size)
            except OSError:
                continue
    os.sync()
    return ballast


def names_in(directory: str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


def test_a_disk_that_is_full_while_a_template_is_built(fleet: Fleet, crumb: dict[str, Any]) -> None:
    fleet.templates["small"] = crumb
    fleet.declare("x-one")
    fleet.declare("x-two", template="small", state="stopped")
    before = free()
    result = fleet.run()
    assert {step["name"]: step["status"] for step in result["steps"] if step["action"] in ("build", "create")} == {
        "base": "failed", "small": "done", "x-one": "not tried", "x-two": "done",
    }  # fmt: skip
    (error,) = result["errors"]
    assert error.startswith(f"template base: build: the disk of {Paths().base} is full: no space is left of "), error
    assert "(tar --extract --file … ended with 2)" in error and "\n" not in error
    # Nothing is left of it, and what there was room for is there.
    assert names_in(Paths().templates) == ["small"] and names_in(Paths().staging) == []
    assert (exists("x-one"), exists("x-two")) == (False, True)
    assert before - free() < 1 << 20
    assert f"{Paths().base}/" not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    del fleet.containers["x-one"]
    assert fleet.check()["steps"] == []


def test_a_disk_that_is_full_while_containers_are_created(fleet: Fleet, crumb: dict[str, Any]) -> None:
    fleet.templates["small"] = crumb
    fleet.declare("x-one", template="small", state="stopped")
    fleet.apply()
    for name in ("x-two", "x-three"):
        fleet.declare(name, template="small", state="stopped")
    ballast = fill()
    result = fleet.run()
    assert {step["name"]: step["status"] for step in result["steps"]} == {"x-two": "failed", "x-three": "failed"}
    assert len(result["errors"]) == 2
    for error in result["errors"]:
        assert f"create: the disk of {Paths().base} is full: no space is left of " in error
    assert names_in(Paths().containers) == ["x-one"] and names_in(Paths().staging) == []
    # A change that cannot be recorded is not taken for done, either.
    fleet.containers = {"x-one": {**fleet.containers["x-one"], "ram": "1G", "hosts": {"a.x": "192.0.2.1"}}}
    result = fleet.run()
    assert result["failed"] and "is full: no space is left" in result["msg"], result["msg"]
    assert [step["name"] for step in fleet.check()["steps"]] != []
    # With room again, the next run does all of it.
    ballast.unlink()
    for name in ("x-two", "x-three"):
        fleet.declare(name, template="small", state="stopped")
    fleet.apply(ALL)
    assert names_in(Paths().containers) == ["x-one", "x-three", "x-two"] and names_in(Paths().staging) == []


def test_a_broken_mirror_fails_in_its_own_words(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fleet.templates["built"] = {"build": {"suite": "trixie", "mirror": "http://127.0.0.1:9/debian"}}
    fleet.declare("x-one", template="built")
    result = fleet.run()
    assert [step["status"] for step in result["steps"]] == ["failed", "not tried", "not tried"]
    (error,) = result["errors"]
    assert error.startswith("template built: build: mmdebstrap ")
    assert "Could not connect to 127.0.0.1:9" in error and "Connection refused" in error, error
    assert names_in(Paths().templates) == names_in(Paths().staging) == names_in(Paths().containers) == []
    assert reconcile.run(fleet.params(), check=True)["steps"]
    fleet.containers.clear()
