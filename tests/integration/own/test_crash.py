# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run killed at any instant leaves only whole containers behind, and the next run does what it did not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import info, record, store
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration import killed_run
from ansible_collections.carve.vps.tests.integration.own_node import run
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, exists, host, wait_for

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def killed(fleet: Fleet, point: str) -> bool:
    """Apply in a process that is killed at a point; whether it came to that point."""
    result = _child(fleet, point)
    assert result.returncode in (0, -signal.SIGKILL), f"{point}: {result.stdout}{result.stderr}"
    return result.returncode != 0


def points(fleet: Fleet, most: int) -> list[str]:
    """Every step boundary of applying the fleet, and so many points inside the steps, evenly over the whole run.

    With CARVE_TEST_ALL_POINTS set it is all there are, which takes its time.
    """
    result = _child(fleet, "never")
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)["points"]
    inner = [point for point in found if not point.startswith("step")]
    if "CARVE_TEST_ALL_POINTS" not in os.environ:
        inner = [inner[i * len(inner) // most] for i in range(most)]
    return [point for point in found if point.startswith("step") or point in inner]


def _child(fleet: Fleet, point: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, killed_run.__file__, point],
        input=json.dumps(fleet.params(ALL)),
        text=True,
        capture_output=True,
        check=False,
        env=ENVIRONMENT,
    )


def names_in(directory: str) -> set[str]:
    return {path.name for path in Path(directory).iterdir()}


def assert_only_whole_containers(fleet: Fleet, point: str) -> None:
    """Whatever is listed as a container can be started as it stands."""
    node = info.gather()
    assert set(node["containers"]) == names_in(Paths().containers), point
    listed = run("lxc-ls", "--defined", "-1", "-P", Paths().containers).split()
    assert set(listed) == set(node["containers"]), point
    for name, found in node["containers"].items():
        directory = Path(Paths().container(name))
        kept = record.load(str(directory))
        assert found["managed"] and found["fleet"] == fleet.name and kept is not None, f"{point}: {name}"
        assert "lxc.idmap" in (directory / "config").read_text(encoding="utf-8"), f"{point}: {name}"
        with store.mounted(str(directory)) as own:
            for place, owner in (("work", 0), ("upper", kept.base_id), ("upper/etc/hostname", kept.base_id)):
                assert Path(own, place).lstat().st_uid == owner, f"{point}: {name}: {place}"
            machine_id = Path(own, "upper/etc/machine-id").read_text(encoding="ascii")
            assert machine_id == f"{kept.uuid}\n", f"{point}: {name}"
        assert Path(Paths().template(kept.fields["template"], kept.digest), "rootfs/usr/bin").is_dir(), (
            f"{point}: {name}"
        )
    assert not fleet.check(ALL).get("failed"), point


def assert_converges(fleet: Fleet, point: str) -> None:
    """The next run does what is left to do, and leaves nothing of the one before."""
    result = fleet.run(ALL)
    assert not result.get("failed"), f"{point}: {result['msg']}"
    after = fleet.check(ALL)
    assert after["steps"] == [], f"{point}: {after['steps']}"
    assert names_in(Paths().staging) == set(), point
    assert names_in(Paths().kept) == set(), point
    assert names_in(Paths().containers) == set(fleet.containers), point
    for name in fleet.containers:
        parts = {"disk", "disk.img"} if "disk" in fleet.containers[name] else {"upper", "work"}
        assert names_in(Paths().container(name)) == {"carve.json", "config", "root", *parts}, point
    running = {name for name in fleet.containers if lxc.init_pid(host(), name)}
    assert running == {name for name, options in fleet.containers.items() if options.get("state") != "stopped"}, point
    limited = [name for name in running if "disk" in fleet.containers[name]]
    own = {name: store.kind_of(f"{Paths().container(name)}/disk.img") for name in limited}
    mounted = sorted(
        [(f"{Paths().container(name)}/root", "overlay") for name in running]
        + [(f"{Paths().container(name)}/disk", str(kind)) for name, kind in own.items()]
    )
    # A monitor unmounts after it has said that its container has stopped.
    wait_for(f"{point}: only {mounted} to be mounted, not {mounts()}", lambda: mounts() == mounted, 10)
    wait_for(f"{point}: the processes of the killed run to end", lambda: orphans() == [], 10)


def mounts() -> list[tuple[str, str]]:
    """What is mounted below Carve's directory, and its kind."""
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return sorted((row[4], row[row.index("-") + 1]) for row in rows if row[4].startswith(f"{Paths().base}/"))


def orphans() -> list[str]:
    """Processes that killed runs have left."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if killed_run.__file__ in command or "carve-tests." in command:
                found.append(f"{file.parent.name}: {command}")
    return found


Declare = Callable[[Fleet], None]


def each_point(fleet: Fleet, most: int, before: Declare, after: Declare, anew: bool = False) -> None:
    """From one state to another, with the run killed at one point after the other; ``anew``: there is no way back."""

    def at_start() -> None:
        fleet.containers = {}
        if anew:
            fleet.run(ALL)
        before(fleet)
        result = fleet.run(ALL)
        assert not result.get("failed"), result["msg"]
        fleet.containers = {}
        after(fleet)

    after(fleet)  # once in peace, for what is made once only
    fleet.run(ALL)
    at_start()
    todo = points(fleet, most)
    reached = 0
    for point in todo:
        at_start()
        reached += killed(fleet, point)
        assert_only_whole_containers(fleet, point)
        assert_converges(fleet, point)
    # Threads do not come to everything in the same order every time.
    assert reached > len(todo) * 0.8, f"{reached} of {len(todo)} runs were killed"


def nothing(fleet: Fleet) -> None:
    """No container, but the template."""


def two(fleet: Fleet) -> None:
    fleet.declare(
        "x-a",
        stop_timeout=0,
        ram="128M",
        ssh_keys=["ssh-ed25519 AAAA ops"],
        network={"eth0": {"on": "lan", "ip": "10.214.0.5"}},
    )
    fleet.declare("x-b", stop_timeout=0, network={"eth0": {"on": "public", "ip": "198.51.100.5"}})


def two_stopped(fleet: Fleet) -> None:
    two(fleet)
    for options in fleet.containers.values():
        options["state"] = "stopped"


def two_changed(fleet: Fleet) -> None:
    """Everything that can change while a container runs."""
    fleet.declare(
        "x-a",
        stop_timeout=1,
        ram="192M",
        swap="64M",
        cpus=0.5,
        cpu_weight=50,
        processes=400,
        hostname="one.x",
        ssh_keys=["ssh-ed25519 BBBB ops"],
        hosts={"db.x": "10.214.0.9"},
        nameservers=["192.0.2.53"],
        network={"eth0": {"on": "lan", "ip": ["10.214.0.6", "fd00:214::6"]}},
    )
    fleet.declare(
        "x-b", stop_timeout=0, ram="128M", network={"eth0": {"on": "public", "ip": ["198.51.100.6", "fd00:114::6"]}}
    )


def two_changed_and_stopped(fleet: Fleet) -> None:
    two_changed(fleet)
    for options in fleet.containers.values():
        options["state"] = "stopped"


def two_with_other_cards(fleet: Fleet) -> None:
    two(fleet)
    fleet.containers["x-a"]["network"]["eth1"] = {"on": "public", "ip": "198.51.100.7"}
    fleet.containers["x-b"]["network"]["eth0"]["mac"] = "02:00:00:00:00:0b"


def two_from_the_base(fleet: Fleet) -> None:
    two(fleet)
    for options in fleet.containers.values():
        options["template_policy"] = "rebuild"


def two_from_another_template(fleet: Fleet) -> None:
    two_from_the_base(fleet)
    for options in fleet.containers.values():
        options["template"] = "derived"


def test_creating_and_starting(fleet: Fleet) -> None:
    each_point(fleet, 25, nothing, two)


def test_rebuilding(fleet: Fleet) -> None:
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    each_point(fleet, 12, two_from_the_base, two_from_another_template)


def test_rebuilding_under_a_gate(fleet: Fleet) -> None:
    """Whatever is on trial when a run is killed is gated again by the next, and nothing is kept after that."""
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    fleet.options = {"gate": {"timeout": 60, "command": ["test", "-e", "/etc/hostname"]}}
    each_point(fleet, 12, two_from_the_base, two_from_another_template)


@pytest.mark.parametrize("ending", ["accepted", "replaced", "destroyed"])
def test_a_trial_that_was_left_may_end_in_other_ways(fleet: Fleet, ending: str) -> None:
    """Left on trial by a killed run, containers meet a run without a gate, a newer template, or their end."""
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    two_from_another_template(fleet)
    fleet.run(ALL)
    two_from_the_base(fleet)
    fleet.run(ALL)
    two_from_another_template(fleet)
    fleet.options = {"gate": {"timeout": 60}}
    assert killed(fleet, "step 4")  # after the last of both rebuilds
    assert names_in(Paths().kept) == {"x-a", "x-b"}
    assert [(step["action"], step["status"]) for step in fleet.check(ALL)["steps"]] == [("prove", "planned")] * 2
    if ending == "accepted":
        fleet.options = {}
        predicted = fleet.check(ALL)
        assert predicted["steps"] and fleet.run(ALL)["fingerprint"] == predicted["fingerprint"]
    elif ending == "replaced":
        fleet.templates["derived"] = {"from": "base", "commands": ["touch /newer"]}
        # What never passed is nothing to go back to.
        result = fleet.run(ALL, gate={"timeout": 1, "command": ["test", "!", "-e", "/newer"]})
        assert result["msg"].count("rolled back to base@") == 2
        assert names_in(Paths().kept) == set()
    else:
        fleet.containers = {}
    assert_converges(fleet, ending)


def test_rolling_back(fleet: Fleet) -> None:
    """A run that is killed while it rolls back: the next one ends with the old root filesystems in their place, too,
    as long as the new ones do not pass; and with the new ones when they do."""
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    fleet.options = {"gate": {"timeout": 1, "command": ["test", "!", "-e", "/derived"]}}

    def at_start() -> None:
        fleet.containers = {}
        two_from_the_base(fleet)
        result = fleet.run(ALL, gate=None)
        assert not result.get("failed"), result["msg"]
        fleet.containers = {}
        two_from_another_template(fleet)

    at_start()
    result = _child(fleet, "never")
    assert result.returncode == 1, result.stdout + result.stderr
    found = [point for point in json.loads(result.stdout)["points"] if point.startswith("trial.py")]
    todo = found if "CARVE_TEST_ALL_POINTS" in os.environ else found[:: max(1, len(found) // 8)]
    reached = 0
    for point in todo:
        at_start()
        child = _child(fleet, point)
        assert child.returncode in (1, -signal.SIGKILL), f"{point}: {child.stdout}{child.stderr}"
        reached += child.returncode != 1
        assert_only_whole_containers(fleet, point)
        result = fleet.run(ALL)
        assert "rolled back to base@" in result["msg"], point
        assert names_in(Paths().kept) == set(), point
        for name in fleet.containers:
            assert (
                run("lxc-attach", "-P", Paths().containers, "-n", name, "--", "ls", "-d", "/derived", check=False) == ""
            )
        # Mended: what is asked for is there now.
        assert_converges_with(fleet, {"timeout": 60}, point)
    assert reached > len(todo) * 0.8, f"{reached} of {len(todo)} runs were killed"


def assert_converges_with(fleet: Fleet, gate: dict[str, Any], point: str) -> None:
    before, fleet.options = fleet.options, {"gate": gate}
    assert_converges(fleet, point)
    fleet.options = before


def two_with_filesystems(fleet: Fleet) -> None:
    fleet.declare("x-a", stop_timeout=0, disk="320M")
    fleet.declare("x-b", stop_timeout=0, disk="64M", inodes="2k")


def two_with_larger_filesystems(fleet: Fleet) -> None:
    two_with_filesystems(fleet)
    fleet.containers["x-a"]["disk"] = "400M"
    fleet.containers["x-b"]["processes"] = 300


def test_making_filesystems(fleet: Fleet) -> None:
    each_point(fleet, 10, nothing, two_with_filesystems)


def test_growing_filesystems(fleet: Fleet) -> None:
    each_point(fleet, 6, two_with_filesystems, two_with_larger_filesystems, anew=True)


def test_removing_filesystems(fleet: Fleet) -> None:
    each_point(fleet, 6, two_with_filesystems, nothing)


def test_restarting(fleet: Fleet) -> None:
    each_point(fleet, 8, two, two_with_other_cards)


def test_changing_while_they_run(fleet: Fleet) -> None:
    each_point(fleet, 8, two, two_changed)


def test_changing_while_they_stand(fleet: Fleet) -> None:
    each_point(fleet, 8, two_stopped, two_changed_and_stopped)


def test_stopping(fleet: Fleet) -> None:
    each_point(fleet, 3, two, two_stopped)


def test_destroying(fleet: Fleet) -> None:
    each_point(fleet, 8, two, nothing)


def test_what_is_left_is_no_difference_and_yet_removed(fleet: Fleet) -> None:
    """As of a move whose source never came back, and of one from here that was killed."""
    fleet.declare("x-left", state="stopped")
    fleet.apply()
    assert not fleet.check()["leftovers"]
    for left in (f"{Paths().incoming}/containers/x-other", f"{Paths().container('x-left')}/memory.ahead"):
        Path(left).mkdir(parents=True)
        found = fleet.check()
        assert found["leftovers"] and not found["changed"] and found["steps"] == []
        assert not fleet.run()["changed"] and not fleet.check()["leftovers"] and not Path(left).exists()


def test_what_cannot_be_removed_is_told_and_all_else_is_done(fleet: Fleet) -> None:
    places = [Path(f"{Paths().staging}/{name}.new") for name in ("x-a", "x-b", "x-c")]
    for place in places:
        place.mkdir(parents=True)
    subprocess.run(["chattr", "+i", str(places[1])], check=True)
    try:
        fleet.declare("x-other", state="stopped")
        result = fleet.run()
        assert result["failed"] and f"left is still there: {places[1]}: rm: cannot remove" in result["msg"], result
        assert len(result["errors"]) == 1 and [step["status"] for step in result["steps"]] == ["done"]
        assert exists("x-other") and [place.exists() for place in places] == [False, True, False]
    finally:
        subprocess.run(["chattr", "-i", str(places[1])], check=True)
    assert not fleet.run().get("failed") and not places[1].exists()
