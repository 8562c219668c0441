# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses from pools: each once, the same again, and none that is not to be had."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.carve.vps.plugins.plugin_utils import pools, ranges
from ansible_collections.carve.vps.plugins.plugin_utils.pools import Pool, Want
from hypothesis import given
from hypothesis import strategies as st

V4, V6 = ipaddress.ip_network("10.20.0.0/26"), ipaddress.ip_network("fd00:20::/64")
GATEWAYS = ["10.20.0.1", "fd00:20::1"]
name = st.from_regex(r"[a-c]{1,2}-[0-9]", fullmatch=True)
names = st.sets(name, max_size=30)


def both(v4: Iterable[str] = ()) -> dict[pools.Subnet, Pool]:
    spans = [ranges.parse(text) for text in v4]
    return {V4: Pool(V4, spans, GATEWAYS), V6: Pool(V6, [], GATEWAYS)}


def wants(containers: Iterable[str]) -> list[Want]:
    return [Want(name, "eth0", "lan", subnet) for name in containers for subnet in (V4, V6)]


def flat(given_: dict[str, dict[str, list[str]]]) -> list[str]:
    return [address for interfaces in given_.values() for found in interfaces.values() for address in found]


@given(
    names, st.sets(st.integers(0, 63)), st.dictionaries(names.map(lambda n: min(n, default="z")), st.integers(0, 70))
)
def test_each_once_and_none_that_is_taken(found: set[str], taken: set[int], had: dict[str, int]) -> None:
    fixed = [str(V4[number]) for number in taken]
    known = {container: {"eth0": [str(V4[0] + number)]} for container, number in had.items()}
    assigned, missing = pools.assign(wants(found), both(), fixed, known)
    given_ = flat(assigned)
    assert len(set(given_)) == len(given_)
    assert len(given_) + len(missing) == 2 * len(found)
    assert not set(given_) & {*fixed, *GATEWAYS, "10.20.0.0", "10.20.0.63"}
    assert all(ipaddress.ip_address(a) in (V4 if "." in a else V6) for a in given_)
    free = 61 - len(taken - {0, 1, 63})
    assert not missing or len([a for a in given_ if "." in a]) == free


@given(names, names)
def test_known_ones_stay_whoever_comes(first: set[str], more: set[str]) -> None:
    assigned, _missing = pools.assign(wants(first), both(), [], {})
    again, _missing = pools.assign(wants(first | more), both(), [], assigned)
    for container, has in assigned.items():
        assert again[container] == has


@given(names, st.randoms())
def test_order_means_nothing(found: set[str], chance: object) -> None:
    shuffled = wants(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pools.assign(shuffled, both(), [], {}) == pools.assign(wants(found), both(), [], {})


def test_ranges_are_kept_to() -> None:
    pool = ["10.20.0.10-12", "10.20.0.20"]
    assigned, missing = pools.assign(wants(f"c{n}" for n in range(6)), both(pool), ["10.20.0.11"], {})
    v4 = {address for address in flat(assigned) if "." in address}
    assert v4 == {"10.20.0.10", "10.20.0.12", "10.20.0.20"}
    assert [want.subnet for want in missing] == [V4] * 3


def test_a_known_address_may_be_outside_the_ranges() -> None:
    """A pool that is made smaller takes nothing away."""
    known = {"a": {"eth0": ["10.20.0.50"]}, "b": {"eth0": ["10.99.0.1"]}, "c": {"eth0": ["10.20.0.1"]}}
    assigned, _missing = pools.assign(wants("abc"), both(["10.20.0.10-12"]), [], known)
    assert assigned["a"]["eth0"][0] == "10.20.0.50"
    assert {assigned[name]["eth0"][0] for name in "bc"} <= {"10.20.0.10", "10.20.0.11", "10.20.0.12"}


def test_what_somebody_declares_is_no_longer_anybody_elses() -> None:
    known = {"a": {"eth0": ["10.20.0.11"]}}
    assigned, _missing = pools.assign(wants("a"), both(["10.20.0.11-12"]), ["10.20.0.11"], known)
    assert assigned["a"]["eth0"][0] == "10.20.0.12"


def test_one_more_takes_nobodys_place() -> None:
    many = [f"web-{n}" for n in range(1, 20)]
    assigned, _missing = pools.assign(wants(many), both(), [], {})
    again, _missing = pools.assign(wants([*many, "zz"]), both(), [], {})
    assert {name: again[name] for name in many} == assigned


def test_the_smallest_subnets() -> None:
    for text, count in (("192.0.2.4/32", 1), ("192.0.2.4/31", 2), ("192.0.2.4/30", 2), ("fd00::4/128", 1)):
        subnet = ipaddress.ip_network(text)
        wanted = [Want(f"c{n}", "eth0", "n", subnet) for n in range(4)]
        assigned, missing = pools.assign(wanted, {subnet: Pool(subnet, [], [])}, [], {})
        assert len(flat(assigned)) == count
        assert len(missing) == 4 - count


def test_interfaces_on_one_network_get_one_each() -> None:
    wanted = [Want("a", interface, "lan", V4) for interface in ("eth0", "eth1")]
    assigned, _missing = pools.assign(wanted, both(), [], {})
    assert len(set(flat(assigned))) == 2
