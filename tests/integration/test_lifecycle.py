# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From nothing to running and back: what is created, started, kept, guarded and destroyed, and what never is."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files, info, lock, reconcile, record
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    box,
    brief,
    exists,
    host,
    inside,
    pid,
    start_time,
)


def _runs(name: str) -> bool:
    return lxc.init_pid(host(), name) is not None


def test_create_stop_keep_and_absent(fleet: Fleet) -> None:
    fleet.declare("t-one", ram="128M")
    fleet.declare("t-two", state="stopped", ram="128M")
    assert brief(fleet.apply()) == ["create t-one", "create t-two", "start t-one power"]
    assert _runs("t-one") and not _runs("t-two")

    fleet.declare("t-one", ram="128M", state="stopped")
    fleet.declare("t-two", ram="128M", state="keep")
    assert brief(fleet.apply()) == ["stop t-one power", "change t-two power"]
    assert not _runs("t-one") and not _runs("t-two")

    # A stopped container is configured like a running one, with no start for it.
    fleet.declare("t-two", ram="160M", hostname="two.example.net", state="keep")
    fleet.apply()
    assert not _runs("t-two")
    fleet.declare("t-two", ram="160M", hostname="two.example.net")
    fleet.apply()
    assert inside("t-two", "hostname") == "two.example.net"
    assert inside("t-two", "cat", "/etc/hostname") == "two.example.net"

    fleet.declare("t-one", state="absent")
    held = fleet.run()
    assert [step["held"] for step in held["steps"]] == ["needs allow: destroy"]
    assert exists("t-one")
    assert brief(fleet.apply(ALL)) == ["destroy t-one"]
    assert not exists("t-one")


def test_nothing_is_done_where_it_is_not_known_what_runs(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lxc, "_ANSWERING", 1)
    fleet.declare("t-one", ram="128M")
    fleet.apply()
    born = start_time("t-one")
    fleet.declare("t-one", ram="160M")
    monitor = int(files.read(Paths().monitor("t-one")) or 0)
    os.kill(monitor, signal.SIGSTOP)
    try:
        told = [fleet.check(), fleet.run(), info.gather(host())]
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert all("monitor of container t-one does not answer" in one["msg"] for one in told), told
    assert start_time("t-one") == born
    assert brief(fleet.apply()) == ["change t-one memory"]
    assert start_time("t-one") == born


def test_what_is_no_longer_declared_goes_only_by_leave(fleet: Fleet) -> None:
    fleet.declare("t-one")
    fleet.declare("t-two", protect=True)
    fleet.apply()
    fleet.containers.clear()
    result = fleet.apply()
    assert {step["name"]: step["held"] for step in result["steps"]} == {
        "t-one": "needs allow: destroy", "t-two": "is protected; apply protect: false first"
    }  # fmt: skip
    assert fleet.run(prune=False)["steps"] == []
    fleet.apply(ALL)
    assert not exists("t-one") and _runs("t-two")
    # The guard is on the node: it goes when it is declared gone, and only then.
    fleet.declare("t-two")
    fleet.apply()


def test_other_peoples_containers_are_listed_and_never_touched(fleet: Fleet) -> None:
    foreign = Path(Paths().container("t-foreign"))
    fleet.declare("t-one")
    fleet.apply()
    foreign.mkdir()
    try:
        (foreign / "config").write_text("lxc.uts.name = foreign\n", encoding="utf-8")
        other = Fleet("carve-test-other", fleet.templates)
        other.declare("t-other", state="stopped")
        other.apply()
        result = fleet.apply(ALL)
        assert result["steps"] == []
        assert {"t-foreign", "t-other"} <= set(result["unmanaged"])
        fleet.declare("t-other")
        refused = fleet.run(ALL)
        assert "belongs to fleet 'carve-test-other'" in refused["msg"]
        del fleet.containers["t-other"]
        other.destroy()
        assert (foreign / "config").read_text(encoding="utf-8") == "lxc.uts.name = foreign\n"
    finally:
        (foreign / "config").unlink()
        foreign.rmdir()


def test_a_restart_is_held_until_it_is_allowed_and_then_is_one(fleet: Fleet) -> None:
    fleet.declare("t-one", network={"eth0": {"on": "lan", "ip": "10.213.0.10"}})
    fleet.apply()
    born, identity = start_time("t-one"), box("t-one").record.uuid
    fleet.declare(
        "t-one",
        network={
            "eth0": {"on": "lan", "ip": "10.213.0.10", "mac": "02:00:00:00:00:07"},
            "eth1": {"on": "public", "ip": "198.18.113.10"},
        },
        ram="160M",
    )
    result = fleet.apply()
    assert [(step["action"], step["held"]) for step in result["steps"]] == [
        ("change", None), ("restart", "needs allow: restart")
    ]  # fmt: skip
    assert start_time("t-one") == born
    assert [step["action"] for step in fleet.apply(["restart"])["steps"]] == ["restart"]
    assert start_time("t-one") != born
    assert box("t-one").record.uuid == identity
    assert "02:00:00:00:00:07" in inside("t-one", "ip", "link", "show", "eth0")
    assert "198.18.113.10" in inside("t-one", "ip", "addr", "show", "eth1")


def test_bad_options_change_nothing(fleet: Fleet) -> None:
    fleet.declare("t-one", ram="lots", template="nonesuch", cpu_set="9-1")
    result = fleet.run(ALL)
    assert result["failed"]
    assert "containers.t-one.ram: 'lots' is not a size" in result["msg"]
    assert "containers.t-one.template: there is no template 'nonesuch'" in result["msg"]
    assert "containers.t-one.cpu_set: '9-1' runs backwards; write 1-9" in result["msg"]
    assert not exists("t-one")
    fleet.declare("t-one", cpu_set="4095")
    assert "names processors that this node has not" in fleet.run(ALL)["msg"]
    assert not exists("t-one")
    fleet.containers.clear()


def test_two_runs_at_once_name_the_one_that_holds_the_node(fleet: Fleet) -> None:
    fleet.declare("t-one")
    with lock.held(Paths(), True, {"fleet": "somebody's"}, 0):
        for check in (True, False):
            params = fleet.params(lock_timeout=0)
            result = reconcile.run(params, check)
            assert f"the node is locked by process {os.getpid()}" in result["msg"]
            assert "fleet somebody's" in result["msg"]
    assert not exists("t-one")
    fleet.containers.clear()


@pytest.fixture
def lowly_storage(tmp_path: Path) -> Path:
    """A place whose file system can carry no upper layer: an overlay."""
    for name in ("lower", "upper", "work", "carve"):
        (tmp_path / name).mkdir(mode=0o755)
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(tmp_path / "carve")], check=True)
    return tmp_path / "carve"


def test_where_no_overlay_can_be_the_root_filesystem_is_a_copy(fleet: Fleet, lowly_storage: Path) -> None:
    elsewhere = Host(paths=Paths(base=str(lowly_storage)))
    fleet.declare("t-copy", ram="128M")
    try:
        result = reconcile.run(fleet.params(ALL), False, host=elsewhere)
        assert not result.get("failed"), result["msg"]
        found = record.load(elsewhere.paths.container("t-copy"))
        assert found is not None and found.backend == "copy"
        shell = ["lxc-attach", "-P", elsewhere.paths.containers, "-n", "t-copy", "--clear-env", "--"]
        owner = subprocess.run(
            [*shell, "stat", "-c", "%u %a", "/etc/passwd", "/usr/bin/su"], check=True, capture_output=True, text=True
        )
        assert owner.stdout.split() == ["0", "644", "0", "4755"]
        assert reconcile.run(fleet.params(ALL), True, host=elsewhere)["steps"] == []
    finally:
        fleet.containers.clear()
        reconcile.run(fleet.params(ALL), False, host=elsewhere)
        subprocess.run(["umount", "-l", str(lowly_storage)], check=True)


def test_the_container_is_a_whole_system(fleet: Fleet) -> None:
    fleet.declare("t-one", ram="160M")
    fleet.apply()
    booted("t-one")
    assert inside("t-one", "systemctl", "is-system-running") == "running"
    assert inside("t-one", "cat", "/etc/machine-id") == box("t-one").record.uuid
    assert pid("t-one")
