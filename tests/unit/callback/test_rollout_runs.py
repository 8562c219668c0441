# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts over several nodes, which answer as they are told: who is asked what when, where it stops, what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.callback.conftest import Stage
from unit.callback.recorded import result, step

POLICY = json.dumps({"carve_rollout": {"canary": 1, "batch": 2, "gate": {"port": 80}}})
# An address at which nobody is, so that a connection is refused at once.
AWAY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


def change(name: str, status: str | None = None) -> dict[str, Any]:
    return step(name, "change", "live", "declared", ("ram", "1G", "2G"), status=status)


def look(*names: str) -> dict[str, Any]:
    return result(*(change(name) for name in names), fingerprints={name: f"print-{name}" for name in names})


def done(*names: str, **more: Any) -> dict[str, Any]:
    return result(*(change(name, "done") for name in names), **more)


@pytest.fixture
def two(stage: Stage) -> Stage:
    """Two nodes: a canary, and three batches, the middle one on both."""
    stage.node("node1", look("c-1", "c-2", "c-4"), {"c-1": done("c-1"), "c-2": done("c-2"), "c-4": done("c-4")})
    stage.node("node2", look("c-3", "c-5"), {"c-3": done("c-3"), "c-5": done("c-5")})
    return stage


def orders(stage: Stage, node: str) -> list[Any]:
    """What a node was asked for, but for the look."""
    return [call["only"] for call in stage.calls(node) if not call["check"]]


def tell(stage: Stage, node: str, only: str, answer: dict[str, Any]) -> None:
    path = stage.directory / f"{node.replace('node', 'fleet')}.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["real"][only] = answer
    path.write_text(json.dumps(told), encoding="utf-8")


def test_batch_after_batch_and_only_nodes_that_are_in_it(two: Stage) -> None:
    two.node("node3", look())
    ran = two.run("carve.vps.apply", "-e", POLICY)
    assert (ran.code, ran.err) == (0, "")
    assert [line for line in ran.lines if line.startswith("Batch")] == [
        "Batch 1 of 3, the canary: c-1 on node1",
        "Batch 2 of 3: c-2 on node1; c-3 on node2",
        "Batch 3 of 3: c-4 on node1; c-5 on node2",
    ]
    assert orders(two, "node1") == [["c-1"], ["c-2"], ["c-4"]]
    assert orders(two, "node2") == [["c-3"], ["c-5"]]
    assert orders(two, "node3") == []
    call = two.calls("node1")[1]
    assert call["expect_containers"] == {"c-1": "print-c-1"}
    assert (call["gate"], call["expect"]) == ({"port": 80}, None)
    assert ran.lines[-1] == "Applied: 5 changed."
    assert ran.summary is not None
    assert (ran.summary["differences"], ran.summary["counts"]) == (0, {"done": {"change": 5}})


def test_a_batch_that_fails_is_the_last(two: Stage) -> None:
    gate = "container c-3: gate: port 80 does not accept: Connection refused"
    tell(two, "node2", "c-3", done("c-3", failed=True, errors=[gate], msg=gate))
    ran = two.run("carve.vps.apply", "-e", POLICY)
    assert ran.code != 0
    assert (orders(two, "node1"), orders(two, "node2")) == ([["c-1"], ["c-2"]], [["c-3"]])
    story = ["The rollout stopped at batch 2 of 3.", "done: c-1, c-2", "failed: c-3", "not tried: c-4, c-5"]
    start = ran.lines.index(story[0])
    assert [line.strip() for line in ran.lines[start : start + 4]] == story
    assert ran.lines[-1] == "Applied: 3 changed, 2 not tried. 1 node failed."
    assert ran.summary is not None
    assert ran.summary["differences"] == 2
    assert ran.summary["counts"] == {"done": {"change": 3}, "not tried": {"change": 2}}
    assert [error["message"] for error in ran.summary["errors"]][:1] == [gate]


def test_a_node_that_goes_away_in_the_middle_stops_all(two: Stage) -> None:
    way = {name: value for name, value in AWAY.items() if name != "ansible_connection"}
    gone = "{{ 'ssh' if carve_batch_number | default(0) | int > 1 else 'local' }}"
    two.node("node2", look("c-3", "c-5"), {"c-3": done("c-3"), "c-5": done("c-5")}, ansible_connection=gone, **way)
    ran = two.run("carve.vps.apply", "-e", POLICY)
    assert ran.code != 0
    assert (orders(two, "node1"), orders(two, "node2")) == ([["c-1"], ["c-2"]], [])
    assert "failed: c-3\n" in ran.out and "not tried: c-4, c-5\n" in ran.out
    assert "unreachable: node2; what was begun there is finished by the next run" in ran.out
    assert ran.lines[-1] == "Applied: 2 changed, 3 not tried. 1 node unreachable."


def test_a_node_that_cannot_be_reached_at_first_is_alone_in_it(two: Stage) -> None:
    two.node("node0", look("c-0"), **AWAY)
    ran = two.run("carve.vps.apply", "-e", POLICY)
    assert ran.code != 0
    assert "1 node unreachable." in ran.lines[-1]
    assert ran.lines[-1].startswith("Applied: 5 changed")
    assert orders(two, "node2") == [["c-3"], ["c-5"]]


def test_limit_and_serial_mean_what_they_always_mean(two: Stage) -> None:
    ran = two.run("carve.vps.apply", "-e", POLICY, "--limit", "node2")
    assert ran.code == 0
    assert orders(two, "node1") == []
    assert [line for line in ran.lines if line.startswith("Batch")] == [
        "Batch 1 of 2, the canary: c-3 on node2",
        "Batch 2 of 2: c-5 on node2",
    ]
    # Nodes one by one, each with batches of its own.
    for node in ("node1", "node2"):
        (two.directory / f"{node.replace('node', 'fleet')}.calls").unlink(missing_ok=True)
    tell(two, "node1", "c-2,c-4", done("c-2", "c-4"))
    ran = two.run("carve.vps.apply", "-e", POLICY, "-e", "carve_serial=1")
    assert ran.code == 0, ran.out
    assert (orders(two, "node1"), orders(two, "node2")) == ([["c-1"], ["c-2", "c-4"]], [["c-3"], ["c-5"]])
    # A failure on one is the end for those that come after it.
    tell(two, "node1", "c-1", result(change("c-1", "failed"), failed=True, errors=["container c-1: no"], msg="no"))
    (two.directory / "fleet2.calls").unlink()
    assert two.run("carve.vps.apply", "-e", POLICY, "-e", "carve_serial=1").code != 0
    assert orders(two, "node2") == []


def test_without_a_policy_there_are_no_batches(two: Stage) -> None:
    for node in ("node1", "node2"):
        two.node(node, look(), done("c-1"))
    ran = two.run("carve.vps.apply", "-e", "carve_rollout=false")
    assert ran.code == 0
    assert [(call["check"], call["only"], call["gate"]) for call in two.calls("node1")] == [(False, None, None)]


def test_a_policy_of_the_command_line_is_checked(two: Stage) -> None:
    ran = two.run("carve.vps.apply", "-e", json.dumps({"carve_rollout": {"batch": "0%"}}))
    assert ran.code != 0
    assert "carve_rollout.batch: '0%' is neither a number nor a percentage; write one such as 5 or 25%" in ran.out
    assert orders(two, "node1") == orders(two, "node2") == []


def test_what_the_plain_callback_says(two: Stage) -> None:
    gate = "container c-3: gate: it does not run"
    tell(two, "node2", "c-3", done("c-3", failed=True, errors=[gate], msg=gate))
    ran = two.run("carve.vps.apply", "-e", POLICY, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    assert ran.code != 0
    assert "Batch 2 of 3: c-2 on node1; c-3 on node2" in ran.out
    assert "not tried: c-4, c-5" in ran.out
