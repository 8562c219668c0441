# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An address that another container still has: an error, unless the same run takes it away first."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan

from unit.module_utils.worlds import EMPTY, fleet, node, with_container


def lan(*addresses: str, **options: Any) -> dict[str, Any]:
    return {"network": {"eth0": {"on": "lan", "ip": list(addresses), **options}}}


def held(address: str) -> dict[str, Any]:
    """A change of address that comes with a restart."""
    return lan(address, mac="02:00:00:00:00:09")


HELD = "whose change is held back; allow what that needs, or change it first"
WORLD = node(fleet({"a": lan("10.20.0.5"), "b": lan("10.20.0.6")}))


@pytest.mark.parametrize(
    "wanted",
    [
        fleet({"a": lan("10.20.0.6"), "b": lan("10.20.0.5")}),
        fleet({"a": held("10.20.0.6"), "b": held("10.20.0.5")}),
        fleet({"a": lan("10.20.0.7"), "c": lan("10.20.0.5")}),
        fleet({"b": lan("10.20.0.5")}),
        fleet({"a": {"state": "absent"}, "b": lan("10.20.0.5")}),
    ],
    ids=["swapped", "swapped with restarts", "handed on", "inherited", "inherited from the absent"],
)
def test_what_one_gives_back_another_may_take(wanted: Any) -> None:
    made = plan.make(wanted, WORLD)
    assert made.errors == ()
    after = node(wanted, WORLD)
    assert plan.make(wanted, after).steps == ()


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (
            fleet({"b": lan("10.20.0.5")}, allow=()),
            "b: 10.20.0.5 is still an address of a, which is no longer declared; allow: destroy, or destroy it first",
        ),
        (
            fleet({"b": lan("10.20.0.5")}, prune=False),
            "b: 10.20.0.5 is still an address of a, which is no longer declared; allow: destroy, or destroy it first",
        ),
        (
            fleet({"a": held("10.20.0.7"), "b": lan("10.20.0.5")}, allow=()),
            f"b: 10.20.0.5 is still an address of a, {HELD}",
        ),
    ],
)
def test_what_stays_where_it_is_cannot_be_taken(wanted: Any, error: str) -> None:
    assert plan.make(wanted, WORLD).errors == (error,)


def test_the_addresses_of_other_fleets_are_theirs() -> None:
    theirs = with_container(EMPTY, "x", fleet="other", recorded={"id": 99, "network.eth0.ip": ["10.20.0.5/32"]})
    assert plan.make(fleet({"a": lan("10.20.0.5")}), theirs).errors == (
        "a: 10.20.0.5 is still an address of x, a container of fleet 'other' on this node; declare another one",
    )
