# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The range of host ids in a container's LXC configuration."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.facets.users import Users

from unit.module_utils.facets import boxes


def test_every_container_has_ids_of_its_own(tmp_path: Path) -> None:
    assert Users().boot_config(boxes.host(tmp_path), boxes.box({"id": 20})) == [
        ("lxc.idmap", "u 0 1310720 65536"),
        ("lxc.idmap", "g 0 1310720 65536"),
    ]
