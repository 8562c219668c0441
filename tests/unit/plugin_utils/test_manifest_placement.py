# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests whose containers find their own nodes and addresses."""

from __future__ import annotations

from collections import Counter
from textwrap import dedent
from typing import Any

import pytest
from ansible.inventory.data import InventoryData
from ansible_collections.carve.vps.plugins.module_utils import desired, slots
from ansible_collections.carve.vps.plugins.plugin_utils import hosts, manifest
from ansible_collections.carve.vps.plugins.plugin_utils.manifest import Fleet
from ansible_collections.carve.vps.plugins.plugin_utils.whereabouts import NOWHERE, Whereabouts

TOP = """
plugin: carve.vps.fleet
version: 1
fleet: acme
templates: {debian-13: {build: {suite: trixie}}}
networks:
  public: {mode: routed, subnet: 203.0.113.0/24, pool: [203.0.113.100-109, 203.0.113.200]}
  lan: {mode: bridged, bridge: br-lan, subnet: [10.20.0.0/24, "fd00:20::/64"], gateway: [10.20.0.1, "fd00:20::1"]}
"""
NODES = """
nodes:
  node1: {ansible_host: 203.0.113.100, labels: {zone: a}, capacity: {ram: 4G}}
  node2: {labels: {zone: b, ssd: true}, capacity: {ram: 4G, cpus: 2}, overcommit: {ram: 2, cpus: 1.5}}
  node3: {labels: {zone: b}, capacity: {ram: 64G}, cordon: true}
defaults: {template: debian-13, ram: 1G}
"""


def read(rest: str, known: Whereabouts = NOWHERE, top: str = TOP + NODES) -> Fleet:
    return manifest.read(top + dedent(rest), "fleet.yml", known=known)


def where(fleet: Fleet) -> dict[str, str | None]:
    return {container.name: container.node for container in fleet.containers}


def ip(fleet: Fleet, name: str, interface: str = "eth0") -> Any:
    (found,) = (container for container in fleet.containers if container.name == name)
    return found.options["network"][interface]["ip"]


def test_options_of_placement_are_merged_key_by_key() -> None:
    fleet = read(
        """
        containers:
          a:
          b: {placement: {apart: null, match: {ssd: true}}}
          c: {placement: {match: null}}
        """,
        top=TOP + NODES.replace("ram: 1G", "placement: {match: {zone: b}, apart: x}"),
    )
    assert where(fleet) == {"a": "node2", "b": "node2", "c": "node1"}
    assert fleet.reasons["a"] == "only node2 has zone=b"
    assert fleet.reasons["b"] == "only node2 has ssd=true and zone=b"


@pytest.mark.parametrize(
    ("policy", "nodes"), [("spread", {"node1": 1, "node2": 3}), ("pack", {"node1": 2, "node2": 2})]
)
def test_the_policy_says_how(policy: str, nodes: dict[str, int]) -> None:
    fleet = read(f"policy: {{placement: {policy}}}\ncontainers:\n  a: {{ram: 2G}}\n  b: {{ram: 2G}}\n  c:\n  d:\n")
    assert Counter(where(fleet).values()) == nodes


def test_overcommit_is_room() -> None:
    fleet = read("containers:\n  a: {count: 13}\n")
    assert Counter(where(fleet).values()) == {"node1": 4, "node2": 8}
    (why,) = fleet.unplaced.values()
    assert why == (
        "fits on no node: node1 has 0 of ram to promise, and 1G is asked for; "
        "node2 has 0 of ram to promise, and 1G is asked for; node3 is cordoned"
    )
    assert not fleet.warnings


def test_what_fits_nowhere_may_run_somewhere_all_the_same() -> None:
    known = Whereabouts({f"a-{number}": "node1" for number in range(1, 14)})
    fleet = read("containers:\n  a: {count: 13}\n", known)
    assert set(where(fleet).values()) == {"node1"}
    assert not fleet.unplaced
    assert fleet.warnings == [
        "fleet.yml: node1 has promised 13G of ram, 9G too much; nothing new is placed there",
    ]


def test_an_expression_asks_for_nothing_and_is_warned_of() -> None:
    fleet = read('containers:\n  a: {ram: "{{ x }}"}\n')
    assert fleet.warnings == [
        "fleet.yml:16: containers.a.ram: is an expression, which counts as nothing when a node is found"
    ]


def test_a_container_that_should_not_exist_needs_no_room() -> None:
    fleet = read("containers:\n  a: {state: absent, ram: 900G}\n  b: {state: absent}\n", Whereabouts({"b": "node3"}))
    assert where(fleet) == {"a": "node1", "b": "node3"}


def test_automatic_addresses_are_of_every_subnet_and_nobody_elses() -> None:
    fleet = read("""
        containers:
          a: {network: {eth0: {on: lan, ip: auto}}}
          b: {network: {eth0: {on: lan, ip: ["fd00:20::5", auto]}, eth1: {on: public, ip: auto}}}
          c: {count: 8, network: {eth0: {on: public, ip: auto}}}
          d: {network: {eth0: {on: public, ip: 203.0.113.105}}}
        """)
    assert [("." in one, ":" in one) for one in ip(fleet, "a")] == [(True, False), (False, True)]
    assert ip(fleet, "b")[0] == "fd00:20::5"
    assert len(ip(fleet, "b")) == 2
    public = [address for n in range(1, 9) for address in ip(fleet, f"c-{n}")] + ip(fleet, "b", "eth1")
    # All that the pool has, but for the node's address and that of d.
    assert sorted(public) == [f"203.0.113.{n}" for n in (101, 102, 103, 104, 106, 107, 108, 109, 200)]
    assert set(fleet.addresses["b"]) == {"eth0", "eth1"}


def test_a_known_address_stays() -> None:
    known = Whereabouts({}, {"a": {"eth0": ["10.20.0.77", "fd00:20::77"]}})
    fleet = read("containers:\n  a: {network: {eth0: {on: lan, ip: auto}}}\n", known)
    assert ip(fleet, "a") == ["10.20.0.77", "fd00:20::77"]


def test_nodes_hear_nothing_of_pools() -> None:
    fleet = read("containers:\n  a: {network: {eth0: {on: public, ip: auto}}}\n")
    shared = {"fleet": fleet.name, "templates": fleet.templates, "networks": fleet.networks}
    _found, problems = desired.build({**shared, "containers": {c.name: c.options for c in fleet.containers}})
    assert not problems


def test_there_may_be_more_containers_than_ranges_of_ids() -> None:
    many = "each is used once on a node, and again on others; who moves may get another"
    nodes = "nodes: {n1: , n2: , n3: }\ndefaults: {template: debian-13}\n"
    fleet = read(f"containers:\n  a: {{count: {slots.COUNT}}}\n  b: {{count: 80}}\n", top=TOP + nodes)
    assert fleet.warnings == [
        f"fleet.yml:11: containers: are {slots.COUNT + 80}, and there are {slots.COUNT} ranges of user ids: {many}"
    ]
    seen: dict[str | None, set[int]] = {}
    for container in fleet.containers:
        on_node = seen.setdefault(container.node, set())
        assert fleet.slots[container.name] not in on_node
        on_node.add(fleet.slots[container.name])
    assert len(seen) == 3


def test_what_fits_nowhere_is_no_host() -> None:
    inventory = InventoryData()
    hosts.populate(inventory, read("containers:\n  a: {count: 13}\n"))
    assert len(inventory.groups["carve_containers"].hosts) == 12


def test_a_network_that_is_an_expression_hinders_no_other() -> None:
    later = (
        '  later: {mode: routed, subnet: "{{ subnet }}"}\n  both: {mode: routed, subnet: ["{{ x }}", "fd00:21::/64"]}\n'
    )
    fleet = read("containers:\n  a: {network: {eth0: {on: public, ip: auto}}}\n", top=TOP + later + NODES)
    assert fleet.addresses["a"]["eth0"]
