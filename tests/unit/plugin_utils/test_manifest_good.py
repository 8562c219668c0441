# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What good manifests come to: merging, counting, placing, and the warnings."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired, slots
from ansible_collections.carve.vps.plugins.plugin_utils import manifest
from ansible_collections.carve.vps.plugins.plugin_utils.manifest import Fleet

TOP = """
plugin: carve.vps.fleet
version: 1
fleet: acme
flavors:
  small: {cpus: 1, ram: 512M, swap: 256M, processes: 400}
  medium: {cpus: 2, ram: 2G, swap: 1G}
templates:
  debian-13: {build: {suite: trixie, packages: [openssh-server]}}
  web: {from: debian-13, packages: [nginx-light]}
networks:
  public: {mode: routed, subnet: 203.0.113.0/24}
  lan: {mode: bridged, bridge: br-lan, subnet: [10.20.0.0/24, "fd00:20::/64"], gateway: [10.20.0.1, "fd00:20::1"]}
"""


def read(rest: str, top: str = TOP) -> Fleet:
    if "nodes:" not in rest:
        rest = "nodes:\n  node1: {ansible_host: 192.0.2.11}\n" + dedent(rest)
    return manifest.read(top + dedent(rest), "fleet.yml")


def options(fleet: Fleet) -> dict[str, Any]:
    return {container.name: dict(container.options) for container in fleet.containers}


def test_the_manifest_of_the_quickstart() -> None:
    fleet = read("""
        defaults: {template: debian-13, flavor: small}
        containers:
          web: {count: 2, template: web, network: {eth0: {on: public, ip: 203.0.113.10-11}}}   # web-1, web-2
          db:  {flavor: medium, ram: 3G, network: {eth0: {on: lan, ip: [10.20.0.5, "fd00:20::5"]}}, protect: true}
        """)
    small = {"cpus": 1, "ram": "512M", "swap": "256M", "processes": 400}
    assert options(fleet) == {
        "web-1": {**small, "template": "web", "network": {"eth0": {"on": "public", "ip": ["203.0.113.10"]}}},
        "web-2": {**small, "template": "web", "network": {"eth0": {"on": "public", "ip": ["203.0.113.11"]}}},
        "db": {
            "cpus": 2,
            "ram": "3G",
            "swap": "1G",
            "template": "debian-13",
            "protect": True,
            "network": {"eth0": {"on": "lan", "ip": ["10.20.0.5", "fd00:20::5"]}},
        },
    }
    assert [(c.name, c.node, c.flavor) for c in fleet.containers] == [
        ("web-1", "node1", "small"),
        ("web-2", "node1", "small"),
        ("db", "node1", "medium"),
    ]
    assert not fleet.warnings


def test_what_is_declared_is_what_the_node_accepts() -> None:
    fleet = read("""
        defaults: {template: web, flavor: small}
        containers:
          web: {count: 3, network: {eth0: {on: lan, ip: [10.20.0.10-12, "fd00:20::10-12"]}}}
        """)
    shared = {"fleet": fleet.name, "templates": fleet.templates, "networks": fleet.networks}
    found, problems = desired.build({**shared, "containers": options(fleet)})
    assert not problems
    assert found.containers["web-3"]["network.eth0.ip"] == ["10.20.0.12/24", "fd00:20::12/64"]


def test_the_container_goes_before_its_flavor_and_the_flavor_before_defaults() -> None:
    fleet = read("""
        defaults: {template: debian-13, flavor: small, ram: 64M, cpus: 8, start_order: 5, nameservers: [192.0.2.53]}
        containers:
          a: {ram: 1G, nameservers: [192.0.2.54]}
          b: {flavor: medium}
        """)
    assert options(fleet)["a"] == {
        "template": "debian-13", "ram": "1G", "cpus": 1, "swap": "256M", "processes": 400, "start_order": 5,
        "nameservers": ["192.0.2.54"],
    }  # fmt: skip
    assert options(fleet)["b"] == {
        "template": "debian-13", "ram": "2G", "cpus": 2, "swap": "1G", "start_order": 5, "nameservers": ["192.0.2.53"],
    }  # fmt: skip


def test_maps_are_merged_by_key() -> None:
    fleet = read("""
        defaults:
          template: debian-13
          labels: {team: x, zone: a}
          hosts: {db.internal: 10.20.0.5}
          network: {eth0: {on: lan}, eth1: {on: public}}
        containers:
          a:
            labels: {zone: b}
            hosts: {mail.internal: 10.20.0.6}
            network: {eth0: {ip: 10.20.0.7}}
        """)
    assert options(fleet)["a"] == {
        "template": "debian-13",
        "hosts": {"db.internal": "10.20.0.5", "mail.internal": "10.20.0.6"},
        "network": {"eth0": {"on": "lan", "ip": "10.20.0.7"}, "eth1": {"on": "public"}},
    }
    assert fleet.containers[0].labels == {"team": "x", "zone": "b"}


def test_an_empty_option_undoes_what_the_others_say() -> None:
    fleet = read("""
        defaults: {template: debian-13, flavor: small, protect: true, network: {eth0: {on: lan}, eth1: {on: public}}}
        containers:
          a: {ram: null, protect: null, network: {eth1: null}}
          b: {flavor: null}
        """)
    assert options(fleet) == {
        "a": {"template": "debian-13", "cpus": 1, "swap": "256M", "processes": 400, "network": {"eth0": {"on": "lan"}}},
        "b": {"template": "debian-13", "protect": True, "network": {"eth0": {"on": "lan"}, "eth1": {"on": "public"}}},
    }


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("203.0.113.10-12", [["203.0.113.10"], ["203.0.113.11"], ["203.0.113.12"]]),
        ("203.0.113.254-203.0.114.0", [["203.0.113.254"], ["203.0.113.255"], ["203.0.114.0"]]),
        ('"fd00:20::10-fd00:20::12"', [["fd00:20::10"], ["fd00:20::11"], ["fd00:20::12"]]),
        ('"fd00:20::e-10"', [["fd00:20::e"], ["fd00:20::f"], ["fd00:20::10"]]),
        (
            '[10.20.0.5-7, "fd00:20::5-7"]',
            [["10.20.0.5", "fd00:20::5"], ["10.20.0.6", "fd00:20::6"], ["10.20.0.7", "fd00:20::7"]],
        ),
    ],
)
def test_ranges_give_each_container_its_own(written: str, given: list[list[str]]) -> None:
    top = TOP.replace("203.0.113.0/24", "203.0.112.0/22")
    on = "lan" if "20:" in written else "public"
    fleet = read(f"containers: {{a: {{count: 3, template: web, network: {{eth0: {{on: {on}, ip: {written}}}}}}}}}", top)
    assert [container.options["network"]["eth0"]["ip"] for container in fleet.containers] == given


def test_counting() -> None:
    fleet = read("""
        defaults: {template: web}
        containers:
          none: {count: 0, network: {eth0: {on: public, ip: 203.0.113.10}}}
          one: {count: 1, network: {eth0: {on: public, ip: 203.0.113.11}}}
          ten: {count: 10}
          alone: {}
        """)
    assert [c.name for c in fleet.containers] == ["one-1", *(f"ten-{n}" for n in range(1, 11)), "alone"]


def test_containers_go_to_the_node_they_name() -> None:
    fleet = read("""
        nodes:
          node1:
          node2: {ansible_host: 192.0.2.12}
        defaults: {template: web, node: node2}
        containers:
          a: {node: node1}
          b:
        """)
    assert {c.name: c.node for c in fleet.containers} == {"a": "node1", "b": "node2"}
    assert fleet.nodes == {"node1": {}, "node2": {"ansible_host": "192.0.2.12"}}


def test_every_container_has_a_slot_of_its_own() -> None:
    text = "defaults: {template: web}\ncontainers: {a: {count: 500}, b: {id: 4242}}"
    fleet = read(text)
    names = [c.name for c in fleet.containers]
    assert fleet.slots == slots.assign("acme", names, {"b": 4242})
    assert len(set(fleet.slots.values())) == 501
    assert fleet.slots["b"] == 4242


def test_yaml_as_people_write_it() -> None:
    fleet = read("""
        defaults: &defaults
          template: web
        containers:
          a: &a {start_order: 5, network: {eth0: {on: lan, ip: 10.20.0.5}}}   # YAML 1.1 takes this `on` for true
          b: {<<: *a, start_order: 7, network: {eth0: {"on": lan, 'ip': "10.20.0.6"}}}
          c: {<<: [{ram: 64M}, {ram: 128M, cpus: 2}]}
          1: {hostname: 2024-01-01}
        """)
    assert options(fleet) == {
        "a": {"template": "web", "start_order": 5, "network": {"eth0": {"on": "lan", "ip": "10.20.0.5"}}},
        "b": {"template": "web", "start_order": 7, "network": {"eth0": {"on": "lan", "ip": "10.20.0.6"}}},
        "c": {"template": "web", "ram": "64M", "cpus": 2},
        "1": {"template": "web", "hostname": "2024-01-01"},
    }


def test_expressions_wait_for_their_task() -> None:
    fleet = read("""
        defaults: {template: "{{ template }}", ram: "{{ ram }}"}
        templates:
          a: {archive: "{{ url }}", sha256: "{{ digest }}"}
          b: {build: {suite: "{{ suite }}"}, packages: "{{ packages }}"}
        networks:
          lan: {mode: "{{ mode }}", subnet: "{{ subnet }}", bridge: br-lan}
        containers:
          a: {protect: "{{ guarded }}", network: {eth0: {on: lan, ip: "{{ address }}"}, eth1: {on: "{{ lan }}"}}}
          b: {network: "{{ interfaces }}", hosts: {"db": "{{ db }}"}, ssh_keys: ["{{ key }}"]}
        """, "plugin: carve.vps.fleet\nversion: 1\nfleet: acme\n")  # fmt: skip
    assert options(fleet)["a"]["ram"] == "{{ ram }}"
    assert options(fleet)["a"]["network"]["eth1"] == {"on": "{{ lan }}"}


def test_half_an_expression_defers_only_itself() -> None:
    with pytest.raises(manifest.ManifestError, match=r"10\.21\.0\.5 is outside"):
        read("""
            containers:
              a: {template: web, network: {eth0: {on: lan, ip: 10.21.0.5}, eth1: {on: "{{ lan }}"}}}
            """)


def test_overcommitment_is_warned_of() -> None:
    fleet = read("""
        nodes:
          node1: {capacity: {ram: 4G, cpus: 2}}
          node2: {capacity: {ram: 4G}}
        defaults: {template: web, node: node1}
        containers:
          a: {count: 4, ram: 1.5G}
          b: {ram: 8G, state: absent}
          c: {ram: 4G, cpus: 9, node: node2}
        """)
    promised = "4G is less than the 6G promised (a-1 1.5G, a-2 1.5G, a-3 1.5G and 1 more)"
    instead = "promise less, or move some elsewhere"
    assert fleet.warnings == [f"fleet.yml:16: nodes.node1.capacity.ram: {promised}; {instead}"]


def test_a_source_is_named_once_for_all_that_have_it_from_there() -> None:
    with pytest.raises(manifest.ManifestError) as caught:
        read("defaults: {template: web, network: {eth0: {on: lna}}}\ncontainers: {a: {count: 9}, b: {}}")
    assert str(caught.value) == "fleet.yml:16: defaults.network.eth0.on: there is no network 'lna'; did you mean lan?"


def test_an_order_by_a_label_that_nothing_has_is_warned_of() -> None:
    text = """
        nodes: {node1: {labels: {zone: a}}}
        policy: {rollout: {order: [zone, stgae]}}
        containers: {a: {template: web, labels: {stage: 1}}}
        """
    instead = "did you mean stage?"
    assert read(text).warnings == [f"fleet.yml:16: policy.rollout.order: nothing has a label 'stgae'; {instead}"]
    assert read(text.replace("stgae", "stage")).warnings == []


SPELLED = """
flavors:
  ours: {cpus: 1, cpu_weight: 100, io_read: 10M, io_write: 10M}
  theirs: {cpulimit: 100%, cpuunits: 1000, iolimit: 10M}
templates: {debian-13: {build: {suite: trixie}}}
"""


@pytest.mark.parametrize(
    ("flavor", "own", "found"),
    [
        ("theirs", {}, {"cpulimit": "100%", "cpuunits": 1000, "iolimit": "10M"}),
        ("theirs", {"cpus": 2}, {"cpus": 2, "cpuunits": 1000, "iolimit": "10M"}),
        ("ours", {"cpulimit": 50}, {"cpulimit": 50, "cpu_weight": 100, "io_read": "10M", "io_write": "10M"}),
        ("theirs", {"cpu_weight": 5, "cpus": None}, {"cpu_weight": 5, "iolimit": "10M"}),
        ("theirs", {"io_read": "5M"}, {"cpulimit": "100%", "cpuunits": 1000, "io_read": "5M", "io_write": "10M"}),
        ("ours", {"iolimit": "5M"}, {"cpus": 1, "cpu_weight": 100, "iolimit": "5M"}),
        ("ours", {"iolimit": None}, {"cpus": 1, "cpu_weight": 100}),
        ("theirs", {"cpuunits": "{{ u }}"}, {"cpulimit": "100%", "cpuunits": "{{ u }}", "iolimit": "10M"}),
    ],
)
def test_whoever_goes_first_wins_in_whatever_words(flavor: str, own: dict[str, Any], found: dict[str, Any]) -> None:
    """An option and OpenVZ's word for it are one option."""
    body = json.dumps({"a": own})
    top = "plugin: carve.vps.fleet\nversion: 1\nfleet: acme\n" + SPELLED
    fleet = read(f"defaults: {{template: debian-13, flavor: {flavor}}}\ncontainers: {body}\n", top)
    assert options(fleet)["a"] == {"template": "debian-13", **found}


def test_openvz_words_become_the_options_that_they_mean() -> None:
    raw = {"template": "t", "cpuunits": 1500, "cpulimit": "150%", "ioprio": 7, "iolimit": "10M", "iopslimit": 300}
    problems: list[Any] = []
    flat = desired.container("acme", "a", raw, {}, (), problems)
    assert not problems
    words = {name: value for name, value in flat.items() if name.startswith(("cpu", "io"))}
    assert words == {
        "cpu_weight": 150, "cpus": 1.5, "io_weight": 128, "io_read": 10 << 20, "io_write": 10 << 20,
        "io_read_ops": 300, "io_write_ops": 300,
    }  # fmt: skip
