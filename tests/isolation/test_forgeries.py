# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The forgeries of the suite would arrive if nothing stopped them, and what is honest does arrive.

The attacks themselves are made with the others (``test_security.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.tests.integration.own_node import run
from ansible_collections.carve.vps.tests.integration.support import box, start_time
from ansible_collections.carve.vps.tests.isolation import forgeries
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, LAN, Scene, prove

BRIDGED = {
    f"{kind} {name}": maker
    for kind in ("V4", "V6", "MAC", "ARP", "NDP", "ROUTER", "DHCP")
    for name, maker in getattr(forgeries, kind).items()
}


def _declare(stage: Scene, **options: Any) -> None:
    """The same options for both of the attacker's interfaces, beside those that they have anyway."""
    declared = stage.fleet.containers[ATTACKER]
    plain = {
        name: {key: value for key, value in interface.items() if key in ("on", "ip")}
        for name, interface in declared["network"].items()
    }
    network = {name: {**interface, **options} for name, interface in plain.items()}
    stage.fleet.containers[ATTACKER] = {**declared, "network": network}
    stage.fleet.apply()


def test_what_a_container_may_say_arrives(stage: Scene) -> None:
    assert set(LAN[ATTACKER]) == set(stage.fleet.containers[ATTACKER]["network"]["eth1"]["ip"])
    assert forgeries.arriving(stage, forgeries.OWN) == set(forgeries.OWN)


def test_forgeries_arrive_from_who_is_trusted_and_from_nobody_else(stage: Scene) -> None:
    """Changed live, each way. What passes a shaper for what is sent comes back behind some of the kernel's hooks."""
    born = start_time(ATTACKER)
    for options, bridged, routed in (
        ({}, set(), set()),
        ({"rate_out": "1gbit"}, set(), set()),
        ({"trusted": True}, set(BRIDGED), set(forgeries.ROUTED)),
        ({"trusted": True, "rate_out": "1gbit"}, set(BRIDGED), set(forgeries.ROUTED)),
        ({}, set(), set()),
    ):
        _declare(stage, **options)
        assert forgeries.arriving(stage, BRIDGED) == bridged, options
        assert forgeries.arriving(stage, forgeries.ROUTED, routed=True) == routed, options
    assert start_time(ATTACKER) == born


def test_frames_that_no_bridge_passes_on_are_taken_in_where_nothing_is_said_of_them(stage: Scene) -> None:
    """By a bridge that was told nothing, from a port of it that is in no set; and no more once a container starts."""
    end = network.host_end(box(ATTACKER), "eth1")
    learns = Path(f"/sys/class/net/{forgeries.BRIDGE}/bridge/no_linklocal_learn")
    assert forgeries.taken_in(stage) is None
    learns.write_text("0", encoding="ascii")
    hijacked = "the bridge sends the neighbour's frames to the attacker"
    assert forgeries.taken_in(stage) == hijacked
    for family in ("inet", "arp"):
        run("nft", "delete", "element", family, "carve", "ports", f'{{ "{end}" }}')
    assert forgeries.taken_in(stage) == f"{hijacked}; the node's port was reached"
    # The node's start does this as well, and that of any container on the bridge.
    network.restore([box(ATTACKER)])
    assert forgeries.taken_in(stage) is None


def test_the_attack_by_frames_that_no_bridge_passes_on(stage: Scene) -> None:
    (attack,) = (attack for attack in forgeries.ATTACKS if attack.name == "frames that no bridge passes on")
    prove(stage, attack)
