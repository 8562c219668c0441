# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that come, go and change hands while their containers run."""

from __future__ import annotations

from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, addresses, inside, pings


def _declare(fleet: Fleet, name: str, on: str, *ip: str) -> None:
    fleet.declare(name, ram="96M", network={"eth0": {"on": on, "ip": list(ip)}})


def test_one_that_goes_takes_no_other_along(fleet: Fleet) -> None:
    _declare(fleet, "t-one", "lan", "10.213.0.31", "10.213.0.32")
    fleet.apply()
    inside("t-one", "ip", "address", "add", "10.213.0.200/24", "dev", "eth0")
    _declare(fleet, "t-one", "lan", "10.213.0.32", "10.213.0.33")
    fleet.apply()
    assert addresses("t-one") == {"10.213.0.32/24", "10.213.0.33/24", "10.213.0.200/24"}


def test_two_containers_exchange_theirs_in_one_run(fleet: Fleet) -> None:
    _declare(fleet, "t-one", "public", "198.18.113.31", "fd00:113::31")
    _declare(fleet, "t-two", "public", "198.18.113.32")
    fleet.apply()
    _declare(fleet, "t-one", "public", "198.18.113.32")
    _declare(fleet, "t-two", "public", "198.18.113.31", "fd00:113::31")
    fleet.apply()
    assert addresses("t-one") == {"198.18.113.32/32"}
    assert addresses("t-two") == {"198.18.113.31/32", "fd00:113::31/128"}
    pings("t-one", "198.18.113.31")
    pings("t-two", "198.18.113.32")


def test_one_that_is_still_somebodys_is_refused(fleet: Fleet) -> None:
    _declare(fleet, "t-old", "public", "198.18.113.31")
    fleet.apply()
    fleet.containers.clear()
    _declare(fleet, "t-new", "public", "198.18.113.31")
    result = fleet.run()
    assert "t-new: 198.18.113.31 is still an address of t-old, which is no longer declared" in result["msg"]
    other = Fleet("carve-test-other", fleet.templates)
    _declare(other, "t-other", "public", "198.18.113.31")
    assert "t-old, a container of fleet 'carve-test' on this node" in other.run()["msg"]
    fleet.apply(ALL)
    assert addresses("t-new") == {"198.18.113.31/32"}
