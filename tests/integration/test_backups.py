# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of real containers: made while they run, restored under other names, on other nodes; damaged, and refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import info, reconcile, record
from ansible_collections.carve.vps.plugins.module_utils.backups import ask
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.kernel import freezer
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.snapshots import ask as snapshots
from ansible_collections.carve.vps.tests.integration import killed_snapshot
from ansible_collections.carve.vps.tests.integration.own_node import fleet_of, own_node
from ansible_collections.carve.vps.tests.integration.snapshot_support import (
    being_made,
    damage_files,
    files_of,
    make_files,
)
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    box,
    exists,
    host,
    inside,
    start_time,
    wait_for,
)

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def options(fleet: Fleet, place: Path | str, *containers: str, **more: Any) -> dict[str, Any]:
    return {"state": "present", "containers": list(containers), "fleet": fleet.name, "place": str(place), "name": None,
            "restore_as": None, "lock_timeout": 30, **more}  # fmt: skip


def did(fleet: Fleet, place: Path | str, *containers: str, **more: Any) -> dict[str, Any]:
    """One call of ``carve.vps.backup``, held to what check mode says."""
    predicted = ask.run(options(fleet, place, *containers, **more), True)
    assert not predicted.get("failed"), predicted["msg"]
    result = ask.run(options(fleet, place, *containers, **more), False)
    assert not result.get("failed"), result["msg"]
    assert (result["changed"], result["containers"]) == (predicted["changed"], predicted["containers"])
    return result


def refused(fleet: Fleet, place: Path | str, *containers: str, check: bool = False, **more: Any) -> str:
    result = ask.run(options(fleet, place, *containers, **more), check)
    assert result.get("failed"), result
    assert being_made() == set() and list(Path(Paths().staging).iterdir()) == []
    return str(result["msg"])


def lying(place: Path) -> set[str]:
    """Every file at a place, by its path there."""
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("limit", [{}, {"disk": "96M"}], ids=["overlay", "filesystem of its own"])
def test_restored_under_another_name(fleet: Fleet, tmp_path: Path, limit: dict[str, str]) -> None:
    place = tmp_path / "place"
    place.mkdir()
    network = {"eth0": {"on": "lan", "ip": "10.213.0.5"}}
    fleet.declare("t-back", network=network, **limit)
    fleet.apply()
    booted("t-back")
    make_files("t-back")
    before, born, old = files_of("t-back"), start_time("t-back"), box("t-back").record
    made = did(fleet, place, "t-back", name="first")["backups"]["t-back"]
    assert start_time("t-back") == born and not freezer.is_frozen(host().cgroup, "t-back")
    template = f"_templates/base@{old.digest}-"
    data = {"carve-test/t-back/first/backup.json", "carve-test/t-back/first/data.tar.zst"}
    assert {path for path in lying(place) if not path.startswith(template)} == data and made["bytes"] < 3 << 20
    assert ask.run(options(fleet, place, "t-back", name="first"), False)["changed"] is False
    # The template is there once, whatever is backed up.
    stamps = {path: (place / path).stat().st_mtime_ns for path in lying(place) if path.startswith("_templates")}
    assert len(stamps) == 2
    damage_files("t-back")
    latest = did(fleet, place, "t-back")["name"]
    assert {path: (place / path).stat().st_mtime_ns for path in stamps} == stamps

    assert "there is a container t-back on this node already" in refused(
        fleet, place, "t-back", state="restored", name="first"
    )
    assert f"there is no backup lost of t-back; there is {latest}, first" in refused(
        fleet, place, "t-back", state="restored", name="lost"
    )
    did(fleet, place, "t-back", state="restored", name="first", restore_as="t-twin")
    twin = box("t-twin").record
    assert twin.uuid != old.uuid and twin.slot != old.slot and twin.fields["hostname"] == "t-twin"
    assert info.gather()["containers"]["t-twin"]["state"] == "stopped"
    # Both run beside each other; of the new one the manifest says what it is to have.
    fleet.declare("t-twin", network={"eth0": {"on": "lan", "ip": "10.213.0.6"}}, **limit)
    fleet.apply(ALL)
    booted("t-twin")
    assert files_of("t-twin") == before and start_time("t-back") == born
    assert inside("t-twin", "cat", "/etc/machine-id", "/etc/hostname").split() == [twin.uuid, "t-twin"]
    assert inside("t-twin", "stat", "--format=%u:%g", "/srv/data/of-a-user") == "1000:100"

    # Destroyed, and back as what it was; the newest is what was damaged.
    del fleet.containers["t-back"]
    fleet.apply(ALL)
    did(fleet, place, "t-back", state="restored")
    assert (box("t-back").record.uuid, box("t-back").record.slot) == (old.uuid, old.slot)
    fleet.declare("t-back", network=network, **limit)
    assert [step["action"] for step in fleet.apply()["steps"]] == ["start"]
    booted("t-back")
    assert inside("t-back", "cat", "/srv/data/plain") == "damaged"


def test_restored_on_another_node(base_template: dict[str, Any], tmp_path: Path) -> None:
    """One that has nothing of it: the very template comes with it, beside the one that this node makes."""
    place = tmp_path / "place"
    place.mkdir()
    with own_node(), fleet_of(base_template) as fleet:
        fleet.declare("x-back")
        fleet.apply()
        booted("x-back")
        make_files("x-back")
        before, old = files_of("x-back"), box("x-back").record
        did(fleet, place, "x-back")
    with own_node(), fleet_of(base_template) as fleet:
        fleet.declare("x-other", state="stopped")
        fleet.apply()
        did(fleet, place, "x-back", state="restored")
        record = box("x-back").record
        assert (record.uuid, record.digest, record.slot) == (old.uuid, old.digest, old.slot) and record.build
        fleet.declare("x-back")
        assert [step["action"] for step in fleet.apply()["steps"]] == ["start"]
        booted("x-back")
        assert files_of("x-back") == before
        assert len(info.gather()["templates"]["base"]) == 2
        assert box("x-other").record.build is None


def test_what_is_damaged_is_refused_in_one_sentence(fleet: Fleet, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fleet.declare("t-back-d", state="stopped")
    fleet.apply()
    did(fleet, place, "t-back-d", name="b")
    fleet.containers = {}
    fleet.apply(ALL)
    data = place / "carve-test/t-back-d/b/data.tar.zst"
    about = place / "carve-test/t-back-d/b/backup.json"
    whole, words = data.read_bytes(), about.read_text(encoding="utf-8")
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b""):
        data.write_bytes(damaged)
        message = refused(fleet, place, "t-back-d", state="restored", name="b")
        assert message.startswith("carve-test/t-back-d/b/data.tar.zst is damaged: its SHA-256 is ")
        assert "\n" not in message and not exists("t-back-d")
    data.write_bytes(whole)
    about.write_text(words.replace('"files": ', '"files": 1'), encoding="utf-8")
    for check in (True, False):
        message = refused(fleet, place, "t-back-d", state="restored", name="b", check=check)
        assert message == "carve-test/t-back-d/b is damaged: it is not as it was written"
    about.write_text(words, encoding="utf-8")
    did(fleet, place, "t-back-d", state="restored", name="b")
    assert exists("t-back-d")


def test_a_damaged_template_is_refused_too(base_template: dict[str, Any], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with own_node(), fleet_of(base_template) as fleet:
        fleet.declare("x-back", state="stopped")
        fleet.apply()
        did(fleet, place, "x-back", name="b")
    (archive,) = place.glob("_templates/*/rootfs.tar.zst")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with own_node(), fleet_of(base_template) as fleet:
        message = refused(fleet, place, "x-back", state="restored", name="b")
        assert "rootfs.tar.zst is damaged: its SHA-256 is" in message
        assert not exists("x-back") and info.gather()["templates"] == {}


def test_a_full_place_leaves_nothing_half_made(fleet: Fleet, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fleet.declare("t-back-f")
    fleet.apply()
    booted("t-back-f")
    did(fleet, place, "t-back-f", name="whole")
    inside("t-back-f", "dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=8")
    small = place / "carve-test"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        assert "No space left on device" in refused(fleet, place, "t-back-f", name="b")
        assert lying(small) == set() and list((small / "t-back-f").iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert not freezer.is_frozen(host().cgroup, "t-back-f")
    did(fleet, place, "t-back-f", name="b")


def test_a_copy_too_where_no_overlay_can_be(fleet: Fleet, tmp_path: Path) -> None:
    """Without a template below: snapshot, roll back, backup, and another container with other ids."""
    for name in ("lower", "upper", "work", "carve", "place"):
        (tmp_path / name).mkdir(mode=0o755)
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(tmp_path / "carve")], check=True)
    elsewhere = Host(paths=Paths(base=str(tmp_path / "carve")))

    def call(what: Any, **options: Any) -> None:
        result = what.run({"fleet": fleet.name, "lock_timeout": 30, "allow": [], **options}, False, elsewhere)
        assert not result.get("failed"), result["msg"]

    def told(name: str) -> dict[str, tuple[Any, ...]]:
        kept = record.load(elsewhere.paths.container(name))
        assert kept is not None and kept.backend == "copy"
        top = Path(elsewhere.paths.container(name), "copy")
        found = {}
        for path in sorted(top.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            owner = status.st_uid - kept.base_id, status.st_gid - kept.base_id
            attributes = len(os.listxattr(path, follow_symlinks=False))
            found[str(path.relative_to(top))] = (status.st_mode, *owner, hash(content), attributes)
        # Its own: what is written with a name or an identity.
        return {path: row for path, row in found.items() if path not in ("etc/hostname", "etc/machine-id", "etc/hosts")}

    fleet.declare("t-copy", state="stopped")
    try:
        result = reconcile.run(fleet.params(ALL), False, host=elsewhere)
        assert not result.get("failed"), result["msg"]
        before = told("t-copy")
        assert before["usr/bin/su"][:3] == (0o104755, 0, 0)
        call(snapshots, state="present", name="s", containers=["t-copy"])
        Path(elsewhere.paths.container("t-copy"), "copy/usr/bin/su").unlink()
        assert told("t-copy") != before
        call(snapshots, state="rolled_back", name="s", containers=["t-copy"])
        assert told("t-copy") == before
        call(ask, state="present", name="b", containers=["t-copy"], place=str(tmp_path / "place"))
        assert not (tmp_path / "place/_templates").exists()
        call(
            ask, state="restored", name="b", containers=["t-copy"], restore_as="t-copy2", place=str(tmp_path / "place")
        )
        assert told("t-copy2") == before
    finally:
        fleet.containers.clear()
        reconcile.run(fleet.params(ALL), False, host=elsewhere)
        subprocess.run(["umount", "-l", str(tmp_path / "carve")], check=True)


# Over SSH.


@contextlib.contextmanager
def server(directory: Path) -> Iterator[tuple[int, str, Path]]:
    """A real sshd for root on this machine: its port, its host key, the private key that it lets in."""
    for name in ("host", "user"):
        key = str(directory / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {directory}/host", "PidFile none", "UsePAM no",
             f"AuthorizedKeysFile {directory}/user.pub", "StrictModes no", "PermitRootLogin yes"]  # fmt: skip
    (directory / "config").write_text("\n".join(lines) + "\n", encoding="ascii")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    running = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "config")], stderr=subprocess.DEVNULL
    )
    try:
        wait_for("sshd to listen", lambda: _answers(port))
        yield port, (directory / "host.pub").read_text(encoding="ascii").strip(), directory / "user"
    finally:
        running.terminate()
        running.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as line:
        return line.recv(4) == b"SSH-"
    return False


def test_over_ssh(fleet: Fleet, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fleet.declare("t-back-s")
    fleet.apply()
    booted("t-back-s")
    make_files("t-back-s")
    before = files_of("t-back-s")
    with server(tmp_path) as (port, host_key, key):
        far = f"ssh://root@127.0.0.1:{port}{place}"
        known = {"ssh_key": str(key), "host_key": host_key}
        did(fleet, far, "t-back-s", **known)
        assert len(lying(place)) == 4 and all((place / path).stat().st_mode & 0o077 == 0 for path in lying(place))
        assert ask.run(options(fleet, far, "t-back-s", name="x", **known), True)["changed"]
        other = {**known, "host_key": (tmp_path / "user.pub").read_text(encoding="ascii").strip()}
        assert "Host key verification failed" in refused(fleet, far, "t-back-s", **other)
        assert f"127.0.0.1: there is no directory {tmp_path}/nowhere; make it" in refused(
            fleet, f"ssh://root@127.0.0.1:{port}{tmp_path}/nowhere", "t-back-s", **known
        )
        did(fleet, far, "t-back-s", state="restored", restore_as="t-back-s2", **known)
    fleet.declare("t-back-s2")
    fleet.apply()
    booted("t-back-s2")
    assert files_of("t-back-s2") == before
    assert "Connection refused" in refused(fleet, far, "t-back-s", **known)


# Killed.


def killed(fleet: Fleet, point: str, place: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, killed_snapshot.__file__, "backups", point],
        input=json.dumps(options(fleet, place, "x-back", **more)),
        text=True, capture_output=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip


def points(fleet: Fleet, most: int, place: Path, **more: Any) -> list[str]:
    result = killed(fleet, "never", place, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    found: list[str] = json.loads(result.stdout)["points"]
    every = "CARVE_TEST_ALL_POINTS" in os.environ
    return found if every else [found[i * len(found) // most] for i in range(most)]


def test_killed_at_any_instant(base_template: dict[str, Any], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with own_node(), fleet_of(base_template) as fleet:
        fleet.declare("x-back", stop_timeout=0)
        fleet.apply()
        # The template goes once: the runs that are killed have only the points of one that finds it there.
        assert ask.run(options(fleet, place, "x-back", name="first"), False).get("failed") is None
        todo, reached = points(fleet, 8, place, name="peace"), 0
        for number, point in enumerate(todo):
            result = killed(fleet, point, place, name=f"b{number}")
            assert result.returncode in (0, -signal.SIGKILL), f"{point}: {result.stdout}{result.stderr}"
            reached += result.returncode != 0
            wait_for("it to be thawed", lambda: not freezer.is_frozen(host().cgroup, "x-back"), 10)
            assert ask.run(options(fleet, place, "x-back", name=f"b{number}"), False).get("failed") is None, point
            assert [path for path in lying(place) if "/." in path] == [], point
            assert being_made() == set(), point
        assert reached > len(todo) * 0.8, f"{reached} of {len(todo)} runs were killed"

        restoring = {"state": "restored", "name": "peace", "restore_as": "x-again"}
        fleet.options = {"prune": False}
        todo = points(fleet, 8, place, **restoring)
        for point in todo:
            fleet.containers["x-again"] = {"template": "base", "state": "absent"}
            assert not fleet.run(ALL).get("failed") and not exists("x-again")
            assert killed(fleet, point, place, **restoring).returncode in (0, -signal.SIGKILL), point
            # Whole, or not there.
            del fleet.containers["x-again"]
            again = ask.run(options(fleet, place, "x-back", **restoring), False)
            assert bool(again.get("failed")) == ("there is a container x-again" in again.get("msg", "")), again
            fleet.declare("x-again", stop_timeout=0)
            result = fleet.run(ALL)
            assert not result.get("failed") and list(Path(Paths().staging).iterdir()) == [], point
            assert inside("x-again", "cat", "/etc/hostname") == "x-again", point
        fleet.options = {}
