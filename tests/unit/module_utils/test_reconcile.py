# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run on one node, with a node that is a dictionary: what it reports, refuses, and finds afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import lock, model, reconcile
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.observe import Observation
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.steps import DONE, NodeSeen, Plan, untouched

from unit.module_utils.worlds import EMPTY, NETWORKS, TEMPLATES, with_container

LAN = {"eth0": {"on": "lan", "ip": "10.20.0.5"}}
MAC = {"eth0": {"on": "lan", "ip": "10.20.0.5", "mac": "02:00:00:00:00:01"}}


class Node:
    """The node, and what becomes of it."""

    def __init__(self, directory: Path) -> None:
        self.host = Host(paths=Paths(f"{directory}/lib", f"{directory}/run"))
        self.seen: NodeSeen = EMPTY
        # What the hands cannot do, though they say that they have.
        self.lame: set[str] = set()

    def carry_out(self, job: reconcile.Job, made: Plan, seen: Observation) -> tuple[list[str], list[str]]:
        real = Plan(tuple(step for step in made.steps if step.action not in self.lame))
        self.seen = memory.carry_out(real, seen.node, job.desired.fleet)
        return [DONE if status == "planned" else status for status in untouched(made)], []

    def run(self, containers: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
        bodies = {name: {"template": "debian", **body} for name, body in containers.items()}
        params = {"fleet": "acme", "templates": TEMPLATES, "networks": NETWORKS, "allow": list(model.ALLOWABLE)}
        return reconcile.run({**params, "containers": bodies, **options}, check, host=self.host)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setattr(reconcile, "observe", lambda host, declared=None, to_move=(): Observation(made.seen, {}))
    monkeypatch.setattr(reconcile, "_carry_out", made.carry_out)
    return made


def without_status(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in step.items() if key != "status"} for step in result["steps"]]


def test_what_check_mode_predicts_is_what_happens(node: Node) -> None:
    for containers in ({"web": {"ram": "1G", "network": LAN}}, {"web": {"ram": "2G", "network": MAC}}, {}):
        predicted = node.run(containers, check=True)
        done = node.run(containers)
        again = node.run(containers)
        assert without_status(predicted) == without_status(done)
        assert predicted["fingerprint"] == done["fingerprint"]
        assert (predicted["changed"], done["changed"], again["changed"]) == (True, True, False)
        assert {step["status"] for step in predicted["steps"]} == {"planned"}
        assert {step["status"] for step in done["steps"]} == {"done"}
        assert again["steps"] == []
        assert "failed" not in again
    assert node.run({})["containers"] == {}


def test_what_is_reported(node: Node) -> None:
    node.seen = with_container(EMPTY, "strange", running=True)
    result = node.run({"web": {"state": "stopped"}, "db": {"network": LAN}}, allow=[])
    assert set(result) == {
        "changed", "steps", "fingerprint", "fingerprints", "unmanaged", "notes", "errors", "containers", "diff",
        "timings", "leftovers",
    }  # fmt: skip
    assert result["unmanaged"] == ["strange"]
    version = f"debian@{node.seen.containers['db'].digest}"
    assert result["containers"] == {
        "db": {"state": "running", "template": version, "ip": {"eth0": ["10.20.0.5"]}},
        "web": {"state": "stopped", "template": version, "ip": {}},
    }
    assert set(result["timings"]) == {"observe", "plan", "apply", "verify"}
    assert result["diff"]["before"] == ""
    assert "container.web.hostname: web\n" in result["diff"]["after"]


def test_check_mode_leaves_no_trace(node: Node) -> None:
    node.run({"web": {}}, check=True)
    assert node.seen == EMPTY
    assert not Path(node.host.paths.base).exists()


def test_what_is_wrong_is_all_told_and_nothing_done(node: Node) -> None:
    result = node.run({"web": {"ram": "lots"}, "Db": {}})
    assert result["failed"]
    assert len(result["errors"]) == 2
    assert result["msg"] == "\n".join(result["errors"])
    assert node.seen == EMPTY


@pytest.mark.parametrize("check", [True, False])
def test_an_impossible_plan_changes_nothing_and_says_so(node: Node, check: bool) -> None:
    node.seen = with_container(EMPTY, "web", fleet="other", recorded={"id": 99})
    before = node.seen
    result = node.run({"web": {}, "db": {}}, check=check)
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["steps"]
    assert node.seen == before


def test_a_saved_plan_is_done_exactly_or_not_at_all(node: Node) -> None:
    fingerprint = node.run({"web": {}}, check=True)["fingerprint"]
    refused = node.run({"web": {"ram": "1G"}}, expect=fingerprint)
    assert (refused["failed"], refused["changed"]) == (True, False)
    assert "has changed since the plan was made" in refused["msg"]
    assert node.seen == EMPTY
    assert node.run({"web": {}}, expect=fingerprint)["changed"]


def test_a_refused_step_is_an_error_and_the_others_are_done(node: Node) -> None:
    node.run({"web": {"ram": "2G"}})
    node.seen = with_container(node.seen, "web", ram_in_use=1 << 30)
    for check in (True, False):
        result = node.run({"web": {"ram": "512M", "cpus": 1}}, check=check)
        assert result["failed"]
        assert result["msg"].startswith("web: refused: ram 512M is less than the 1024.0M in use")
        assert result["changed"]
    assert node.seen.containers["web"].recorded["cpus"] == 1.0


def test_a_step_that_is_held_back_is_no_error(node: Node) -> None:
    node.run({"web": {"network": LAN}})
    result = node.run({"web": {"network": MAC}}, allow=[])
    assert "failed" not in result
    assert not result["changed"]
    assert [(step["action"], step["status"]) for step in result["steps"]] == [("restart", "held")]


def test_what_is_still_different_afterwards_is_named(node: Node) -> None:
    node.run({"web": {"ram": "1G"}})
    node.lame = {"change"}
    result = node.run({"web": {"ram": "2G"}})
    assert result["failed"]
    assert result["msg"] == "container web: ram is 1G after it was set to 2G"


def test_what_a_guard_held_back_is_left_to_the_next_run(node: Node) -> None:
    """The guard is taken away by the run itself, so afterwards the rebuild is free; that is no failure of this run."""
    body = {"template_policy": "rebuild", "protect": True}
    node.run({"web": body})
    later = {"web": {**body, "template": "web", "protect": False}}
    first = node.run(later)
    assert "failed" not in first
    assert [(step["action"], step["status"]) for step in first["steps"]] == [("change", "done"), ("rebuild", "held")]
    assert [step["action"] for step in node.run(later)["steps"]] == ["build", "rebuild"]


def test_a_node_at_work_is_left_alone(node: Node) -> None:
    node.host.paths.make()
    with lock.held(node.host.paths, True, {"fleet": "other"}, 0):
        result = node.run({"web": {}})
    assert result["failed"]
    assert "the node is locked by process" in result["msg"]
    assert node.seen == EMPTY


def test_what_a_killed_run_has_left_is_removed_first(node: Node) -> None:
    paths = node.host.paths
    paths.make()
    (Path(paths.staging) / "web.new/root").mkdir(parents=True)
    (Path(paths.staging) / "half").touch()
    node.run({}, check=True)
    assert len(list(Path(paths.staging).iterdir())) == 2
    node.run({})
    assert list(Path(paths.staging).iterdir()) == []
