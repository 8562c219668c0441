# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian 12 that runs the kernel of the release before becomes a node with one reboot, and with leave only."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.carve.vps.tests.lab.checks import holds_quota, raised
from ansible_collections.carve.vps.tests.lab.image import OPERATOR
from ansible_collections.carve.vps.tests.lab.nodes import MakeMachines
from ansible_collections.carve.vps.tests.lab.support import LabFleet


def test_debian_12_gets_a_kernel_that_can(make_machines: MakeMachines, tmp_path: Path) -> None:
    """One that runs Debian 11's kernel is refused without leave; with it, it reboots once into its own."""
    (machine,) = make_machines(1, 12)
    old = machine.kernel()
    assert old.startswith("5.10.")
    fleet = LabFleet(tmp_path)
    fleet.node(machine)

    refused = fleet.play("bootstrap")
    assert refused.status != 0
    assert "no overlay can be mounted on one" in refused.words()
    assert "carve_node_allow_reboot: true" in refused.words()
    assert f"The running kernel is {old}" in refused.words()
    assert machine.kernel() == old

    fleet.node(machine, OPERATOR, carve_node_allow_reboot=True, carve_storage_device="/dev/vdb")
    before = machine.boots()
    fleet.play("bootstrap").ok()
    assert machine.kernel().startswith("6.1.")
    assert machine.boots() - before == 1

    boot = machine.boot_id()
    again = fleet.play("bootstrap").ok()
    assert set(again.changed.values()) == {0}, again.output
    assert machine.boot_id() == boot
    raised(machine)
    holds_quota(machine, "ext4")
