# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes become hosts again: the last of the tests that share the pair, in the order of the files' names."""

from __future__ import annotations

from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

LEFT_BY_BOOTSTRAP = (
    "/var/lib/carve", "/usr/lib/carve", "/etc/systemd/system/carve.service",
    "/etc/systemd/system/carve-shutdown.service", "/etc/systemd/system/carve-usage.service",
    "/etc/systemd/system/carve-usage.timer", "/etc/systemd/system/carve-snapshots.service",
    "/etc/systemd/system/carve-snapshots.timer", "/etc/sysctl.d/80-carve.conf",
    "/etc/sysctl.d/81-carve-network.conf", "/etc/systemd/system/lxcfs.service.d/carve.conf",
)  # fmt: skip


def test_unbootstrap_refuses_a_node_with_containers_and_undoes_one_without(pair: Pair) -> None:
    fleet, one = pair.fleet, pair.one
    with archives_served(tiny=tiny_archive()) as templates:
        fleet.manifest["templates"] = templates
        fleet.manifest["containers"] = {"last": {"template": "tiny", "node": one.name, "stop_timeout": 0}}
        fleet.carve("apply", "--yes").ok()
    refused = fleet.play("unbootstrap", "--limit", one.name)
    assert refused.status != 0 and "still has the containers last" in refused.words(), refused.output
    fleet.carve("destroy", "-e", "carve_destroy=lab").ok()

    fleet.play("unbootstrap").ok()
    undone = fleet.play("unbootstrap", "--limit", one.name).ok()
    assert set(undone.changed.values()) == {0}, undone.output
    for machine in (one, pair.two):
        left = [path for path in LEFT_BY_BOOTSTRAP if machine.run(f"ls -d {path}", check=False).startswith("0")]
        assert left == []
        assert "/var/lib/carve" not in machine.run("cat /etc/fstab /proc/mounts")

    # What is on the device now is not for bootstrap to overwrite.
    full = fleet.play("bootstrap", "--limit", one.name)
    assert full.status != 0 and "/dev/vdb: is not empty, but holds ext4 carve" in full.words(), full.output
