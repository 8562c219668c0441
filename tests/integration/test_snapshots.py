# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of real containers: taken while they run, gone back to, kept by schedules."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import info, plan_templates, reconcile, trees
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import look
from ansible_collections.carve.vps.plugins.module_utils.kernel import cgroup, freezer, loop
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.plugins.module_utils.snapshots import scheduled, shelf, take
from ansible_collections.carve.vps.tests.integration.snapshot_support import (
    being_made,
    damage_files,
    did,
    files_of,
    kept,
    make_files,
    snapshot,
)
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    host,
    inside,
    pid,
    start_time,
    wait_for,
)

RESTART = {"state": "rolled_back", "allow": ["restart"]}


@pytest.mark.parametrize("limit", [{}, {"disk": "96M"}], ids=["overlay", "filesystem of its own"])
def test_taken_damaged_and_rolled_back(fleet: Fleet, limit: dict[str, str]) -> None:
    fleet.declare("t-snap", hosts={"db.x": "10.0.0.9"}, **limit)
    fleet.apply()
    booted("t-snap")
    make_files("t-snap")
    before, born = files_of("t-snap"), start_time("t-snap")
    result = did(fleet, "good", "t-snap")
    assert result["changed"] and kept("t-snap") == {"good"} and being_made() == set()
    assert start_time("t-snap") == born and not freezer.is_frozen(host().cgroup, "t-snap")
    assert not did(fleet, "good", "t-snap")["changed"]

    damage_files("t-snap")
    assert files_of("t-snap") != before
    # What has been declared since stays so.
    fleet.declare("t-snap", hosts={"db.x": "10.0.0.10"}, hostname="other.example", **limit)
    fleet.apply()
    refused = snapshot(fleet, "good", "t-snap", state="rolled_back")
    assert refused["msg"] == "t-snap runs, and is restarted to be rolled back; allow: restart, or stop it first"
    assert start_time("t-snap") == born

    did(fleet, "good", "t-snap", **RESTART)
    booted("t-snap")
    assert start_time("t-snap") != born and files_of("t-snap") == before
    assert fleet.check()["steps"] == [] and inside("t-snap", "hostname") == "other.example"
    assert inside("t-snap", "getent", "hosts", "db.x").split()[0] == "10.0.0.10"

    # And while it stands: nothing is started then.
    damage_files("t-snap")
    did(fleet, "bad", "t-snap")
    fleet.declare("t-snap", state="stopped", **limit)
    fleet.apply()
    did(fleet, "good", "t-snap", state="rolled_back")
    assert info.gather()["containers"]["t-snap"]["state"] == "stopped"
    fleet.declare("t-snap", **limit)
    fleet.apply()
    booted("t-snap")
    assert files_of("t-snap") == before

    found = info.gather()["containers"]["t-snap"]
    assert set(found["snapshots"]) == {"good", "bad"}
    good = found["snapshots"]["good"]
    assert good["bytes"] > 300_000 and good["files"] > 10 and good["schedule"] is None
    assert found["snapshots_bytes"] == good["bytes"] + found["snapshots"]["bad"]["bytes"]
    assert did(fleet, "bad", "t-snap", state="absent")["changed"] and kept("t-snap") == {"good"}
    assert not did(fleet, "bad", "t-snap", state="absent")["changed"]

    # They go with the container, and the plan says so.
    fleet.containers = {}
    assert [step["reason"] for step in fleet.apply(ALL)["steps"]] == ["no longer declared; with 1 snapshot of it"]
    assert kept("t-snap") == set() and being_made() == set()


# In the container's control group, and otherwise outside: what is there has no mmap.
_WRITER = """
import mmap, os, sys
os.chdir(sys.argv[1])
sys.stdin.readline()
one, two = os.open("one", os.O_CREAT | os.O_WRONLY), os.open("two", os.O_CREAT | os.O_WRONLY)
maps = []
for name in ("three", "four"):
    fd = os.open(name, os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 4096)
    maps.append(mmap.mmap(fd, 4096))
number = 0
while True:
    number += 1
    os.write(one, b".")
    os.write(two, b".")
    for each in maps:
        each[:8] = number.to_bytes(8, "big")
"""


@contextlib.contextmanager
def writer_in(name: str) -> Iterator[subprocess.Popen[str]]:
    init, group = pid(name), host().cgroup
    command = [sys.executable, "-c", _WRITER, f"/proc/{init}/root/srv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        try:
            if group.version == 2:
                inner = Path(f"/proc/{init}/cgroup").read_text(encoding="ascii").strip().removeprefix("0::")
                Path(f"{cgroup.ROOT}{inner}/cgroup.procs").write_text(str(process.pid), encoding="ascii")
            else:
                group.write(name, "freezer", "cgroup.procs", process.pid)
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def test_no_moment_is_torn(fleet: Fleet) -> None:
    """Files that are written to one after the other, by write(2) and in mapped memory, all the while that they are
    copied: no snapshot has the second without the first, nor anything that is older than the snapshot."""
    fleet.declare("t-snap-w")
    fleet.apply()
    booted("t-snap-w")
    layer = Path(Paths().container("t-snap-w"), "upper/srv")
    with writer_in("t-snap-w") as writer:
        wait_for("the writer to write", lambda: (layer / "four").exists() and (layer / "two").stat().st_size > 1000)
        born = start_time("t-snap-w")
        for number in range(5):
            least = (layer / "two").stat().st_size, int.from_bytes((layer / "four").read_bytes()[:8], "big")
            did(fleet, f"s{number}", "t-snap-w")
            copy = Path(Paths().snapshot("t-snap-w", f"s{number}"), "upper/srv")
            one, two = ((copy / name).stat().st_size for name in ("one", "two"))
            three, four = (int.from_bytes((copy / name).read_bytes()[:8], "big") for name in ("three", "four"))
            assert 0 <= one - two <= 1 and 0 <= three - four <= 1, (one, two, three, four)
            assert two >= least[0] and four >= least[1], (least, two, four)
            assert two - four in (0, 1), (two, four)
        assert writer.poll() is None and start_time("t-snap-w") == born


def test_schedules_are_kept_without_a_controller(fleet: Fleet) -> None:
    fleet.declare("t-snap-s", state="stopped", snapshots={"often": {"every": "60m", "keep": 2}})
    fleet.apply()
    assert not kept("t-snap-s")
    done = subprocess.run([f"{LIBRARY}/scheduled"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (first,) = kept("t-snap-s")
    assert first.startswith("often-") and shelf.listed(Paths(), "t-snap-s")[0].about["schedule"] == "often"
    did(fleet, "by-hand", "t-snap-s")

    now = shelf.listed(Paths(), "t-snap-s")[0].taken.time.replace(minute=30)
    assert scheduled.keep(host(), now) == [] and kept("t-snap-s") == {first, "by-hand"}
    # The clock of what was taken is the real one, so the past is made: these are of earlier hours.
    for number, hours in ((0, 4), (1, 3)):
        did(fleet, f"old-{number}", "t-snap-s")
        _make_older(f"old-{number}", hours, "often")
    assert scheduled.keep(host(), now) == [] and kept("t-snap-s") == {first, "old-1", "by-hand"}

    # No longer declared: what there is stays for as long as it would have stayed, and nothing new comes.
    fleet.declare("t-snap-s", state="stopped")
    assert [step["facet"] for step in fleet.apply()["steps"]] == ["snapshots"]
    assert scheduled.keep(host(), now) == [] and kept("t-snap-s") == {first, "by-hand"}
    assert scheduled.keep(host(), now + timedelta(hours=4)) == [] and kept("t-snap-s") == {"by-hand"}


def test_a_schedule_whose_memory_cannot_be_kept_keeps_the_files_and_says_so_once(fleet: Fleet) -> None:
    schedules = {"daily": {"every": "1d", "keep": 1, "memory": True}}
    fleet.declare("t-snap-m", live_migration=True, snapshots=schedules)
    fleet.apply()
    booted("t-snap-m")
    lacking = look.lacking(host())
    now = datetime.now(UTC)
    said = [f"{name}: {failure}" for name, failure in scheduled.keep(host(), now)]
    (one,) = shelf.listed(Paths(), "t-snap-m")
    assert (one.about["schedule"], one.memory is None) == ("daily", bool(lacking))
    why = f"t-snap-m: {one.name} has the files alone, for the memory cannot be kept: "
    assert [line.partition(lacking[0])[0] for line in said] == [why] if lacking else said == []
    assert scheduled.keep(host(), now) == []


def _make_older(name: str, hours: int, schedule: str) -> None:
    from ansible_collections.carve.vps.plugins.module_utils import files

    path = f"{Paths().snapshot('t-snap-s', name)}/{shelf.ABOUT}"
    about = files.read_json(path)
    then = datetime.now(UTC) - timedelta(hours=hours)
    files.write_json(path, {**about, "taken": then.strftime("%Y-%m-%dT%H:%M:%SZ"), "schedule": schedule}, mode=0o600)


def test_what_was_destroyed_while_it_was_copied_leaves_no_snapshot(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = take.make

    def slowly(*arguments: Any) -> str:
        staged = make(*arguments)
        fleet.declare("t-snap-d", state="absent")
        fleet.apply(ALL)
        return staged

    fleet.declare("t-snap-d", state="stopped")
    fleet.apply()
    with monkeypatch.context() as slow:
        slow.setattr(take, "make", slowly)
        result = snapshot(fleet, "late", "t-snap-d")
    assert result["msg"] == "t-snap-d: t-snap-d is not on this node"
    assert kept("t-snap-d") == being_made() == set()


def test_across_a_rebuild_the_template_comes_back(fleet: Fleet) -> None:
    """And is kept for that, until the snapshot is no more."""
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    fleet.declare("t-snap-r", state="stopped", template="derived", template_policy="rebuild")
    fleet.apply()
    old = info.gather()["containers"]["t-snap-r"]["template"]
    did(fleet, "then", "t-snap-r")
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /newer"]}
    fleet.apply(ALL)
    collect = plan_templates.planner(collect=True)
    assert not reconcile.run(fleet.params(), False, collect).get("failed")
    assert old.partition("@")[2] in info.gather()["templates"]["derived"]

    did(fleet, "then", "t-snap-r", state="rolled_back")
    assert info.gather()["containers"]["t-snap-r"]["template"] == old
    fleet.declare("t-snap-r", template="derived", template_policy="warn")
    fleet.apply()
    assert inside("t-snap-r", "ls", "-d", "/derived") == "/derived"
    assert inside("t-snap-r", "ls", "-d", "/newer", check=False).startswith("2 ")

    fleet.declare("t-snap-r", template="derived", template_policy="rebuild")
    fleet.apply(ALL)
    did(fleet, "then", "t-snap-r", state="absent")
    assert not reconcile.run(fleet.params(), False, collect).get("failed")
    assert old.partition("@")[2] not in info.gather()["templates"]["derived"]


def test_a_full_disk_leaves_nothing_half_made(fleet: Fleet) -> None:
    fleet.declare("t-snap-f")
    fleet.apply()
    booted("t-snap-f")
    inside("t-snap-f", "dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=8")
    Path(Paths().snapshots).mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", Paths().snapshots], check=True)
    try:
        result = snapshot(fleet, "s", "t-snap-f")
        assert result["failed"] and "is full: no space is left of" in result["msg"], result["msg"]
        assert "what was begun is removed" in result["msg"], result["msg"]
        assert kept("t-snap-f") == being_made() == set()
    finally:
        subprocess.run(["umount", Paths().snapshots], check=True)
    assert not freezer.is_frozen(host().cgroup, "t-snap-f")
    did(fleet, "s", "t-snap-f")


def test_what_cannot_be_is_said_and_nothing_is_done(fleet: Fleet) -> None:
    fleet.declare("t-snap-e", state="stopped")
    fleet.apply()
    did(fleet, "s", "t-snap-e")
    other = Fleet("other", {})
    for made, name, containers, options, words in (
        (fleet, "Not a label", ["t-snap-e"], {}, "is not a DNS label"),
        (fleet, "new", ["t-snap-e", "t-nowhere"], {}, "t-nowhere is not on this node"),
        (fleet, "lost", ["t-snap-e"], RESTART, "t-snap-e has no snapshot lost; it has s"),
        (other, "s", ["t-snap-e"], {"state": "absent"}, "t-snap-e belongs to fleet 'carve-test'"),
    ):
        for check in (True, False):
            result = snapshot(made, name, *containers, check=check, **options)
            assert result["failed"] and words in result["msg"], result
        assert kept("t-snap-e") == {"s"}


def test_blocks_are_shared_where_the_filesystem_can(tmp_path: Path) -> None:
    """A copy on XFS takes next to nothing, and is another file all the same."""
    image = tmp_path / "disk.img"
    with image.open("wb") as handle:
        handle.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    place = loop.mount(str(image))
    top = Path(f"/proc/self/fd/{place}")
    try:
        for name in ("source", "copy"):
            (top / name).mkdir()
        (top / "source/big").write_bytes(os.urandom(32 << 20))
        os.sync()
        before = os.fstatvfs(place).f_bfree
        fds = [os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=place) for name in ("source", "copy")]
        trees.Replica(*fds).finish()
        os.sync()
        taken = (before - os.fstatvfs(place).f_bfree) * os.fstatvfs(place).f_frsize
        assert taken < 1 << 20, taken
        (top / "copy/big").write_bytes(b"changed")
        assert (top / "source/big").stat().st_size == 32 << 20
        for fd in fds:
            os.close(fd)
    finally:
        os.close(place)
