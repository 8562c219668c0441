# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a container's users and groups, and of the room that it has left; the kernel's answers are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import store
from ansible_collections.carve.vps.plugins.module_utils.facets import disk
from ansible_collections.carve.vps.plugins.module_utils.fullness import Room
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.kernel import quota
from ansible_collections.carve.vps.plugins.module_utils.kernel.quota import Quota
from ansible_collections.carve.vps.plugins.module_utils.record import Record

FIELDS = {
    "id": 20,
    "disk_users": {"1000": {"disk": 4096}, "33": {"inodes": 50}},
    "disk_groups": {"100": {"disk": 8192}},
}
BASE = 20 << 16


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    def made(*kinds: str) -> Host:
        monkeypatch.setattr(quota, "enforced", lambda _path: frozenset(kinds))
        return Host()

    return made


def box(directory: Path, **fields: Any) -> Box:
    return Box(Record("acme", "web-1", "1a2b", "overlay", {**FIELDS, **fields}), str(directory))


def test_of_users_and_groups_what_they_have_and_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Callable[..., Host]
) -> None:
    known = {
        (quota.USER, BASE + 1000): Quota(4096, None, 1024, 3),
        (quota.USER, BASE + 33): Quota(None, 50, 0, 50),
        (quota.GROUP, BASE + 100): Quota(8192, None, 2048, 4),
    }
    monkeypatch.setattr(quota, "get", lambda _path, kind, ident: known[kind, ident])
    found = disk.used_by_ids(host("user", "group", "project"), box(tmp_path))
    assert found == {
        "disk_users": {
            "33": {"disk_in_use": 0, "disk": None, "inodes_in_use": 50, "inodes": 50},
            "1000": {"disk_in_use": 1024, "disk": 4096, "inodes_in_use": 3, "inodes": None},
        },
        "disk_groups": {"100": {"disk_in_use": 2048, "disk": 8192, "inodes_in_use": 4, "inodes": None}},
    }
    assert disk.used_by_ids(host("user"), box(tmp_path, disk_users=None)) == {"disk_users": {}, "disk_groups": None}
    assert disk.used_by_ids(host(), box(tmp_path)) == {"disk_users": None, "disk_groups": None}


def test_room_is_that_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Callable[..., Host]
) -> None:
    monkeypatch.setattr(store, "project_of", lambda _directory: 20)
    monkeypatch.setattr(quota, "get", lambda *_words: Quota(4096, 10, 5000, 4))
    assert disk.room(host("project"), box(tmp_path)) == Room(4096, 0, 10, 6)
    monkeypatch.setattr(quota, "get", lambda *_words: Quota(None, None, 5000, 4))
    assert disk.room(host("project"), box(tmp_path)) == Room()
    assert disk.room(host(), box(tmp_path)) is None
