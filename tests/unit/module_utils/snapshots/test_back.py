# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has been declared since a snapshot was taken can keep a container from going back to it, or to its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.record import Record
from ansible_collections.carve.vps.plugins.module_utils.snapshots import back
from ansible_collections.carve.vps.plugins.module_utils.snapshots.shelf import Snapshot

from unit.module_utils.facets import boxes

THEN: dict[str, Any] = {
    "id": 20, "template": "t", "live_migration": True, "ram": 1 << 30, "network.eth0.mode": "bridged",
    "network.eth0.bridge": "br-lan",
}  # fmt: skip


def _record(**fields: Any) -> Record:
    return Record("acme", "web", "d", "copy", {**THEN, **fields}, uuid="u")


SNAPSHOT = Snapshot("web", "old", "/nowhere", _record(), {"memory": {"bytes": 300 << 20, "traits": {}}})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"ram": 2 << 30}, ""),
        ({"ram": 256 << 20}, "ram is 256M, and its memory has 300.0M"),
        ({"live_migration": False}, "it is not declared live_migration: true"),
        ({"mounts": {"/srv": {"source": "/srv"}}}, "mounts: directories of the node cannot come along"),
        ({"network.eth0.bridge": "br-wan"}, "it has other network interfaces"),
    ],
)
def test_memory_that_could_not_be_had_is_not_tried(fields: dict[str, Any], why: str) -> None:
    assert back._unlike_then(_record(**fields), SNAPSHOT) == why


def test_what_is_in_swap_counts_for_no_limit_that_has_stayed() -> None:
    small = Snapshot("web", "old", "/nowhere", _record(ram=256 << 20), SNAPSHOT.about)
    assert back._unlike_then(_record(ram=256 << 20), small) == ""


def test_files_of_other_user_ids_are_nobodys_to_have(tmp_path: Path) -> None:
    words = back.why_not(boxes.host(tmp_path), _record(id=21), SNAPSHOT, True, False)
    assert words == "web has other user ids than when old was taken; delete it"
