# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from a look at a fleet: when the prediction held, when not, and what must not be done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import settlement, whereabouts
from ansible_collections.carve.vps.plugins.plugin_utils.settlement import Look, Settlement, Share
from ansible_collections.carve.vps.plugins.plugin_utils.whereabouts import NOWHERE, Whereabouts
from hypothesis import given
from hypothesis import strategies as st

NOTHING: dict[str, Any] = {}


def share(*names: str, placed: str = "", absent: str = "", **addresses: str) -> Share:
    pooled = {name: {"eth0": [address]} for name, address in addresses.items()}
    return Share(frozenset(names), frozenset(absent.split()), frozenset(placed.split()), pooled)


def has(**addresses: str) -> dict[str, dict[str, list[str]]]:
    return {name: {"eth0": [address]} if address else {} for name, address in addresses.items()}


def look(shares: dict[str, Share], found: dict[str, Any], before: Whereabouts = NOWHERE, **more: Any) -> Look:
    silent = {name: "did not answer" for name in shares if name not in found}
    return Look(shares, found, silent, more.pop("unplaced", {}), before, before.digest(), **more)


def quiet(settled: Settlement) -> bool:
    return not (settled.stale or settled.elsewhere or settled.hold or settled.again or settled.errors)


def test_where_the_prediction_holds_nothing_is_asked_again() -> None:
    shares = {"n1": share("a", "b", placed="a", a="10.0.0.1"), "n2": share("c")}
    settled = settlement.settle(look(shares, {"n1": has(a="10.0.0.1", b=""), "n2": has(c="")}))
    assert quiet(settled)
    assert settled.known == Whereabouts({"a": "n1", "b": "n1", "c": "n2"}, {"a": {"eth0": ["10.0.0.1"]}})


def test_an_empty_fleet_is_as_predicted_from_nothing() -> None:
    assert quiet(settlement.settle(look({"n1": share("a", placed="a"), "n2": share()}, {"n1": {}, "n2": {}})))


@pytest.mark.parametrize(
    "found",
    [
        {"n1": {}, "n2": has(a="10.0.0.1")},
        {"n1": has(a="10.0.0.2"), "n2": {}},
        {"n1": has(a="10.0.0.1", b=""), "n2": {}},
    ],
    ids=["another node", "another address", "one of two new ones is there"],
)
def test_another_place_or_address_makes_the_prediction_stale(found: dict[str, Any]) -> None:
    shares = {"n1": share("a", "b", "c", placed="a b c" if "b" in found["n1"] else "a", a="10.0.0.1"), "n2": share()}
    settled = settlement.settle(look(shares, found))
    assert settled.stale
    assert settled.looked == {name: one.digest() for name, one in shares.items()}
    # Made again from what is known now, it is not stale, whatever it says.
    assert not settlement.settle(look(shares, found, settled.known)).stale


def test_nodes_whose_share_is_another_are_looked_at_again() -> None:
    before = {"n1": share("a", placed="a"), "n2": share("b"), "n3": share("c")}
    found = {"n1": {}, "n2": has(a="", b=""), "n3": has(c="")}
    first = settlement.settle(look(before, found))
    after = {"n1": share(), "n2": share("a", "b", placed="a"), "n3": share("c")}
    second = settlement.settle(look(after, found, first.known, looked=first.looked))
    assert (second.stale, second.again, second.elsewhere, second.hold) == (False, ["n1", "n2"], {}, {})


def test_what_is_pinned_elsewhere_is_told_to_both() -> None:
    settled = settlement.settle(look({"n1": share("a"), "n2": share("b")}, {"n1": has(b=""), "n2": {}}))
    assert settled.elsewhere == {"n1": {"b": "n2"}, "n2": {"b": "n1"}}
    assert settled.again == ["n1", "n2"]


def test_a_copy_is_held_where_it_should_not_be() -> None:
    settled = settlement.settle(look({"n1": share("a"), "n2": share()}, {"n1": has(a=""), "n2": has(a="")}))
    assert settled.elsewhere == {}
    assert settled.hold == {
        "n2": {"a": "is on n1, too, where it belongs; see which of the two a is right, and remove the other by hand"}
    }


def test_of_two_copies_only_what_is_remembered_or_pinned_says_which_is_right() -> None:
    shares = {"n1": share("a", placed="a"), "n2": share()}
    found = {"n1": has(a=""), "n2": has(a="")}
    settled = settlement.settle(look(shares, found))
    why = "is on n1 and n2; see which is right and pin a to it by node:"
    assert settled.hold == {"n1": {"a": why}, "n2": {"a": why}} and settled.known == NOWHERE
    # One that would be placed on a third node is made there no more than it is chosen by chance.
    third = settlement.settle(look({**shares, "n1": share(), "n3": share("a", placed="a")}, {**found, "n3": {}}))
    assert third.hold == settled.hold and "a" in third.elsewhere["n3"] and third.known == NOWHERE

    remembered = settlement.settle(look(shares, found, Whereabouts({"a": "n1"})))
    assert set(remembered.hold) == {"n2"} and remembered.known.nodes == {"a": "n1"}


def test_an_old_copy_does_not_take_the_place_of_one_whose_node_is_silent() -> None:
    shares = {"n1": share("a", placed="a"), "n2": share()}
    before = Whereabouts({"a": "n1"})
    settled = settlement.settle(look(shares, {"n2": has(a="")}, before, stopped={"n2": frozenset("a")}))
    assert not settled.stale and settled.known == before and settled.elsewhere["n2"] == {"a": "n1"}
    assert settled.hold["n2"]["a"].startswith(
        "was last seen on n1, which did not answer, and may be an old copy here; "
    )
    # What runs is where it runs: somebody has moved it.
    running = settlement.settle(look(shares, {"n2": has(a="")}, before))
    assert running.stale and running.known.nodes == {"a": "n2"}


def test_undeclared_ones_are_prunes_business() -> None:
    assert quiet(settlement.settle(look({"n1": share(), "n2": share()}, {"n1": has(old=""), "n2": {}})))


def test_what_may_be_on_a_silent_node_is_not_made() -> None:
    shares = {"n1": share("a", "b", "c", placed="a c"), "n2": share(), "n3": share(), "n4": share("d", placed="d")}
    one = look(shares, {"n1": has(c=""), "n2": {}})
    one = replace(one, silent={"n3": "did not answer", "n4": "was not asked"})
    known = settlement.settle(one).known
    settled = settlement.settle(replace(one, before=known, made_from=known.digest()))
    assert settled.hold == {
        "n1": {
            "a": "may be on n3, which did not answer, or n4, which was not asked; "
            "pin it by node:, or delete a node that is lost from the manifest"
        }
    }
    assert settled.again == ["n1"]


def test_many_silent_nodes_are_counted() -> None:
    shares = {"n1": share("a", placed="a"), **{f"s{n}": share() for n in range(9)}}
    held = settlement.settle(look(shares, {"n1": {}})).hold["n1"]["a"]
    assert held.startswith("may be on s0, s1, s2 and 6 more, which did not answer; ")


def test_what_is_remembered_of_a_silent_node_stays_remembered() -> None:
    before = Whereabouts({"a": "n2", "b": "n2", "gone": "n2", "c": "n1"}, {"a": {"eth0": ["10.0.0.9"]}})
    shares = {"n1": share("b", "c", placed="b"), "n2": share("a", placed="a", a="10.0.0.9")}
    settled = settlement.settle(look(shares, {"n1": has(b="")}, before))
    # Of b it is known better, c has gone, and nobody declares the one that is gone.
    assert settled.known == Whereabouts({"a": "n2", "b": "n1"}, {"a": {"eth0": ["10.0.0.9"]}})


def test_what_fits_nowhere_is_an_error_unless_it_is_there() -> None:
    shares = {"n1": share(), "n2": share()}
    missing = settlement.settle(look(shares, {"n1": {}, "n2": {}}, unplaced={"a": "fits on no node: because"}))
    assert (missing.stale, missing.errors) == (False, ["a: fits on no node: because"])
    there = settlement.settle(look(shares, {"n1": {}, "n2": has(a="10.0.0.1")}, unplaced={"a": "fits on no node"}))
    assert (there.stale, there.errors) == (True, [])
    assert there.known == Whereabouts({"a": "n2"}, {"a": {"eth0": ["10.0.0.1"]}})


def test_one_that_should_not_exist_is_destroyed_where_it_is() -> None:
    shares = {"n1": share("old", absent="old"), "n2": share()}
    settled = settlement.settle(look(shares, {"n1": {}, "n2": has(old="")}))
    assert settled.stale
    assert settled.known.nodes == {"old": "n2"}
    assert quiet(settlement.settle(look(shares, {"n1": {}, "n2": {}})))


def test_findings_tell_failure_from_absence() -> None:
    results = {
        "n1": {"containers": {"a": {"state": "running", "ip": {"eth0": ["10.0.0.1"]}}}}, "n2": {"unreachable": True},
        "n3": None, "n4": {"containers": {}}, "n5": {"failed": True, "containers": {"b": {"state": "stopped"}}},
    }  # fmt: skip
    said = settlement.findings(results, ["n1", "n2", "n3", "n5"])
    assert said.found == {"n1": {"a": {"eth0": ["10.0.0.1"]}}, "n5": {"b": {}}}
    assert said.silent == {"n2": "did not answer", "n3": "did not answer", "n4": "was not asked"}
    assert said.stopped == {"n1": frozenset(), "n5": {"b"}}
    assert said.left == {}


def test_what_was_handed_to_a_silent_node_is_not_taken_back() -> None:
    aside = {"state": "set aside", "ip": {}, "was_running": True, "handed_to": "n2"}
    said = settlement.findings({"n1": {"containers": {"a": aside}}, "n2": {}}, ["n1", "n2"])
    assert list(said.held["n1"]) == ["a"] and "n2, which did not answer" in said.held["n1"]["a"]
    # Known not to have it, or given up for lost: it is the container.
    for others, asked in (({"n2": {"containers": {}}}, ["n1", "n2"]), ({}, ["n1"])):
        assert settlement.findings({"n1": {"containers": {"a": aside}}, **others}, asked).held == {}


@pytest.mark.parametrize(("state", "held"), [("stopped", True), ("suspended", True), ("running", False)])
def test_what_was_set_aside_stays_until_the_other_copy_runs(state: str, held: bool) -> None:
    aside = {"state": "set aside", "ip": {}, "was_running": True, "handed_to": "n2"}
    there = {"a": {"state": state, "ip": {}}}
    said = settlement.findings({"n1": {"containers": {"a": aside}}, "n2": {"containers": there}}, ["n1", "n2"])
    assert said.left == {"n1": {"a": "n2"}} and bool(said.held.get("n1")) == held


def test_what_a_move_has_set_aside_is_the_container_unless_another_node_has_it() -> None:
    aside, runs = {"state": "set aside", "ip": {}}, {"state": "running", "ip": {}}
    said = settlement.findings({"n1": {"containers": {"a": aside, "b": aside}}, "n2": {"containers": {"b": runs}}},
                               ["n1", "n2"])  # fmt: skip
    assert said.found == {"n1": {"a": {}}, "n2": {"b": {}}}
    assert said.left == {"n1": {"b": "n2"}}
    # Declared where it came to, or where it came from: the node that has a copy left is told, and looked at again.
    for home in ("n1", "n2"):
        shares = {"n1": share(), "n2": share(), home: share("b")}
        settled = settlement.settle(look(shares, {"n1": {}, "n2": has(b="")}, left=said.left))
        assert settled.elsewhere["n1"] == {"b": "n2"} and "n1" in settled.again


def test_shares_are_read_from_the_inventorys_variables() -> None:
    variables = {
        "carve_desired": {"containers": {"a": {}, "b": {"state": "absent"}, "c": {"ram": "{{ x }}"}}},
        "carve_placed": {"a": {"why": "stays where it runs"}, "c": {"ip": {"eth0": ["10.0.0.3"]}}},
    }
    assert settlement.shares({"n1": variables, "n2": {}}) == {
        "n1": share("a", "b", "c", placed="a", absent="b", c="10.0.0.3"),
        "n2": share(),
    }


names = st.sampled_from("abc")
nodes = st.sampled_from(["n1", "n2", "n3"])


@given(
    st.dictionaries(names, nodes), st.dictionaries(names, st.sets(nodes, min_size=1)), st.sets(names), st.sets(nodes)
)
def test_nothing_is_made_that_may_be_elsewhere(
    homes: dict[str, str], places: dict[str, set[str]], pinned: set[str], silent: set[str]
) -> None:
    shares = {
        node: share(
            *(c for c, home in homes.items() if home == node),
            placed=" ".join(c for c, home in homes.items() if home == node and c not in pinned),
        )
        for node in ("n1", "n2", "n3")
    }
    found = {node: {c: {} for c, on in places.items() if node in on} for node in shares if node not in silent}
    first = settlement.settle(look(shares, found))
    settled = settlement.settle(look(shares, found, first.known))
    assert not settled.stale
    seen = {c for node in found for c in found[node]}
    for container, home in homes.items():
        if home not in found or container in found[home]:
            continue
        told = {**settled.elsewhere.get(home, {}), **settled.hold.get(home, {})}
        assert (container in told) == (container in seen or (container not in pinned and bool(silent)))
        assert container not in told or home in settled.again


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    seen = Whereabouts({"a": "n1"}, {"a": {"eth0": ["10.0.0.1", "fd00::1"]}})
    path = tmp_path / "deep" / "file"
    whereabouts.save(path, seen)
    assert whereabouts.load(path) == seen
    assert whereabouts.load(path).digest() == seen.digest() != NOWHERE.digest()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"format": 2, "nodes": {}, "addresses": {}}', '{"format": 1, "nodes": [1]}',
             '{"format": 1, "nodes": {}, "addresses": {"a": {"eth0": 7}}}'],
)  # fmt: skip
def test_what_cannot_be_read_is_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    assert whereabouts.load(path) == NOWHERE
    assert whereabouts.load(tmp_path / "none") == NOWHERE


def test_what_cannot_be_remembered_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    whereabouts.save(tmp_path / "file" / "below", NOWHERE)
