# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers find their nodes: what holds for every fleet, and the words for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import placement
from ansible_collections.carve.vps.plugins.plugin_utils.placement import PACK, SPREAD, STAYS, Node, Placement, Request
from hypothesis import given, settings
from hypothesis import strategies as st

GB = 1 << 30
A, B = (("zone", "a"),), (("zone", "b"),)

zones = st.sampled_from(["a", "b"])
fleets = st.lists(
    st.builds(
        lambda zone, ram, cpus, cordon: Node("", {"zone": zone}, ram, cpus, cordon),
        zones, st.none() | st.integers(0, 12), st.none() | st.integers(0, 800), st.booleans(),
    ),
    min_size=1, max_size=7,
).map(lambda nodes: [node._replace(name=f"node{index}") for index, node in enumerate(nodes)])  # fmt: skip
kinds = st.tuples(
    st.integers(0, 5), st.integers(0, 300), st.none() | st.sampled_from(["node0", "node1"]),
    st.sampled_from([(), A, B]), st.sampled_from([SPREAD, PACK]), st.sampled_from([None, "x", "y"]), st.booleans(),
)  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Node], list[Request], dict[str, str]]:
    nodes = draw(fleets)
    names = [node.name for node in nodes]
    requests = []
    for index, (ram, cpus, pin, match, strategy, apart, absent) in enumerate(draw(st.lists(kinds, max_size=5))):
        pinned = pin if pin in names else None
        requests += [
            Request(f"c{index}-{number}", f"c{index}", ram, cpus, pinned, match, strategy, apart, absent)
            for number in range(draw(st.integers(1, 6)))
        ]
    whereabouts = st.sampled_from([*names, "node-that-is-gone"])
    known = {request.name: draw(whereabouts) for request in requests if draw(st.booleans())}
    return nodes, requests, known


def new(found: Placement) -> set[str]:
    return {name for name, reason in found.reasons.items() if reason != STAYS}


@given(worlds())
def test_everybody_has_a_place_or_an_error(world: tuple[list[Node], list[Request], dict[str, str]]) -> None:
    nodes, requests, known = world
    found = placement.place(nodes, requests, known)
    assert set(found.nodes) | set(found.errors) == {request.name for request in requests}
    assert not set(found.nodes) & set(found.errors)
    assert all(error.startswith("fits on no node: ") for error in found.errors.values())


@given(worlds())
def test_pins_hold_and_what_runs_stays(world: tuple[list[Node], list[Request], dict[str, str]]) -> None:
    nodes, requests, known = world
    found = placement.place(nodes, requests, known)
    declared = {node.name for node in nodes}
    for request in requests:
        wanted = request.pinned or known.get(request.name)
        if wanted in declared:
            assert found.nodes[request.name] == wanted


@settings(max_examples=300)
@given(worlds())
def test_new_ones_keep_every_rule(world: tuple[list[Node], list[Request], dict[str, str]]) -> None:
    nodes, requests, known = world
    found = placement.place(nodes, requests, known)
    by_name = {node.name: node for node in nodes}
    there = [request for request in requests if request.name in found.nodes and not request.absent]
    for request in there:
        if request.name not in new(found):
            continue
        node = by_name[found.nodes[request.name]]
        others = [other for other in there if found.nodes[other.name] == node.name]
        assert not node.cordon
        assert all(node.labels.get(key) == value for key, value in request.match)
        assert node.ram is None or sum(other.ram for other in others) <= node.ram
        assert node.cpus is None or sum(other.cpus for other in others) <= node.cpus
        if request.apart:
            assert [other.name for other in others if other.apart == request.apart] == [request.name]


@given(worlds(), st.randoms())
def test_order_means_nothing(world: tuple[list[Node], list[Request], dict[str, str]], chance: object) -> None:
    nodes, requests, known = world
    found = placement.place(nodes, requests, known)
    shuffled = [list(nodes), list(requests)]
    for one in shuffled:
        chance.shuffle(one)  # type: ignore[attr-defined]
    assert placement.place(*shuffled, known) == found  # type: ignore[arg-type]


@given(worlds())
def test_what_was_placed_and_is_known_moves_no_more(world: tuple[list[Node], list[Request], dict[str, str]]) -> None:
    nodes, requests, known = world
    found = placement.place(nodes, requests, known)
    again = placement.place(nodes, requests, found.nodes)
    assert {**again.nodes, **found.nodes} == again.nodes


@given(worlds())
def test_what_could_never_fit_does_not(world: tuple[list[Node], list[Request], dict[str, str]]) -> None:
    nodes, requests, _unused = world
    found = placement.place(nodes, requests, {})
    for request in requests:
        if request.pinned is None and not request.absent and placement.impossible(nodes, request):
            assert request.name in found.errors


def put(nodes: Iterable[Node], requests: Iterable[Request], **known: str) -> dict[str, str]:
    found = placement.place(nodes, requests, known)
    assert not found.errors
    return found.nodes


def web(count: int, **options: object) -> list[Request]:
    return [Request(f"web-{number}", "web", **{"ram": GB, **options}) for number in range(1, count + 1)]  # type: ignore[arg-type]


@pytest.mark.parametrize("ram", [None, 64 * GB])
def test_spread_is_even_in_each_kind(ram: int | None) -> None:
    nodes = [Node(f"n{index}", {}, ram) for index in range(10)]
    requests = web(35) + [Request(f"db-{number}", "db", 2 * GB) for number in range(1, 6)]
    found = put(nodes, requests)
    assert set(Counter(found[f"web-{n}"] for n in range(1, 36)).values()) == {3, 4}
    assert len({found[f"db-{n}"] for n in range(1, 6)}) == 5


def test_spread_takes_the_node_with_the_smaller_share() -> None:
    nodes = [Node("large", {}, 64 * GB), Node("small", {}, 8 * GB)]
    found = put(nodes, [Request(f"c{n}", f"c{n}", GB) for n in range(9)])
    assert Counter(found.values()) == {"large": 8, "small": 1}


def test_spread_counts_what_is_there_already() -> None:
    nodes = [Node("n1", {}), Node("n2", {}), Node("n3", {})]
    found = put(nodes, web(4), **{"web-1": "n1", "web-2": "n1", "web-3": "n2"})
    assert found["web-4"] == "n3"


def test_pack_fills_one_node_after_the_other() -> None:
    nodes = [Node(f"n{index}", {}, 4 * GB) for index in range(3)]
    found = put(nodes, web(6, strategy=PACK))
    assert Counter(found.values()) == {"n0": 4, "n1": 2}
    one_more = Request("db", "db", 2 * GB, strategy=PACK)
    assert put(nodes, [*web(6), one_more], **found)["db"] == "n1"
    assert put(nodes, [*web(6), one_more._replace(ram=3 * GB)], **found)["db"] == "n2"


def test_apart_are_on_different_nodes_of_whatever_kind() -> None:
    nodes = [Node(f"n{index}", {}) for index in range(3)]
    requests = [Request(name, name, apart="dns") for name in ("ns1", "ns2", "resolver")]
    assert set(put(nodes, requests).values()) == {"n0", "n1", "n2"}
    found = placement.place(nodes[:2], requests, {})
    assert found.errors == {"resolver": "fits on no node: n0 has ns1 of apart: dns; n1 has ns2 of apart: dns"}


def test_those_with_the_least_choice_come_first() -> None:
    nodes = [Node("n1", {"zone": "a"}, 4 * GB), Node("n2", {"zone": "b"}, 4 * GB)]
    requests = [Request("any", "any", 4 * GB), Request("here", "here", 4 * GB, match=A)]
    assert put(nodes, requests) == {"here": "n1", "any": "n2"}


def test_reasons() -> None:
    nodes = [
        Node("n1", {"zone": "a"}, 2 * GB), Node("n2", {"zone": "b"}, 8 * GB), Node("n3", {"zone": "b"}, 8 * GB),
        Node("n4", {"zone": "c"}, 8 * GB, cordon=True),
    ]  # fmt: skip
    requests = [
        *web(2), Request("here", "here", match=A), Request("big", "big", 8 * GB),
        Request("lb", "lb", match=B, apart="x"), Request("lb2", "lb2", match=B, apart="x", strategy=PACK),
        Request("old", "old"), Request("pin", "pin", pinned="n1"),
    ]  # fmt: skip
    found = placement.place(nodes, requests, {"old": "n4", "lb2": "n2"})
    assert found.reasons == {
        "old": "stays where it runs",
        "lb2": "stays where it runs",
        "here": "only n1 has zone=a",
        "lb": "only n3 has zone=b and room, apart from lb2",
        "big": "spread: least promised",
        "web-1": "spread: fewest of its kind",
        "web-2": "spread: fewest of its kind",
    }
    assert not found.notes


def test_errors_name_every_node() -> None:
    nodes = [
        Node("n1", {"zone": "b"}), Node("n2", {"zone": "a"}, 2 * GB), Node("n3", {"zone": "a"}, cordon=True),
        Node("n4", {"zone": "a"}, None, 150),
    ]  # fmt: skip
    request = Request("c", "c", 3 * GB, 200, match=A)
    assert placement.place(nodes, [request], {}).errors == {
        "c": "fits on no node: n1 lacks zone=a; n2 has 2G of ram to promise, and 3G is asked for; n3 is cordoned; "
        "n4 has 1.5 cpus to promise, and 2 is asked for"
    }


def test_errors_stay_short_in_large_fleets() -> None:
    nodes = [Node(f"n{n:03}", {"zone": "b" if n % 2 else "a"}, n * 1000, None, n == 8) for n in range(1, 1001)]
    assert placement.place(nodes, [Request("c", "c", GB, match=A)], {}).errors["c"] == (
        "fits on no node: 500 nodes (n001 first) lacks zone=a; 499 nodes (n002 first) have no room; n008 is cordoned"
    )


def test_what_is_there_against_the_rules_stays_and_is_noted() -> None:
    nodes = [Node("n1", {"zone": "a"}, 2 * GB), Node("n2", {"zone": "b"})]
    requests = [*web(3), Request("lost", "lost", match=B), *(Request(n, n, apart="x") for n in ("y", "z"))]
    found = placement.place(nodes, requests, dict.fromkeys(("web-1", "web-2", "web-3", "lost", "y", "z"), "n1"))
    assert set(found.nodes.values()) == {"n1"}
    assert found.notes == [
        "y and z are both on n1 in spite of apart: x; carve.vps.migrate moves one of them",
        "lost stays on n1, which lacks zone=b; carve.vps.migrate moves it",
        "n1 has promised 3G of ram, 1G too much; nothing new is placed there",
    ]


def test_a_container_that_should_not_exist_takes_no_room() -> None:
    nodes = [Node("n1", {}, GB), Node("n2", {}, GB)]
    requests = [Request("old", "old", GB, absent=True), Request("gone", "gone", GB, absent=True), *web(2)]
    found = put(nodes, requests, old="n2")
    assert found["old"] == "n2"
    assert {found["web-1"], found["web-2"]} == {"n1", "n2"}
