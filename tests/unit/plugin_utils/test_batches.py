# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is changed when: batches made from what nodes were found to need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import batches, outcome
from ansible_collections.carve.vps.plugins.plugin_utils.batches import Batch, Policy
from hypothesis import event, given
from hypothesis import strategies as st

from unit.callback.recorded import result, step

ONE = Policy(canary=1, batch=2)


def change(name: str, **more: Any) -> dict[str, Any]:
    return step(name, "change", "live", "declared", ("ram", "1G", "2G"), **more)


def address(name: str, before: str | None, after: str | None) -> dict[str, Any]:
    return step(name, "change", "live", "declared", ("network.eth0.ip", before, after))


def shown(made: list[Batch]) -> list[dict[str, list[str]]]:
    return [{node: list(names) for node, names in batch.nodes.items()} for batch in made]


def test_canary_then_batches_in_the_order_of_names() -> None:
    looks = {"n2": result(*(change(f"web-{i}") for i in (10, 2))), "n1": result(*(change(f"web-{i}") for i in (3, 1)))}
    made = batches.make(looks, ONE)
    assert shown(made) == [{"n1": ["web-1"]}, {"n2": ["web-2"], "n1": ["web-3"]}, {"n2": ["web-10"]}]
    assert [batch.canary for batch in made] == [True, False, False]
    assert shown(batches.make(looks, Policy(canary=0, batch=3))) == [
        {"n1": ["web-1", "web-3"], "n2": ["web-2"]},
        {"n2": ["web-10"]},
    ]


@pytest.mark.parametrize(
    ("batch", "members", "size"),
    [(5, 100, 5), ("25%", 6, 2), ("25%", 8, 2), ("1%", 3, 1), ("100%", 7, 7), ("25%", 0, 1), ("33%", 100, 33)],
)
def test_a_percentage_is_rounded_up(batch: int | str, members: int, size: int) -> None:
    assert Policy(canary=0, batch=batch).size(members) == size


def test_the_order_of_labels_first_the_containers_own() -> None:
    labels = {"a": {"stage": "2"}, "b": {"stage": "10"}, "c": {}, "d": {"zone": "a"}, "n1": {"zone": "b"}}
    looks = {"n1": result(*(change(name) for name in "abcd"))}
    made = batches.make(looks, Policy(0, 1, ("zone", "stage")), lambda name: labels.get(name, {}))
    assert [batch.containers for batch in made] == [["d"], ["a"], ["b"], ["c"]]


def test_who_has_nothing_to_do_is_no_member() -> None:
    looks = {
        "n1": result(change("a", held="needs allow: restart"), change("b"), change("b", held="needs allow: restart")),
        "n2": result(),
        "n3": {"unreachable": True, "msg": "no route to host"},
    }
    assert shown(batches.make(looks, ONE)) == [{"n1": ["b"]}]


def test_removals_and_what_is_only_the_nodes_go_last() -> None:
    runtime = step("runtime", "change", "live", "programs that start containers", kind="node")
    looks = {
        "n3": result(runtime),
        "n1": result(runtime, step("a", "destroy", "destroy", "no longer declared"), change("b")),
        "n2": result(step("br-x", "destroy", "destroy", "no longer declared", kind="network")),
    }
    assert shown(batches.make(looks, ONE)) == [{"n1": ["b"]}, {"n1": ["a"], "n2": [], "n3": []}]


def test_an_address_that_goes_from_one_to_another_keeps_them_together() -> None:
    looks = {
        "n1": result(change("a"), address("b", "10.0.0.5/24", "10.0.0.6/24"), change("c")),
        "n2": result(address("d", "10.0.0.6/24, fd00::1/64", "fd00::1/64"), address("e", None, "10.0.0.7/24")),
    }
    made = batches.make(looks, Policy(canary=1, batch=1))
    assert [batch.containers for batch in made] == [["a"], ["b", "d"], ["c"], ["e"]]


def test_what_takes_the_address_of_one_that_goes_goes_with_it() -> None:
    gone, other = (step(name, "destroy", "destroy", "no longer declared", ("state", "running", None)) for name in "xy")
    ip = {"x": {"ip": {"eth0": ["10.0.0.5", "fd00::5"]}}, "y": {"ip": {"eth0": ["10.0.0.9"]}}}
    looks = {"n1": result(change("a"), address("b", None, "fd00::5/64"), change("c"), gone, other, containers=ip)}
    made = batches.make(looks, Policy(canary=1, batch=1))
    assert [sorted(batch.containers) for batch in made] == [["a"], ["b", "x"], ["c"], ["y"]]


def test_what_the_playbook_goes_through() -> None:
    looks = {"n1": result(*(change(f"c-{i}") for i in range(1, 15)), fingerprints={"c-1": "f1"}),
             "n2": result(step("runtime", "change", "live", "programs", kind="node"))}  # fmt: skip
    rounds = batches.document(batches.make(looks, Policy(1, "100%")), looks)
    assert rounds[0] == {
        "number": 1,
        "canary": True,
        "text": "Batch 1 of 3, the canary: c-1 on n1",
        "nodes": {"n1": {"c-1": "f1"}},
    }
    assert rounds[1]["text"].endswith("c-10, c-11 and 3 more on n1")
    assert rounds[2]["text"] == "Batch 3 of 3: itself on n2"


def test_the_story_of_a_rollout_that_stopped() -> None:
    looks = {"n1": result(*(change(f"c-{i}") for i in range(1, 6))), "n2": result(change("d-1"))}
    rounds = batches.document(batches.make(looks, Policy(1, 3)), looks)
    ended = {
        "n1": result(change("c-2", status="done"), change("c-3", status="failed"), change("c-4", status="done"),
                     errors=["container c-3: change: no space", "container c-4: gate: it does not run"], failed=True),
    }  # fmt: skip
    assert batches.report(rounds, 2, ended).splitlines() == [
        "The rollout stopped at batch 2 of 3.",
        "done: c-1, c-2",
        "failed: c-3, c-4",
        "not tried: c-5, d-1",
    ]
    away = batches.report(rounds, 3, {"n1": result(change("c-5", status="done")), "n2": {"unreachable": True}})
    assert away.splitlines()[1:] == [
        "done: c-1, c-2, c-3, c-4, c-5",
        "failed: d-1",
        "not tried: none",
        "unreachable: n2; what was begun there is finished by the next run",
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("yes", "carve_rollout: 'yes' is no map; write one such as"),
        ({"batch": "0%"}, "carve_rollout.batch: '0%' is neither a number nor a percentage"),
        ({"batches": 1}, "carve_rollout.batches: unknown option; did you mean batch?"),
        ({"gate": 80}, "carve_rollout.gate: is no map; write one such as {port: 80}"),
        ({"gate": {"prot": 80}}, "carve_rollout.gate.prot: unknown option; did you mean port?"),
    ],
)
def test_a_policy_that_cannot_be_meant(raw: Any, message: str) -> None:
    with pytest.raises(batches.PolicyError) as caught:
        batches.policy(raw)
    assert str(caught.value).startswith(message)


def test_an_empty_policy_has_defaults() -> None:
    assert batches.canonical({}) == {"canary": 1, "batch": "25%", "order": [], "gate": {}}
    assert batches.policy({"batch": "30 %", "order": "zone"} | {"batch": "30%"}).order == ("zone",)


NAMES = st.sampled_from([f"c-{number}" for number in range(1, 25)])
ACTIONS = st.sampled_from(["create", "change", "restart", "rebuild", "destroy"])
ADDRESSES = st.none() | st.sampled_from([f"10.0.0.{number}/24" for number in range(1, 9)])
POLICIES = st.builds(
    Policy,
    st.integers(0, 5),
    st.integers(1, 30) | st.integers(1, 100).map("{}%".format),
    st.sampled_from([(), ("zone",), ("zone", "stage")]),
)
LABELS = st.dictionaries(NAMES, st.fixed_dictionaries({}, optional={"zone": st.sampled_from("ab"), "stage": NAMES}))


@st.composite
def looks(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {"n1": [], "n2": [], "n3": []}
    for name in draw(st.lists(NAMES, unique=True)):
        action = draw(ACTIONS)
        changes = [("network.eth0.ip", draw(ADDRESSES), draw(ADDRESSES))] if action == "change" else []
        held = draw(st.sampled_from([None, None, "needs allow"]))
        found[draw(st.sampled_from(sorted(found)))].append(step(name, action, "live", "", *changes, held=held))
    return {node: result(*steps) for node, steps in found.items()}


def doable(found: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(node, one["name"]) for node, part in found.items() for one in part["steps"] if not one["held"]}


@given(looks(), POLICIES, LABELS)
def test_everybody_once_and_nobody_else(found: dict[str, Any], rules: Policy, labels: dict[str, Any]) -> None:
    made = batches.make(found, rules, lambda name: labels.get(name, {}))
    dealt = [(node, name) for batch in made for node, names in batch.nodes.items() for name in names]
    event(f"{len(made)} batches")
    assert len(dealt) == len(set(dealt))
    assert set(dealt) == doable(found)
    assert all(batch.nodes for batch in made)
    # The same again, and whatever node was heard of first.
    backwards = dict(reversed(found.items()))
    assert batches.make(backwards, rules, lambda name: labels.get(name, {})) == made


@given(looks(), POLICIES)
def test_no_batch_is_larger_than_it_should_be_but_for_what_cannot_be_apart(
    found: dict[str, Any], rules: Policy
) -> None:
    changing = {node: result(*(s for s in part["steps"] if s["action"] != "destroy")) for node, part in found.items()}
    apart = {node: result(*({**s, "changes": []} for s in part["steps"])) for node, part in changing.items()}
    made = batches.make(apart, rules)
    sizes = [len(batch.containers) for batch in made]
    assert all(size <= rules.size(sum(sizes)) for size in sizes[1:])
    if made:
        assert made[0].canary == bool(rules.canary)
        assert sizes[0] <= (rules.canary or rules.size(sum(sizes)))
        # All but the first and the last are full.
        assert all(size == rules.size(sum(sizes)) for size in sizes[1:-1])


@given(looks(), POLICIES)
def test_no_address_is_in_two_batches(found: dict[str, Any], rules: Policy) -> None:
    steps = {one["name"]: one for part in found.values() for one in part["steps"]}
    seen: dict[str, int] = {}
    for number, batch in enumerate(batches.make(found, rules)):
        for name in batch.containers:
            for one in steps[name]["changes"]:
                for text in filter(None, (one["before"], one["after"])):
                    assert seen.setdefault(text, number) == number


@given(looks(), POLICIES)
def test_the_story_names_everybody_once(found: dict[str, Any], rules: Policy) -> None:
    rounds = batches.document(batches.make(found, rules), found)
    for stopped in range(1, len(rounds) + 1):
        lines = batches.report(rounds, stopped, {}).splitlines()[1:4]
        named = [name for line in lines for name in line.partition(": ")[2].split(", ") if name != "none"]
        assert sorted(named) == sorted(name for _node, name in doable(found))
        assert sorted(named, key=outcome.natural) == sorted(set(named), key=outcome.natural)
