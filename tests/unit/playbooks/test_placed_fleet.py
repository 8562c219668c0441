# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets of several nodes, from their manifest to what is on the nodes, by whole runs of the playbooks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unit.playbooks.conftest import EMPTY, Lot

NOTHING = "No changes. The fleet is as declared."
FLEET = """\
plugin: carve.vps.fleet
version: 1
fleet: acme
templates: {debian-13: {build: {suite: trixie}}}
networks:
  public: {mode: routed, subnet: 203.0.113.0/24, pool: 203.0.113.100-139}
NODES
defaults: {template: debian-13, ram: 1G}
containers:
"""
NODES = {"node1": "labels: {zone: a}", "node2": "labels: {zone: b}"}
WEB = "  web: {count: 4, network: {eth0: {on: public, ip: auto}}}\n"


def test_placed_looked_at_and_left_alone(lot: Lot) -> None:
    lot.write(FLEET + WEB + "  db: {node: node1}\n  lb: {placement: {match: {zone: b}}}\n", NODES)
    planned = lot.run("plan")
    assert (planned.code, planned.err) == (0, "")
    assert "      only node2 has zone=b" in planned.lines
    assert planned.lines.count("      spread: fewest of its kind") == 4
    assert planned.lines[-1] == "Plan: 2 to build, 6 to create."
    assert lot.calls() == {"node1": [True], "node2": [True]}
    done = lot.run("apply")
    assert (done.code, done.err) == (0, "")
    assert done.lines[-1] == "Applied: 2 built, 6 created."
    where = lot.where()
    assert [len([name for name in names if name.startswith("web")]) for names in where.values()] == [2, 2]
    assert ("db" in where["node1"], "lb" in where["node2"]) == (True, True)
    assert lot.calls() == {"node1": [True, False], "node2": [True, False]}
    for forget in (False, True):
        if forget:
            lot.forget()
        for playbook in ("apply", "plan", "drift"):
            again = lot.run(playbook)
            assert (again.code, again.err) == (0, "")
            assert again.lines[-1] in (NOTHING, "No drift. The fleet is as declared.")
            assert lot.calls() == {"node1": [True], "node2": [True]}
    assert lot.where() == where


def swap(lot: Lot) -> None:
    """Exchange what two nodes have, behind everybody's back."""
    one, other = lot.seen("node1"), lot.seen("node2")
    lot.put("node1", other)
    lot.put("node2", one)


def test_what_was_moved_by_hand_is_at_home_where_it_is_found(lot: Lot) -> None:
    lot.write(FLEET + WEB, NODES)
    assert lot.run("apply").code == 0
    before = lot.where()
    addresses = {name: lot.ip(node, name) for node, names in before.items() for name in names}
    swap(lot)
    lot.calls()
    ran = lot.run("apply", "-e", "carve_allow=destroy,restart,rebuild")
    assert (ran.code, ran.err, ran.lines[-1]) == (0, "", NOTHING)
    assert lot.calls() == {"node1": [True, True], "node2": [True, True]}
    assert lot.where() == {"node1": before["node2"], "node2": before["node1"]}
    assert {name: lot.ip(node, name) for node, names in lot.where().items() for name in names} == addresses
    # It is remembered.
    assert lot.run("plan").lines == [NOTHING]
    assert lot.calls() == {"node1": [True], "node2": [True]}


@pytest.mark.parametrize("known", [True, False])
def test_what_is_pinned_and_elsewhere_is_neither_made_again_nor_destroyed(lot: Lot, known: bool) -> None:
    lot.write(FLEET + "  db: {node: node1}\n  web: {node: node2}\n", NODES)
    assert lot.run("apply").code == 0
    lot.write(FLEET + "  db: {node: node2}\n  web: {node: node2}\n", NODES)
    if not known:
        lot.forget()
    before = lot.where()
    for playbook, verb in (("plan", "Plan: 1 to move. 1 held back."), ("apply", "Plan: 1 to move. 1 held back.")):
        ran = lot.run(playbook, "-e", "carve_allow=destroy,restart,rebuild")
        assert (ran.code, ran.err) == (0, "")
        assert f"{'  > container db':<52} move, held: carve.vps.migrate moves it" in ran.lines
        assert "      belongs on node2" in ran.lines
        assert ran.lines[-1] == verb
        assert not [line for line in ran.lines if line.startswith("  +")]
    drift = lot.run("drift")
    assert drift.lines[-1] == "Drift: 1 elsewhere."
    assert lot.where() == before


def test_a_copy_is_reported_and_left(lot: Lot) -> None:
    lot.write(FLEET + "  db: {node: node1}\n", NODES)
    assert lot.run("apply").code == 0
    lot.put("node2", lot.seen("node1"))
    ran = lot.run("apply", "-e", "carve_allow=destroy")
    assert ran.code == 0
    assert any("is on node1, too, where it belongs" in line for line in ran.lines)
    assert lot.where() == {"node1": ["db"], "node2": ["db"]}


def test_a_node_that_does_not_answer_fails_alone_and_nothing_is_made_twice(lot: Lot) -> None:
    lot.write(FLEET + WEB, NODES)
    assert lot.run("apply").code == 0
    where = lot.where()
    lot.forget()
    lot.silent = {"node2"}
    lot.write(FLEET + WEB + "  db: {node: node1}\n", NODES)
    ran = lot.run("apply")
    assert ran.code == 4
    assert "node2" in ran.lines
    made = [line.split() for line in ran.lines if line.startswith("  + container")]
    assert made == [["+", "container", "db", "create,", "start"], ["+", "container", "db", "created,", "started"]]
    assert lot.where() == {"node1": sorted([*where["node1"], "db"]), "node2": where["node2"]}


def test_who_was_not_asked_may_have_it(lot: Lot) -> None:
    lot.write(FLEET + WEB, NODES)
    ran = lot.run("apply", "--limit", "node1")
    assert ran.code == 0
    text = " ".join(line.strip() for line in ran.lines)
    assert "may be on node2, which was not asked; pin it by node:, or delete a node that is lost" in text
    assert lot.where() == {"node1": [], "node2": []}
    assert lot.run("apply").code == 0
    assert sum(map(len, lot.where().values())) == 4


def test_what_fits_nowhere_stops_the_run(lot: Lot) -> None:
    nodes = {name: f"{options}, capacity: {{ram: 1G}}" for name, options in NODES.items()}
    lot.write(FLEET + "  web: {count: 3}\n", nodes)
    for playbook in ("plan", "apply", "drift"):
        ran = lot.run(playbook)
        assert ran.code == 2
        assert "web-3: fits on no node: node1 has 0 of ram to promise, and 1G is asked for" in ran.out
    assert lot.where() == {"node1": [], "node2": []}
    # It does run somewhere, so it need not fit.
    lot.write(FLEET + "  web: {count: 3}\n", NODES)
    assert lot.run("apply").code == 0
    lot.write(FLEET + "  web: {count: 3}\n", nodes)
    assert lot.run("plan").lines[-1] == NOTHING


def test_a_guess_that_conflicts_with_what_is_there_is_made_again(lot: Lot) -> None:
    """The first look of a controller that knows nothing may be impossible; the second is not."""
    nodes = {"node1": ""}
    lot.write(FLEET + WEB, nodes)
    assert lot.run("apply").code == 0
    seen = lot.seen("node1")
    ip, had = "network.eth0.ip", seen.containers
    exchanged = {
        f"web-{n}": replace(
            had[f"web-{n}"],
            recorded={**had[f"web-{n}"].recorded, ip: had[f"web-{5 - n}"].recorded[ip]},
            seen={**had[f"web-{n}"].seen, ip: had[f"web-{5 - n}"].seen[ip]},
        )
        for n in range(1, 5)
    }
    lot.put("node1", replace(seen, containers=exchanged))
    lot.forget()
    lot.calls()
    ran = lot.run("apply")
    assert (ran.code, ran.err, ran.lines) == (0, "", [NOTHING])
    assert lot.calls() == {"node1": [True, True]}


def test_a_saved_plan_is_bound_to_what_was_looked_at_last(lot: Lot) -> None:
    lot.write(FLEET + WEB, NODES)
    assert lot.run("apply").code == 0
    swap(lot)
    lot.write(FLEET + WEB.replace("4", "6"), NODES)
    assert lot.run("plan", "-e", "carve_plan_file=saved.plan").code == 0
    lot.forget()
    done = lot.run("apply", "-e", "carve_saved_plan=saved.plan")
    assert (done.code, done.lines[-1]) == (0, "Applied: 2 created.")
    stale = lot.run("apply", "-e", "carve_saved_plan=saved.plan")
    assert stale.code == 2
    assert "has changed since the plan was made" in stale.out


def test_one_node_is_not_looked_at_twice(lot: Lot) -> None:
    lot.write(FLEET + "  db:\n", {"node1": ""})
    lot.put("node1", EMPTY)
    assert lot.run("apply").code == 0
    assert lot.calls() == {"node1": [False]}
