# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who moves where: to where they were told, to where they belong, or off a node that is to be empty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import moving
from ansible_collections.carve.vps.plugins.plugin_utils.moving import Ask, Fleet, Moves
from ansible_collections.carve.vps.plugins.plugin_utils.placement import Node, Request
from hypothesis import given
from hypothesis import strategies as st

GIG = 1 << 30
MACHINES = [Node(name, {"zone": zone}, ram=4 * GIG) for name, zone in (("n1", "a"), ("n2", "b"), ("n3", "b"))]


def fleet(at: dict[str, str], **requests: dict[str, Any]) -> Fleet:
    asked = {name: Request(name, name, ram=GIG, **requests.get(name, {})) for name in (*at, *requests)}
    return Fleet("acme", MACHINES, asked, at)


def plan(at: dict[str, str], ask: Ask, **requests: dict[str, Any]) -> Moves:
    return moving.plan(fleet(at, **requests), ask)


def test_they_go_where_they_are_told() -> None:
    made = plan({"a": "n1", "b": "n2", "c": "n3"}, Ask(["a", "b"], to="n2"))
    assert made == Moves([("a", "n1", "n2")], {"b": "is on n2 already"}, errors=[])


def test_without_a_word_they_go_where_they_belong() -> None:
    at = {"pinned": "n1", "matched": "n1", "home": "n2"}
    wishes: dict[str, Any] = {
        "pinned": {"pinned": "n3"},
        "matched": {"match": (("zone", "a"),)},
        "home": {"pinned": "n2"},
    }
    made = plan(at, Ask([moving.ALL]), **wishes)
    assert made.moves == [("pinned", "n1", "n3")]
    assert made.stays == {"matched": "is on n1 already", "home": "is on n2 already"}


def test_a_node_is_emptied_but_for_what_it_pins() -> None:
    at = {"a": "n1", "b": "n1", "own": "n1", "c": "n2", "d": "n2"}
    made = plan(at, Ask(drain="n1"), own={"pinned": "n1"})
    assert {(name, source) for name, source, _to in made.moves} == {("a", "n1"), ("b", "n1")}
    assert {to for _name, _from, to in made.moves} <= {"n2", "n3"}
    assert made.stays == {"own": "is pinned by node: n1"}


def test_what_fits_nowhere_else_keeps_nothing_else_on_a_node_that_is_emptied() -> None:
    at = {"a": "n1", "b": "n1", **{f"x{i}": "n2" for i in range(4)}, **{f"y{i}": "n3" for i in range(3)}}
    made = plan(at, Ask(drain="n1"))
    assert [move[1:] for move in made.moves] == [("n1", "n3")] and made.errors == ()
    ((stuck, why),) = made.stuck.items()
    assert {stuck, made.moves[0][0]} == {"a", "b"} and why.startswith("fits on no node: n1 is cordoned")


def test_what_a_broken_move_has_set_aside_goes_on_from_there() -> None:
    lost = Fleet("acme", MACHINES, {"a": Request("a", "a"), "b": Request("b", "b", pinned="n2")}, {"a": "n2"},
                 {"a": "n1", "b": "n1"})  # fmt: skip
    made = moving.plan(lost, Ask([moving.ALL]))
    assert made.moves == [("a", "n1", "n2"), ("b", "n1", "n2")]


UNFINISHED = "a move of it from n1 to n2 did not end; run carve.vps.apply, which ends it, then the same again"


def test_a_node_is_not_called_empty_while_one_is_there_whose_move_did_not_end() -> None:
    asked = {name: Request(name, name) for name in "ab"}
    lost = Fleet("acme", MACHINES, asked, {"a": "n2", "b": "n2"}, {"a": "n1"})
    made = moving.plan(lost, Ask(drain="n2"))
    assert made.stuck == {"a": UNFINISHED} and [move[0] for move in made.moves] == ["b"]
    # Where it comes from it is not, and need not be moved from: its move is only ended.
    assert moving.plan(lost, Ask(drain="n1")).moves == [("a", "n1", "n2")]


def test_a_move_that_did_not_end_is_not_taken_for_one_to_somewhere_else() -> None:
    lost = Fleet("acme", MACHINES, {"a": Request("a", "a")}, {"a": "n2"}, {"a": "n1"})
    for names in (["a"], [moving.ALL]):
        assert moving.plan(lost, Ask(names, to="n3")).errors == [f"a: {UNFINISHED}"]
    assert moving.plan(lost, Ask(["a"], to="n2")).moves == [("a", "n1", "n2")]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask(), "nothing is to be moved; write -e carve_move=NAME, several with commas, or all"),
        (Ask(["a"], to="n9"), "there is no node 'n9'; write one of n1, n2, n3"),
        (Ask(["web"]), "there is no container 'web'; write one of a, gone, own"),
        (Ask(["gone"]), "gone is on no node that answered"),
        (Ask(["own"], to="n2"), "own is pinned by node: n1; write node: n2 first"),
        (Ask(drain="n4"), "there is no node 'n4'; write one of n1, n2, n3"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_moves(ask: Ask, words: str) -> None:
    wanted = fleet({"a": "n1", "own": "n1"}, own={"pinned": "n1"}, gone={})
    made = moving.plan(wanted, ask)
    assert made.moves == () and list(made.errors) == [words]


@pytest.mark.parametrize("ask", [Ask(["a"], to="n2"), Ask([moving.ALL]), Ask(drain="n1"), Ask(drain="n3")])
def test_one_that_is_on_two_nodes_is_moved_by_nobody(ask: Ask) -> None:
    found = replace(fleet({"a": "n1", "b": "n1"}), doubles={"a": ["n1", "n3"]})
    assert moving.plan(found, ask).errors == ["a is on n1 and n3; see which is right, and remove the other by hand"]


def test_nothing_goes_to_a_node_that_did_not_answer() -> None:
    found = replace(fleet({f"a{i}": "n1" for i in range(4)}), silent=["n3"])
    assert {to for _name, _from, to in moving.plan(found, Ask(drain="n1")).moves} == {"n2"}
    assert moving.plan(found, Ask(["a1"], to="n3")).errors == ["n3 did not answer"]


def test_groups_have_one_session_for_each_pair_and_no_more_members_than_allowed() -> None:
    moves = [(f"a{i}", "n1", "n2") for i in range(5)] + [("b", "n2", "n1")]
    groups = Moves(moves).groups("acme", 2)
    assert [group["containers"] for group in groups] == [["a0", "a1"], ["a2", "a3"], ["a4"], ["b"]]
    assert len({group["session"] for group in groups}) == 2
    assert groups == Moves(moves).groups("acme", 2)


places = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["n1", "n2", "n3"]), min_size=1)


@given(places, st.sampled_from(["n1", "n2", "n3"]))
def test_draining_leaves_nothing_and_overfills_nobody(at: dict[str, str], drained: str) -> None:
    made = plan(at, Ask(drain=drained))
    after = {**at, **{name: to for name, _from, to in made.moves}}
    assert {name for name, node in after.items() if node == drained} == set(made.stuck)
    for node in {"n1", "n2", "n3"} - {drained}:
        before = sum(1 for place in at.values() if place == node)
        assert sum(1 for place in after.values() if place == node) <= max(before, 4)
