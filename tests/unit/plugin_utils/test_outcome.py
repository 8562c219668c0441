# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts, and the summary for machines."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.plugin_utils import outcome

from unit.callback.recorded import busy, carried_out, result, step


def test_names_are_sorted_as_people_do() -> None:
    steps = [step(name, "create", "create", "") for name in ("web-10", "db", "web-2", "web", "2a", "web-2b")]
    assert [item.name for item in outcome.items(steps)] == ["2a", "db", "web", "web-2", "web-2b", "web-10"]


def test_an_object_counts_once_for_what_is_done_and_once_for_what_is_held() -> None:
    assert outcome.counts({"node1": result(*busy())}, "plan") == {
        "planned": {"build": 1, "change": 5, "create": 4},
        "held": {"destroy": 1, "rebuild": 1, "restart": 1},
    }


def test_objects_of_one_name_on_two_nodes_are_two() -> None:
    one = result(step("x", "change", "live", ""))
    assert outcome.counts({"a": one, "b": one}, "plan") == {"planned": {"change": 2}}


def test_differences_are_what_is_not_as_declared_at_the_end() -> None:
    def differences(*steps: dict, verb: str) -> int:
        return int(outcome.summary({"n": result(*steps)}, verb, [], 0)["differences"])

    assert differences(verb="plan") == 0
    assert differences(*busy(), verb="plan") == 12
    assert differences(*carried_out(busy()), verb="apply") == 3
    assert differences(*carried_out(busy(), db="failed", web_1="not tried"), verb="apply") == 5


def test_a_summary_names_errors_of_nodes_and_of_other_tasks() -> None:
    results = {
        "a": result(failed=True, errors=["one", "two"]),
        "b": {"unreachable": True, "msg": "Connection refused"},
        "c": {"failed": True, "msg": "crash"},
        "d": result(),
    }
    found = outcome.summary(results, "apply", [{"node": "e", "message": "three"}], 4)
    assert found["errors"] == [
        {"node": "a", "message": "one"},
        {"node": "a", "message": "two"},
        {"node": "b", "message": "unreachable: Connection refused"},
        {"node": "c", "message": "crash"},
        {"node": "e", "message": "three"},
    ]
    assert (found["format_version"], found["verb"], found["changed_tasks"]) == ("1.0", "apply", 4)
    assert found["nodes"]["d"]["fingerprint"] == "f00d"


def test_two_results_of_a_node_become_one() -> None:
    first = result(step("x", "create", "create", ""), notes=["n"], failed=True, msg="broke", errors=["broke"])
    second = result(step("y", "create", "create", ""), msg="")
    merged = outcome.merge(first, second)
    assert [one["name"] for one in merged["steps"]] == ["x", "y"]
    assert (merged["failed"], merged["msg"], merged["errors"], merged["notes"]) == (True, "broke", ["broke"], ["n"])
    assert merged["timings"] == {"observe": 0.062, "plan": 0.004}
