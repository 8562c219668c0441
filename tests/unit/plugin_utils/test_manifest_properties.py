# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a manifest holds, it is either a fleet or a list of messages; never a traceback, never a hang."""

from __future__ import annotations

import copy
import re
from typing import Any

import yaml
from ansible.inventory.data import InventoryData
from ansible_collections.carve.vps.plugins.module_utils import model
from ansible_collections.carve.vps.plugins.plugin_utils import hosts, manifest, schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD: dict[str, Any] = yaml.safe_load("""
plugin: carve.vps.fleet
version: 1
fleet: acme
policy: {allow: [restart], overcommit: true, prune: true, placement: spread}
flavors:
  small: {cpus: 1, ram: 512M, swap: 256M, processes: 400}
  medium: {cpus: 2, ram: 2G, cpu_set: 0-3}
templates:
  debian-13: {build: {suite: trixie, packages: [openssh-server]}}
  web: {from: debian-13, packages: [nginx-light], commands: [systemctl enable nginx]}
networks:
  public: {mode: routed, subnet: 203.0.113.0/24, pool: [203.0.113.100-199]}
  lan: {mode: bridged, bridge: br-lan, subnet: [10.20.0.0/24, "fd00:20::/64"], gateway: [10.20.0.1, "fd00:20::1"]}
nodes:
  node1: {ansible_host: 192.0.2.11, labels: {zone: a}, capacity: {ram: 64G, cpus: 16}}
  node2: {labels: {zone: b}, capacity: {ram: 64G}, overcommit: {ram: 1.5}, cordon: false}
defaults: {template: debian-13, flavor: small, labels: {team: x}}
containers:
  web: {count: 2, template: web, network: {eth0: {"on": public, ip: 203.0.113.10-11}}}
  db:
    flavor: medium
    ram: 3G
    id: 4242
    network: {eth0: {"on": lan, ip: [10.20.0.5, "fd00:20::5"], mac: "02:00:00:aa:bb:cc"}}
    hosts: {db.internal: 10.20.0.5}
    nameservers: [192.0.2.53]
    protect: true
  lb: {count: 2, placement: {match: {zone: b}, strategy: pack}, network: {eth0: {"on": lan, ip: auto}}}
  ns: {node: node1, placement: {apart: dns}, network: {eth0: {"on": lan, ip: ["fd00:20::9", auto]}}}
  ns2: {placement: {apart: dns}}
""")

ROWS = (*model.CONTAINER, *model.INTERFACE, *model.NETWORK, *model.TEMPLATE, *model.BUILD)
WORDS = sorted(
    {row.name for row in ROWS}
    | set(schema.manifest_schema()["properties"])
    | {
        "flavor",
        "node",
        "count",
        "labels",
        "capacity",
        "eth0",
        "placement",
        "match",
        "strategy",
        "apart",
        "pool",
        "auto",
        "overcommit",
        "cordon",
        "web",
        "db",
        "node1",
        "lan",
        "ansible_host",
        "<<",
    }
)
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.integers(-3, 70000), st.booleans(), st.none())
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70000),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from([
        *WORDS, "512M", "10.20.0.5", "10.20.0.5-9", "fd00:20::5", "fd00:20::5-ffff", "0.0.0.0/0", "::/0", "{{ x }}",
        "255.255.255.250-255.255.255.255", "1" * 400, "9" * 40 + "P", "fe80::1%eth0", "web\n", "02:00:00:aa:bb:cc",
        "{%", "-", "", 10**400, 16, 2,
    ]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
quick = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))


SLIPS = ["\t", "\n", ": ", "- ", "&a ", "*a", "<<: *a", "{{", "}}", "!vault ", "!!int ", "'", "? "]


def check(text: str) -> None:
    try:
        fleet = manifest.read(text, "fleet.yml")
    except manifest.ManifestError as error:
        lines = str(error).split("\n")
        found = [re.match(r"fleet\.yml:([1-9]\d*): [^\n]+$", line) for line in lines]
        assert all(found), lines
        numbers = [int(match.group(1)) for match in found if match]
        assert numbers == sorted(numbers)
        assert max(numbers) <= text.count("\n") + 1
        assert len(set(lines)) == len(lines)
    else:
        hosts.populate(InventoryData(), fleet)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


PLACES = places(GOOD)[1:]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@quick
@given(values)
def test_any_value(value: Any) -> None:
    check(yaml.safe_dump(value, allow_unicode=True))


@quick
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), values))
def test_any_section(sections: dict[str, Any]) -> None:
    check(yaml.safe_dump({**GOOD, **sections}, sort_keys=False))


@quick
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from("=-+"), keys, values), min_size=1, max_size=4))
def test_good_manifest_with_mistakes(mistakes: list[tuple[tuple[Any, ...], str, Any, Any]]) -> None:
    mutant = copy.deepcopy(GOOD)
    for path, what, key, value in mistakes:
        try:
            place = at(mutant, path[:-1])
            if what == "=":
                place[path[-1]] = value
            elif what == "-":
                del place[path[-1]]
            else:
                place[path[-1]][key] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mistake took the place away
    check(yaml.safe_dump(mutant, sort_keys=False))


@quick
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5000),
            st.integers(0, 3),
            st.one_of(st.text(max_size=3), st.sampled_from(SLIPS)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_good_text_with_slips(slips: list[tuple[int, int, str]]) -> None:
    text = yaml.safe_dump(GOOD, sort_keys=False)
    for place, deleted, inserted in slips:
        position = place % len(text)
        text = text[:position] + inserted + text[position + deleted :]
    check(text)


def test_the_good_one_is_good() -> None:
    assert [c.name for c in manifest.read(yaml.safe_dump(GOOD), "fleet.yml").containers] == [
        "db", "lb-1", "lb-2", "ns", "ns2", "web-1", "web-2",
    ]  # fmt: skip
