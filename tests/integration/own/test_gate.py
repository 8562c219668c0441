# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate on one node, with no playbook around it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, Result, box, inside, pid

# A system with another init, and one with none at all.
OTHER_INIT = "printf '#!/bin/sh\\nexec sleep infinity\\n' >/sbin/other; chmod 755 /sbin/other; ln -sf other /sbin/init"
NO_INIT = "rm -f /sbin/init"


def statuses(result: Result) -> dict[str, str]:
    return {f"{step['action']} {step['name']}": step["status"] for step in result["steps"]}


def test_asked_are_those_that_changed_or_those_that_are_named(fleet: Fleet) -> None:
    for name in ("x-a", "x-b", "x-c"):
        fleet.declare(name)
    fleet.declare("x-off", state="stopped")
    gate = {"timeout": 60, "command": ["test", "!", "-e", "/broken"]}
    result = fleet.run(gate=gate)
    assert not result.get("failed"), result["msg"]
    inside("x-a", "touch", "/broken")
    fleet.containers["x-b"]["ram"] = "128M"
    assert not fleet.run(gate=gate).get("failed")
    # With nothing to do nobody is asked.
    assert not fleet.run(gate=gate, only=["x-a"]).get("failed")
    for name in ("x-b", "x-c"):
        fleet.containers[name]["ram"] = "132M"
    quick = {**gate, "timeout": 2}
    result = fleet.run(gate=quick, only=["x-a", "x-b"])
    assert result["errors"] == ["container x-a: gate: test ended with 1 and said nothing"]
    assert statuses(result) == {"change x-b": "done"}
    assert statuses(fleet.check()) == {"change x-c": "planned"}


def test_a_command_that_does_not_end_is_ended(fleet: Fleet) -> None:
    fleet.declare("x-a")
    result = fleet.run(gate={"timeout": 5, "command": ["sleep", "654321"]})
    assert result["errors"] == ["container x-a: gate: sleep did not end in time"]
    assert "654321" not in inside("x-a", "ps", "-eo", "args")


def test_what_a_command_says_is_told_and_nothing_is_taken_for_a_shell(fleet: Fleet) -> None:
    fleet.declare("x-a")
    words = "$(touch /tmp/caught); `id` > /tmp/caught"
    result = fleet.run(gate={"timeout": 5, "command": ["python3", "-c", f"exit({words!r})"]})
    assert result["errors"] == [f"container x-a: gate: python3 ended with 1: {words}"]
    assert inside("x-a", "ls", "/tmp/caught", check=False).startswith("2 ")
    fleet.containers["x-a"]["ram"] = "128M"
    result = fleet.run(gate={"timeout": 2, "command": ["no-such-program"]})
    assert "container x-a: gate: no-such-program ended with" in result["msg"]


def test_another_init_is_well_when_it_runs(fleet: Fleet) -> None:
    fleet.templates["other"] = {"from": "base", "commands": [OTHER_INIT]}
    fleet.declare("x-a", template="other", stop_timeout=0)
    result = fleet.run(gate={"timeout": 20, "init": ["running"]})
    assert not result.get("failed"), result["msg"]
    assert Path(f"/proc/{pid('x-a')}/comm").read_text(encoding="ascii").strip() == "sleep"


def test_what_does_not_even_start_is_rolled_back(fleet: Fleet) -> None:
    fleet.declare("x-a", template_policy="rebuild")
    fleet.declare("x-b", template_policy="rebuild", state="stopped")
    fleet.apply()
    inside("x-a", "touch", "/root/data")
    before = {name: box(name).record for name in ("x-a", "x-b")}
    fleet.templates["dead"] = {"from": "base", "commands": [NO_INIT]}
    for name in before:
        fleet.containers[name]["template"] = "dead"
    result = fleet.run(ALL, gate={"timeout": 5})
    assert result["failed"] and "container x-a: rebuild: x-a does not start" in result["msg"]
    assert f"container x-a: rolled back to base@{before['x-a'].digest}" in result["errors"]
    # What should not run is not asked, and has passed.
    assert statuses(result) == {"build dead": "done", "rebuild x-a": "rolled back", "rebuild x-b": "done"}
    assert box("x-a").record == before["x-a"] and box("x-b").record.fields["template"] == "dead"
    assert inside("x-a", "ls", "/root") == "data"
    assert list(Path(Paths().kept).iterdir()) == list(Path(Paths().staging).iterdir()) == []
