# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How change plans look."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired, plan
from ansible_collections.carve.vps.plugins.module_utils.steps import NodeSeen
from ansible_collections.carve.vps.plugins.plugin_utils import outcome, render
from ansible_collections.carve.vps.plugins.plugin_utils.render import Style

from unit.callback.recorded import NEW, busy, carried_out, result, step

UTF8 = Style(utf8=True)


def text(verb: str, style: Style, **results: dict[str, Any]) -> str:
    lines = [line for name, found in results.items() for line in render.node(name, found, verb, style)]
    return "\n".join([*lines, *render.closing(results, verb, style)]) + "\n"


PLAN = """\
node1
  ~ runtime                                          live
      runtime    none → 1a2b  (programs that start containers)
  + network br-lan                                   create
      addresses 10.20.0.1/24, mtu 1500
  + template debian-13                               build
      version 3f2a
  ~ container db                                     live
      ram        2G → 3G    (declared)
      swap       none → 1G  (declared)
      cpus       1 → 2      (changed on the node)
  ~ container edited                                 live
      config     (changed on the node)
        - lxc.cgroup2.memory.max = 1
        - lxc.log.level = 9
        + lxc.cgroup2.memory.max = 536870912
  - container gone                                   destroy, held: needs allow: destroy
      no longer declared, running
  ~ container halted                                 start
      state      stopped → running  (stopped on the node)
  ! container mail                                   live; restart, held: needs allow: restart
      ram              2G → 1G                                (live, declared)
      network.eth0.mac 02:00:00:00:00:01 → 02:00:00:00:00:02  (restart, declared)
  -/+ container old                                  rebuild, held: needs allow: rebuild
      template   web@1a2b → web@3c4d  (template has changed)
  + container web-1                                  create, start
      template debian-13, cpus 1, ram 512M, eth0 203.0.113.10/32
  + container web-2                                  create
      template debian-13, cpus 1, ram 512M, eth0 203.0.113.10/32
  + container web-10                                 create
      template debian-13, cpus 1, ram 512M, eth0 203.0.113.10/32
  unmanaged by this fleet, never touched: legacy, someone-elses
  note: old was made from web@1a2b
Plan: 1 to build, 4 to create, 5 to change, 1 to restart, 1 to rebuild, 1 to destroy. 3 held back.
"""


def test_plan() -> None:
    found = result(*busy(), unmanaged=["legacy", "someone-elses"], notes=["old was made from web@1a2b"])
    assert text("plan", UTF8, node1=found) == PLAN


def test_plan_in_ascii() -> None:
    found = result(*busy(), unmanaged=["legacy", "someone-elses"], notes=["old was made from web@1a2b"])
    assert text("plan", Style(), node1=found) == PLAN.replace("→", "->")


def test_failed_apply_says_what_was_done_what_failed_and_what_was_not_tried() -> None:
    steps = carried_out(busy(), db="failed", halted="planned", web_10="not tried")
    found = result(*steps, failed=True, errors=["db: cpu.max: No space left on device\nsecond line"])
    shown = text("apply", UTF8, node1=found)
    assert "  ~ container db                                     change FAILED\n" in shown
    assert "  ~ container halted                                 start not tried\n" in shown
    assert "  + container web-10                                 create not tried\n" in shown
    assert "  + container web-1                                  created, started\n" in shown
    assert "  + network br-lan                                   created\n" in shown
    assert (
        "  ! container mail                                   changed live; restart, held: needs allow: restart"
        in shown
    )
    assert "      ram              2G → 1G                                (changed live, declared)\n" in shown
    assert "  error: db: cpu.max: No space left on device\n    second line\n" in shown
    assert shown.endswith(
        "Applied: 1 built, 3 created, 3 changed, 1 failed, 2 not tried. 3 held back. 1 node failed.\n"
    )


def test_a_container_that_was_created_but_did_not_start() -> None:
    steps = [
        step("web-1", "create", "create", "declared", *NEW, status="done"),
        step("web-1", "start", "live", "declared running", ("state", None, "running"), status="failed"),
    ]
    shown = text("apply", UTF8, node1=result(*steps, failed=True, errors=["web-1: no init"]))
    assert "  + container web-1                                  created, start FAILED\n" in shown
    assert shown.endswith("Applied: 1 created, 1 failed. 1 node failed.\n")


DRIFT = """\
node1
  ~ container db                                     different
      ram        3G declared, 2G found  (changed on the node)
  - container gone                                   not declared
      no longer declared
  ~ container halted                                 stopped
      state      running declared, stopped found  (stopped on the node)
  + container web-1                                  missing
Drift: 1 missing, 2 different, 1 not declared.
"""


def test_drift_names_each_difference() -> None:
    steps = (
        step("gone", "destroy", "destroy", "no longer declared", ("state", "stopped", None), held="needs allow"),
        step("db", "change", "live", "changed on the node", ("ram", "2G", "3G")),
        step("web-1", "create", "create", "declared", *NEW),
        step("web-1", "start", "live", "declared running", ("state", None, "running")),
        step("halted", "start", "live", "stopped on the node", ("state", "stopped", "running")),
    )
    assert text("drift", UTF8, node1=result(*steps)) == DRIFT


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("plan", "No changes. The fleet is as declared.\n"),
        ("apply", "No changes. The fleet is as declared.\n"),
        ("drift", "No drift. The fleet is as declared.\n"),
    ],
)
def test_nothing_to_do_is_one_line(verb: str, words: str) -> None:
    assert text(verb, UTF8, node1=result(), node2=result()) == words


def test_no_success_is_claimed_for_nodes_that_failed_or_did_not_answer() -> None:
    shown = text(
        "plan",
        UTF8,
        node1=result(),
        node2={"unreachable": True, "msg": "Connection refused"},
        node3={"failed": True, "msg": "it broke"},
    )
    assert shown == (
        "node2\n  unreachable: Connection refused\nnode3\n  error: it broke\n1 node failed, 1 node unreachable.\n"
    )


def test_verbose_shows_every_option_of_what_is_created() -> None:
    shown = text("plan", Style(verbosity=1), node1=result(step("web-1", "create", "create", "declared", *NEW)))
    for field, _before, after in NEW:
        assert f"      {field:<17}  {after}\n" in shown
    assert "  observe 0.031 s, plan 0.002 s\n  fingerprint f00d\n" in shown


def test_unmanaged_containers_are_not_told_after_every_apply() -> None:
    found = result(unmanaged=["legacy"])
    assert render.node("node1", found, "plan", UTF8) == ["node1", "  unmanaged by this fleet, never touched: legacy"]
    assert render.node("node1", found, "apply", UTF8) == []


def test_nothing_from_a_node_steers_the_terminal() -> None:
    found = result(
        step("x", "change", "live", "r\x1b[2J", ("config", "a\x1b[31m\r\nb\x07", "c\x9b1m")),
        unmanaged=["e\x1b[0mvil"],
        notes=["n\x00te"],
        errors=["e\x08rr\x1b]0;title\x07"],
    )
    shown = text("plan", UTF8, **{"no\x1bde": found})
    assert not {c for c in shown if not c.isprintable()} - {"\n"}


def test_colour_is_only_added() -> None:
    found = result(*busy(), unmanaged=["legacy"], notes=["n"], errors=["e"])
    coloured = text("plan", Style(utf8=True, colour=True), node1=found)
    assert "\x1b[32m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == text("plan", UTF8, node1=found)


def test_long_lists_are_told_by_what_comes_and_goes() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} ops@example.net"
    before, after = ", ".join(map(key.format, "AB")), ", ".join(map(key.format, "BC"))
    shown = text("plan", UTF8, node1=result(step("x", "change", "live", "declared", ("ssh_keys", before, after))))
    assert f"        - {key.format('A')}\n        + {key.format('C')}\n" in shown
    assert key.format("B") not in shown


def test_every_action_of_the_planner_has_its_words() -> None:
    for action in outcome.STRENGTH:
        one = step("x", action, "live", "declared")
        assert render.node("n", result(one), "drift", UTF8)
        assert render.node("n", result({**one, "status": "done"}), "apply", UTF8)
        for verb in ("plan", "drift", "apply"):
            done = {**one, "status": "done"} if verb == "apply" else one
            assert "1 " in render.closing({"n": result(done)}, verb, UTF8)[0]


def test_what_the_planner_makes_is_rendered() -> None:
    """The planner's own words, not only those of recorded results."""
    wanted, problems = desired.build(
        {
            "fleet": "acme",
            "templates": {"debian-13": {"build": {"suite": "trixie"}}},
            "networks": {"public": {"mode": "routed", "subnet": "203.0.113.0/24"}},
            "containers": {
                "web-1": {
                    "template": "debian-13",
                    "ram": "512M",
                    "network": {"eth0": {"on": "public", "ip": "203.0.113.10"}},
                },
            },
        }
    )  # fmt: skip
    assert problems == []
    made = plan.make(wanted, NodeSeen())
    shown = text("plan", UTF8, node1=result(*({**one.public(), "status": "planned"} for one in made.steps)))
    assert "  + container web-1                                  create, start\n" in shown
    assert "      template debian-13, ram 512M, eth0 203.0.113.10/32\n" in shown
    assert shown.endswith("Plan: 1 to build, 1 to create.\n")
