# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare Debian 13 machines become nodes over SSH, in one play."""

from __future__ import annotations

from ansible_collections.carve.vps.tests.lab.checks import holds_quota, raised
from ansible_collections.carve.vps.tests.lab.nodes import Pair


def test_two_bare_machines_become_nodes_and_the_second_run_changes_nothing(pair: Pair) -> None:
    # That check mode has left nothing behind is looked at in the fixture, before the machines are bare no more.
    assert pair.predicted.changed[pair.one.name] > 0
    assert min(pair.first.changed.values()) > 0
    boots = {machine: machine.boots() for machine in (pair.one, pair.two)}
    again = pair.fleet.play("bootstrap").ok()
    assert set(again.changed.values()) == {0}, again.output
    assert {machine: machine.boots() for machine in boots} == boots == dict.fromkeys(boots, 1)
    for machine in boots:
        raised(machine)
    holds_quota(pair.one, "ext4")
    holds_quota(pair.two, "xfs")
