# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made from a template stays who it is when it is rebuilt, and the template stays what it is, come what may."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import definitions, plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    Result,
    box,
    brief,
    deeds,
    exists,
    inside,
    sha256,
    start_time,
)


@pytest.fixture
def crumb(tmp_path: Path) -> dict[str, Any]:
    """An archive that is enough for a template, though not for a container that starts."""
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/crumb").write_text("crumb\n", encoding="utf-8")
    with tarfile.open(tmp_path / "crumb.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "root", ".")
    return {"archive": str(tmp_path / "crumb.tar.gz"), "sha256": sha256(tmp_path / "crumb.tar.gz")}


def digest(fleet: Fleet, name: str) -> str:
    return definitions.parse(fleet.templates)[0][name].digest


def versions(name: str) -> set[str]:
    place = Path(Paths().templates, name)
    return {entry.name for entry in place.iterdir()} if place.exists() else set()


def templates_only(fleet: Fleet, collect: bool = False, check: bool = False) -> Result:
    """What the module carve.vps.template does."""
    return reconcile.run(fleet.params(ALL), check, plan_templates.planner(collect))


def tree(place: Path) -> str:
    """A digest of everything in a directory but the times of access."""
    total = hashlib.sha256()
    for directory, folders, files in sorted(os.walk(place)):
        for name in sorted((*folders, *files)):
            status = Path(directory, name).lstat()
            what = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
            total.update(f"{directory}/{name} {what}\n".encode())
    return total.hexdigest()


def test_a_rebuild_keeps_who_the_container_is(fleet: Fleet) -> None:
    fleet.templates["app"] = {"from": "base", "commands": ["echo 1 >/etc/app"]}
    options: dict[str, Any] = {
        "template": "app",
        "template_policy": "rebuild",
        "hostname": "one.example.net",
        "hosts": {"db.internal": "10.0.0.9"},
        "ssh_keys": ["ssh-ed25519 AAAA ops"],
    }
    fleet.declare("x-one", **options, network={"eth0": {"on": "public", "ip": "198.51.100.5"}})
    fleet.declare("x-shut", **options, state="stopped")
    fleet.declare("x-safe", **options, state="stopped", protect=True)
    fleet.apply()
    inside("x-one", "touch", "/root/data")

    def who() -> list[str]:
        commands = ("cat /etc/machine-id", "cat /sys/class/net/eth0/address", "cat /proc/self/uid_map", "hostname",
                    "cat /etc/hosts", "cat /root/.ssh/authorized_keys", "ip addr show eth0 scope global")  # fmt: skip
        seen = [inside("x-one", "sh", "-c", command) for command in commands]
        assert seen[0] == box("x-one").record.uuid
        return [line for text in seen for line in text.splitlines() if "eth0@" not in line]

    before, born = who(), start_time("x-one")
    fleet.templates["app"] = {"from": "base", "commands": ["echo 2 >/etc/app"]}
    held = fleet.apply()
    assert {step["name"]: step["held"] for step in held["steps"]} == {
        "x-one": "needs allow: rebuild",
        "x-shut": "needs allow: rebuild",
        "x-safe": "is protected; apply protect: false first",
    }
    assert start_time("x-one") == born and inside("x-one", "ls", "/root") == "data"
    assert brief(fleet.apply(["rebuild"])) == ["build app", "rebuild x-one", "rebuild x-safe", "rebuild x-shut"]
    assert who() == before
    assert start_time("x-one") != born
    assert inside("x-one", "cat", "/etc/app") == "2"
    assert inside("x-one", "ls", "/root") == ""
    assert box("x-shut").pid is None and box("x-shut").record.digest == digest(fleet, "app")
    # A second rebuild starts from what the first has recorded.
    fleet.templates["app"] = {"from": "base", "commands": ["echo 3 >/etc/app"]}
    fleet.apply(["rebuild"])
    assert who() == before
    # The guard goes by one run; what it held back is for the next.
    assert box("x-safe").record.digest != digest(fleet, "app")
    fleet.containers["x-safe"]["protect"] = False
    fleet.run(["rebuild"])
    assert box("x-safe").record.digest != digest(fleet, "app")
    assert brief(fleet.apply(["rebuild"])) == ["rebuild x-safe"]
    assert box("x-safe").record.digest == digest(fleet, "app")


def test_nobody_writes_to_a_template_or_into_anothers_root(fleet: Fleet) -> None:
    for name in ("x-one", "x-two"):
        fleet.declare(name)
    fleet.apply()
    template = Path(Paths().template("base", digest(fleet, "base")))
    before = tree(template)
    for command in (
        "echo mine >/etc/issue",
        "rm -r /usr/share/doc",
        "chmod 600 /usr/bin/env",
        "touch /etc/only-mine",
        "chown 7:7 /usr/bin/find",
        "mv /usr/bin/du /usr/bin/dudu",
        "ln /usr/bin/df /usr/bin/dfdf",
    ):
        inside("x-one", "sh", "-c", command)
    assert inside("x-two", "stat", "-c", "%a %u", "/usr/bin/env", "/usr/bin/find").split() == ["755", "0"] * 2
    assert "mine" not in inside("x-two", "cat", "/etc/issue")
    assert inside("x-two", "ls", "-d", "/usr/share/doc", "/usr/bin/du").split() == ["/usr/bin/du", "/usr/share/doc"]
    assert "only-mine" not in inside("x-two", "ls", "/etc")
    assert tree(template) == before


def test_only_what_no_fleet_uses_is_collected(fleet: Fleet) -> None:
    templates_only(fleet, collect=True)
    fleet.templates["app"] = {"from": "base", "commands": ["echo 1 >/etc/app"]}
    fleet.declare("x-one", template="app", state="stopped")
    fleet.apply()
    old = digest(fleet, "app")
    other = Fleet("carve-x-other", {**fleet.templates, "app": {"from": "base", "commands": ["echo 2 >/etc/app"]}})
    other.declare("x-other", template="app", state="stopped")
    other.apply()
    fleet.templates["app"] = {"from": "base", "commands": ["echo 3 >/etc/app"]}
    assert brief(templates_only(fleet)) == ["build app"]
    assert versions("app") == {old, digest(fleet, "app"), digest(other, "app")}
    assert templates_only(fleet, collect=True)["steps"] == []
    fleet.containers.clear()
    fleet.apply(ALL)
    predicted = templates_only(fleet, collect=True, check=True)
    collected = templates_only(fleet, collect=True)
    assert deeds(collected) == deeds(predicted)
    assert [(step["name"], step["changes"][0]["before"]) for step in collected["steps"]] == [("app", old)]
    assert versions("app") == {digest(fleet, "app"), digest(other, "app")}
    other.destroy()


def test_one_that_fails_holds_up_only_what_starts_from_it(fleet: Fleet, crumb: dict[str, Any]) -> None:
    fleet.templates |= {
        "good": crumb,
        "failing": {"from": "base", "commands": ["echo step one", "echo the disk is full of eels >&2; exit 3"]},
        "unknown": {"from": "base", "packages": ["no-such-package-anywhere"]},
        "child": {"from": "failing"},
    }
    fleet.declare("x-one", template="child")
    fleet.declare("x-two", template="good", state="stopped")
    fleet.declare("x-three", template="unknown")
    result = fleet.run()
    assert {f"{step['action']} {step['name']}": step["status"] for step in result["steps"]} == {
        "build failing": "failed",
        "build unknown": "failed",
        "build good": "done",
        "build child": "not tried",
        "create x-one": "not tried",
        "start x-one": "not tried",
        "create x-two": "done",
        "create x-three": "not tried",
        "start x-three": "not tried",
    }
    assert len(result["errors"]) == 2
    assert "ended with 3:\nthe disk is full of eels" in result["msg"] and "no-such-package-anywhere" in result["msg"]
    assert [versions(name) for name in ("failing", "unknown", "child")] == [set()] * 3
    assert [exists(name) for name in ("x-one", "x-two", "x-three")] == [False, True, False]
    assert list(Path(Paths().staging).iterdir()) == []
    assert f"{Paths().base}/" not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    del fleet.containers["x-three"]
    fleet.templates["failing"] = {"from": "base", "commands": ["true"]}
    fleet.apply()
    assert box("x-one").pid


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def test_an_archive_from_a_url(fleet: Fleet, crumb: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    archive = Path(crumb["archive"])
    handler = functools.partial(_Quiet, directory=str(archive.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{archive.name}"
        fleet.templates |= {
            "fetched": {"archive": url, "sha256": crumb["sha256"]},
            "gone": {"archive": f"{url}.gone", "sha256": crumb["sha256"]},
        }
        result = templates_only(fleet)
        server.shutdown()
    (error,) = result["errors"]
    assert error.startswith("template gone: build: ") and "404" in error
    place = Path(Paths().template("fetched", digest(fleet, "fetched")))
    assert (place / "rootfs/etc/crumb").read_text(encoding="utf-8") == "crumb\n"
    assert {entry.name for entry in place.iterdir()} == {"rootfs", "template.json"}
