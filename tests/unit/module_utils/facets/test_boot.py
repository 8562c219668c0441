# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of a container's LXC configuration that need no kernel to be read: boot, users, security."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import facets, model
from ansible_collections.carve.vps.plugins.module_utils.facets.boot import Boot, starts_with_node
from ansible_collections.carve.vps.plugins.module_utils.facets.security import Security
from ansible_collections.carve.vps.plugins.module_utils.facets.users import Users

from unit.module_utils.facets import boxes


@pytest.mark.parametrize(
    ("state", "autostart", "starts"),
    [
        ("running", True, True),
        ("running", False, False),
        ("keep", True, True),
        ("stopped", True, False),
    ],
)
def test_who_starts_with_the_node(tmp_path: Path, state: str, autostart: bool, starts: bool) -> None:
    box = boxes.box({"state": state, "autostart": autostart, "start_order": 5, "start_delay": 2})
    assert starts_with_node(box) == starts
    assert Boot().boot_config(boxes.host(tmp_path), box) == [
        ("lxc.start.auto", str(int(starts))),
        ("lxc.start.order", "5"),
        ("lxc.start.delay", "2"),
    ]


def test_every_container_has_ids_of_its_own(tmp_path: Path) -> None:
    assert Users().boot_config(boxes.host(tmp_path), boxes.box({"id": 20})) == [
        ("lxc.idmap", "u 0 1310720 65536"),
        ("lxc.idmap", "g 0 1310720 65536"),
    ]


@pytest.mark.parametrize(("apparmor", "profile"), [(True, "generated"), (False, "unconfined")])
def test_confinement(tmp_path: Path, apparmor: bool, profile: str) -> None:
    lines = dict(Security().boot_config(boxes.host(tmp_path, apparmor=apparmor), boxes.box({})))
    assert lines["lxc.apparmor.profile"] == profile
    assert ("lxc.apparmor.allow_nesting" in lines) == apparmor
    assert lines["lxc.tty.max"] == "0"
    assert lines["lxc.console.path"] == "none"


def test_every_option_is_honoured_by_a_facet_that_looks_at_it() -> None:
    """What the kernel or the root filesystem can tell is looked at; the rest is the record's alone."""
    rows = {row for facet in facets.ALL for row in (*facet.live_rows, *facet.file_rows)}
    for field in model.CONTAINER:
        if field.facet not in ("power", "policy", "rootfs", "users", "boot", "network"):
            assert field.name in (*facets.BY_NAME[field.facet].live_rows, *facets.BY_NAME[field.facet].file_rows)
    inner = {f"network.{field.name}" for field in model.RESOLVED_INTERFACE}
    assert {row for row in rows if row.startswith("network.")} == inner - {"network.mode"}
    assert rows <= {field.name for field in model.CONTAINER} | inner
