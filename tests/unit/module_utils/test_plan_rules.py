# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plans make of the node's rules, of what interfaces may send, and of what holds for all containers together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import plan

from unit.module_utils.worlds import EMPTY, NETWORKS, drifted, lines, node, one

LAN: dict[str, Any] = {"on": "lan", "ip": "10.20.0.5"}
GONE = "inet carve is gone"


def test_rules_that_are_meddled_with_are_one_step_before_all_else() -> None:
    wanted = one({"network": {"eth0": LAN}})
    world = replace(node(wanted), meddled=(GONE,))
    assert lines(plan.make(wanted, world)) == [f"rules change network: rules {GONE} -> whole (changed on the node)"]
    assert plan.make(wanted, node(wanted, world)).steps == ()


def test_a_group_of_all_containers_without_the_sum_of_their_guarantees_is_one_step() -> None:
    wanted = one({"ram": "1G", "ram_guarantee": "256M"})
    world = replace(node(wanted), unshared=(0, 256 << 20))
    made = plan.make(wanted, world)
    assert lines(made) == ["guarantees change memory: ram_guarantee 0 -> 256M (changed on the node)"]
    assert [(step.kind, step.phase, step.reach) for step in made.steps] == [("node", "node", "live")]
    assert plan.make(wanted, node(wanted, world)).steps == ()


def test_what_an_interface_may_is_changed_while_it_runs() -> None:
    before = node(one({"network": {"eth0": LAN}}))
    after = one({"network": {"eth0": {**LAN, "trusted": True, "rate_in": "10mbit", "rate_out": "1.5mbit"}}}, allow=[])
    assert lines(plan.make(after, before)) == [
        (
            "web change network: network.eth0.rate_in - -> 10mbit, network.eth0.rate_out - -> 1.5mbit, "
            "network.eth0.trusted false -> true (declared)"
        )
    ]


def test_a_rate_that_is_no_longer_declared_is_lifted() -> None:
    before = node(one({"network": {"eth0": {**LAN, "rate_in": "10mbit"}}}))
    made = plan.make(one({"network": {"eth0": LAN}}, allow=[]), before)
    assert lines(made) == ["web change network: network.eth0.rate_in 10mbit -> - (declared)"]


def test_a_rate_that_the_kernel_cannot_hold_is_refused_before_anything_is_done() -> None:
    wanted = one({"network": {"eth0": {**LAN, "rate_in": "10mbit", "rate_out": "10mbit"}}})
    world = replace(EMPTY, cannot={"network.rate_out": "this kernel has no ifb; delete it"})
    made = plan.make(wanted, world)
    assert made.errors == ("web: network.eth0.rate_out: this kernel has no ifb; delete it",)
    assert plan.make(one({"network": {"eth0": LAN}}), world).errors == ()


def test_a_networks_firewall_reaches_all_that_are_on_it() -> None:
    before = node(one({"network": {"eth0": LAN}}))
    networks = {**NETWORKS, "lan": {**NETWORKS["lan"], "firewall": {"between": "deny", "node": ["udp/53", "tcp/53"]}}}
    made = plan.make(one({"network": {"eth0": LAN}}, allow=[], networks=networks), before)
    assert lines(made) == [
        (
            "web change network: network.eth0.firewall between=allow, node=deny -> "
            "between=deny (10.20.0.0/24), node=tcp/53+udp/53 (declared)"
        )
    ]


def test_what_is_done_by_hand_is_undone() -> None:
    wanted = one({"network": {"eth0": LAN}})
    found = drifted(node(wanted), "web", network__eth0__trusted=True, network__eth0__firewall=None)
    assert lines(plan.make(wanted, found)) == [
        (
            "web change network: network.eth0.trusted true -> false, network.eth0.firewall - -> "
            "between=allow, node=deny (changed on the node)"
        )
    ]
