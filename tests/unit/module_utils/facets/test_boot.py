# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who starts when the node does, in what order, and what LXC's own tools are told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets.boot import Boot, starts_with_node

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
