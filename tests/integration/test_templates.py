# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates: how they are built, that versions live side by side, and what a changed one does to its containers."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import definitions, plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.own_node import fleet_of, own_node
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    Result,
    booted,
    box,
    brief,
    deeds,
    exists,
    inside,
    sha256,
    start_time,
)

ETH0 = {"eth0": {"on": "public", "ip": "198.51.100.5"}}


@pytest.fixture(scope="module", autouse=True)
def _node() -> Iterator[None]:
    with own_node():
        yield


@pytest.fixture
def fleet(base_template: dict[str, Any]) -> Iterator[Fleet]:
    with fleet_of(base_template) as made:  # pylint: disable=contextmanager-generator-missing-cleanup
        yield made


@pytest.fixture
def crumb(tmp_path: Path) -> dict[str, Any]:
    """An archive that is enough for a template, though not for a container that starts."""
    for name in ("bin", "etc"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root/etc/crumb").write_text("crumb\n", encoding="utf-8")
    with tarfile.open(tmp_path / "crumb.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "root", ".")
    return {"archive": str(tmp_path / "crumb.tar.gz"), "sha256": sha256(tmp_path / "crumb.tar.gz")}


def digest(fleet: Fleet, name: str) -> str:
    return definitions.parse(fleet.templates)[0][name].digest


def version(fleet: Fleet, name: str) -> Path:
    return Path(Paths().template(name, digest(fleet, name)))


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
            status = os.lstat(f"{directory}/{name}")
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


def test_a_system_built_from_packages(fleet: Fleet) -> None:
    fleet.templates["built"] = {
        "build": {"suite": "trixie", "packages": ["less"]},
        "commands": ["echo yes >/etc/built"],
    }
    fleet.declare("x-one", template="built", ram="192M")
    assert brief(fleet.apply()) == ["build built", "create x-one", "start x-one power"]
    made = version(fleet, "built") / "rootfs"
    assert (made / "etc/machine-id").read_text(encoding="ascii") == "uninitialized\n"
    assert not (made / "etc/hostname").exists()
    assert not (made / "usr/sbin/policy-rc.d").exists()
    booted("x-one")
    assert inside("x-one", "systemctl", "is-system-running") == "running"
    assert inside("x-one", "cat", "/etc/built") == "yes"
    assert inside("x-one", "less", "--version").startswith("less ")
    assert "trixie" in inside("x-one", "cat", "/etc/os-release")


def test_one_template_from_another_and_versions_side_by_side(fleet: Fleet) -> None:
    fleet.templates["tool"] = {
        "from": "base",
        "commands": ["echo 1 >/etc/tool", "test -d /proc/self && cp /etc/tool /opt/"],
    }
    fleet.declare("x-pin", template="tool", template_policy="pin", ram="128M")
    fleet.declare("x-warn", template="tool", ram="128M")
    fleet.apply()
    old, first = digest(fleet, "tool"), tree(version(fleet, "tool"))
    fleet.templates["tool"] = {"from": "base", "commands": ["echo 2 >/etc/tool"]}
    fleet.declare("x-new", template="tool", ram="128M")
    result = fleet.apply()
    assert brief(result) == ["build tool", "create x-new", "start x-new power"]
    new = digest(fleet, "tool")
    assert result["notes"] == [
        f"x-warn was made from tool@{old}; its template is now tool@{new} (template_policy: warn)"
    ]
    assert [inside(name, "cat", "/etc/tool") for name in ("x-pin", "x-warn", "x-new")] == ["1", "1", "2"]
    assert inside("x-pin", "cat", "/opt/tool") == "1"
    assert versions("tool") == {old, new}

    # What one container writes neither another nor the template sees.
    inside(
        "x-pin", "sh", "-c", "echo mine >/etc/tool; rm -r /usr/share/doc; chmod 600 /usr/bin/env; touch /etc/only-mine"
    )
    assert inside("x-warn", "cat", "/etc/tool") == "1"
    assert inside("x-warn", "stat", "-c", "%a", "/usr/bin/env") == "755"
    assert inside("x-warn", "ls", "-d", "/usr/share/doc") == "/usr/share/doc"
    assert "only-mine" not in inside("x-warn", "ls", "/etc")
    assert tree(Path(Paths().template("tool", old))) == first

    # Only what nothing is made from, and nothing declares, is collected; another fleet's counts too.
    other = Fleet(
        "carve-x-other", {"tool": {"from": "base", "commands": ["echo 3 >/etc/tool"]}, "base": fleet.templates["base"]}
    )
    other.declare("x-other", template="tool", state="stopped")
    other.apply()
    assert len(versions("tool")) == 3
    assert templates_only(fleet, collect=True)["steps"] == []
    del fleet.containers["x-warn"], fleet.containers["x-pin"]
    fleet.apply(ALL)
    predicted = templates_only(fleet, collect=True, check=True)
    collected = templates_only(fleet, collect=True)
    assert deeds(collected) == deeds(predicted)
    assert brief(collected) == ["collect tool"]
    assert versions("tool") == {new, digest(other, "tool")}
    assert inside("x-new", "cat", "/etc/tool") == "2"
    other.destroy()


def test_a_rebuild_waits_for_leave_and_keeps_who_the_container_is(fleet: Fleet) -> None:
    fleet.templates["tool"] = {"from": "base", "commands": ["echo 1 >/etc/tool"]}
    options = {"template": "tool", "template_policy": "rebuild", "ram": "128M", "hostname": "one.example.net",
               "hosts": {"db.internal": "10.0.0.9"}, "ssh_keys": ["ssh-ed25519 AAAA ops"], "network": ETH0}  # fmt: skip
    fleet.declare("x-one", **options)
    fleet.declare("x-shut", **{**options, "network": {}}, state="stopped")
    fleet.declare("x-safe", **{**options, "network": {}}, state="stopped", protect=True)
    fleet.apply()
    inside("x-one", "sh", "-c", "echo data >/root/data")

    def who() -> list[str]:
        return [box("x-one").record.uuid, *(inside("x-one", *command) for command in (
            ["cat", "/etc/machine-id"], ["cat", "/sys/class/net/eth0/address"], ["cat", "/proc/self/uid_map"],
            ["hostname"], ["cat", "/etc/hosts"], ["cat", "/root/.ssh/authorized_keys"], ["ip", "route"],
        ))]  # fmt: skip

    before, born = who(), start_time("x-one")
    assert before[0] == before[1]
    fleet.templates["tool"] = {"from": "base", "commands": ["echo 2 >/etc/tool"]}
    held = fleet.apply()
    assert {step["name"]: step["held"] for step in held["steps"]} == {
        "x-one": "needs allow: rebuild", "x-shut": "needs allow: rebuild",
        "x-safe": "is protected; apply protect: false first",
    }  # fmt: skip
    assert start_time("x-one") == born and inside("x-one", "cat", "/root/data") == "data"
    result = fleet.apply(["rebuild"])
    assert brief(result)[:1] == ["build tool"]
    assert sorted(brief(result)[1:]) == ["rebuild x-one", "rebuild x-safe", "rebuild x-shut"]
    assert who() == before
    assert start_time("x-one") != born
    assert inside("x-one", "cat", "/etc/tool") == "2"
    assert "data" not in inside("x-one", "ls", "/root").split()
    assert box("x-shut").pid is None and box("x-shut").record.digest == digest(fleet, "tool")
    assert box("x-safe").record.digest != digest(fleet, "tool")
    # A second rebuild starts from what the first has recorded.
    fleet.templates["tool"] = {"from": "base", "commands": ["echo 3 >/etc/tool"]}
    fleet.apply(["rebuild"])
    assert who() == before
    del fleet.containers["x-safe"]["protect"]
    fleet.apply(["rebuild"])
    fleet.apply(["rebuild"])
    assert box("x-safe").record.digest == digest(fleet, "tool")


def test_what_cannot_be_built_says_why_and_leaves_nothing(fleet: Fleet, crumb: dict[str, Any]) -> None:
    fleet.templates = {
        "good": crumb,
        "wrong": {**crumb, "sha256": "0" * 64},
        "missing": {"archive": "/nonesuch/root.tar.xz", "sha256": "0" * 64},
        "unreachable": {"archive": "http://127.0.0.1:9/root.tar", "sha256": "0" * 64},
        "failing": {
            "from": "base",
            "commands": ["echo step one", "echo the disk is full of eels >&2; exit 3", "touch /no"],
        },
        "unknown": {"from": "base", "packages": ["no-such-package-anywhere"]},
        "child": {"from": "failing"},
        "base": fleet.templates["base"],
    }
    result = templates_only(fleet)
    assert result["failed"]
    wanted = {
        "wrong": f"{crumb['archive']} has the SHA-256 digest {crumb['sha256']}, not the declared {'0' * 64}",
        "missing": "/nonesuch/root.tar.xz cannot be read on this node: No such file or directory",
        "unreachable": "http://127.0.0.1:9/root.tar",
        "failing": "the disk is full of eels",
        "unknown": "no-such-package-anywhere",
    }
    for name, words in wanted.items():
        assert any(e.startswith(f"template {name}: build: ") and words in e for e in result["errors"]), (name, result)
    assert len(result["errors"]) == len(wanted)
    assert {step["name"]: step["status"] for step in result["steps"]} == {
        **dict.fromkeys(wanted, "failed"), "good": "done", "base": "done", "child": "not tried",
    }  # fmt: skip
    for name in (*wanted, "child"):
        assert versions(name) == set(), name
    assert versions("good") == {digest(fleet, "good")}
    assert (version(fleet, "good") / "rootfs/etc/crumb").read_text(encoding="utf-8") == "crumb\n"
    assert list(Path(Paths().staging).iterdir()) == []
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert f"{Paths().base}/" not in mounts


def test_a_container_is_not_made_where_its_template_fails_but_others_are(fleet: Fleet) -> None:
    fleet.templates["failing"] = {"from": "base", "commands": ["false"]}
    fleet.declare("x-one", template="failing")
    fleet.declare("x-two", state="stopped")
    result = fleet.run()
    assert result["failed"] and result["msg"].startswith("template failing: build: ")
    assert {step["name"]: step["status"] for step in result["steps"] if step["kind"] == "container"} == {
        "x-one": "not tried", "x-two": "done"
    }  # fmt: skip
    assert exists("x-two") and not exists("x-one")
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
        fleet.templates = {"fetched": {"archive": url, "sha256": crumb["sha256"]},
                           "gone": {"archive": f"{url}.gone", "sha256": crumb["sha256"]}}  # fmt: skip
        result = templates_only(fleet)
        server.shutdown()
    (error,) = result["errors"]
    assert error.startswith("template gone: build: ") and "404" in error
    assert (version(fleet, "fetched") / "rootfs/etc/crumb").read_text(encoding="utf-8") == "crumb\n"
    assert sorted(entry.name for entry in version(fleet, "fetched").iterdir()) == ["rootfs", "template.json"]
