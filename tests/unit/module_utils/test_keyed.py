# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keyed maps: one option, one canonical value, and problems that say below which key they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import model, plan, plan_differences
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.steps import Change, NodeSeen


def canonical(**options: Any) -> tuple[dict[str, Any], list[str]]:
    rows = tuple(row for row in model.CONTAINER if row.name in options)
    found, problems = model.canonical(rows, options)
    return found, [str(problem) for problem in problems]


def test_entries_get_their_defaults_and_one_order() -> None:
    written = {"/srv/b/": {"source": "/data/b"}, "/srv/a": {"source": "//data/a", "read_only": "yes"}}
    found, problems = canonical(mounts=written)
    assert problems == []
    assert list(found["mounts"]) == ["/srv/a", "/srv/b"]
    assert found["mounts"]["/srv/a"] == {"source": "/data/a", "read_only": True, "idmap": False, "create": False}
    assert canonical(mounts=found["mounts"]) == (found, [])


def test_an_entry_may_be_empty_where_all_has_defaults() -> None:
    assert canonical(devices={"/dev/sdb": None})[0] == {"devices": {"/dev/sdb": {"mode": "rw", "group": 0}}}
    assert canonical(mounts={"/srv": None})[1] == ["mounts./srv.source: is missing; write source: /data/web"]


def test_values_are_read_by_their_key() -> None:
    assert canonical(rlimits={"nofile": 10, "core": "1K"})[0] == {"rlimits": {"core": "1024:1024", "nofile": "10:10"}}


def test_every_problem_says_where() -> None:
    found, problems = canonical(
        mounts={"/srv/a": {"source": "/data", "mode": "ro"}, "b": {}, "/c": 5}, sysctls={"vm.x": 1}
    )
    assert [problem.partition(": ")[0] for problem in problems] == ["mounts./srv/a.mode", "mounts.b", "mounts./c",
                                                                    "sysctls.vm.x"]  # fmt: skip
    assert found["sysctls"] == {}


def test_expressions_wait_for_their_task() -> None:
    found, problems = canonical(sysctls={"net.a.b": "{{ x }}", "net.a.c": 1}, mounts={"/srv": {"source": "{{ y }}"}})
    assert problems == []
    assert found == {
        "sysctls": {"net.a.c": "1"},
        "mounts": {"/srv": {"read_only": False, "idmap": False, "create": False}},
    }


@pytest.mark.parametrize("value", ["text", ["/srv"], 5])
def test_what_is_no_map(value: Any) -> None:
    assert canonical(mounts=value)[1] == ["mounts: is not a map; write mounts: with /srv/data: below it"]


def test_people_read_them_in_one_line() -> None:
    found, _problems = canonical(mounts={"/srv/a": {"source": "/data"}}, rlimits={"core": 0})
    assert (
        model.show("mounts", found["mounts"]) == "/srv/a {source: /data, read_only: false, idmap: false, create: false}"
    )
    assert model.show("rlimits", found["rlimits"]) == "core 0:0"
    assert model.show("mounts", {}) == "none"
    assert model.show("mounts", None) is None


@pytest.mark.parametrize(
    ("before", "after", "reach"),
    [
        (["fuse"], ["fuse", "tun"], "live"),
        (None, ["fuse"], "live"),
        (["fuse", "nesting"], ["nesting"], "live"),
        (["fuse"], ["fuse", "nesting"], "restart"),
        (["nesting"], None, "restart"),
    ],
)
def test_only_nesting_needs_a_restart(before: Any, after: Any, reach: str) -> None:
    change = Change("features", before, after)
    assert plan_differences.reach(change, [(change, "declared")]) == reach


def test_what_the_node_lacks_stops_the_plan() -> None:
    wanted = {"state": "running", "template": "base", "hostname": "a"}
    node = NodeSeen(runtime="x", own_runtime="x", lacks_for={"a": ("mounts: there is no /data; make it",)})
    desired = Desired("acme", {"a": wanted})
    assert "a: mounts: there is no /data; make it" in plan.make(desired, replace(node, lacks=("no LXC",))).errors
    gone = Desired("acme", {"a": {**wanted, "state": "absent"}})
    assert plan.make(gone, node).errors == ()
