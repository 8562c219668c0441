# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan says of disk limits that a node cannot hold, and of those that would not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan
from ansible_collections.carve.vps.plugins.module_utils.steps import DiskSeen, NodeSeen

from unit.module_utils.worlds import EMPTY, lines, node, one, with_container

M = 1 << 20
QUOTA = replace(EMPTY, quota=frozenset({"project", "user", "group"}))
BARE = replace(EMPTY, makers=frozenset({"ext4", "xfs"}), ext4_grows=False)
USERS = {"1000": {"disk": "1G", "inodes": "10k"}}


def world(before: dict[str, Any], start: NodeSeen, disk: DiskSeen) -> NodeSeen:
    """A node with a container made of ``before``, and what holds and fills it."""
    return with_container(node(one(before), start), "web", disk=disk)


def test_limits_change_live_where_there_is_quota() -> None:
    before = {"disk": "1G", "inodes": "200k", "disk_users": USERS}
    after = {"disk": "2G", "disk_users": {"1000": {"disk": "2G"}}}
    assert lines(plan.make(one(after), world(before, QUOTA, DiskSeen(None, 500 * M, 20)))) == [
        (
            "web change disk: disk 1G -> 2G, inodes 200k -> -, "
            "disk_users 1000: disk 1G and inodes 10k -> 1000: disk 2G (declared)"
        )
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"disk": "256M"}, "disk 256M is less than the 500.0M in use; delete files in the container, or declare more"),
        ({"disk": "1G", "inodes": 1000}, "inodes 1k is less than the 2000 in use; delete files in the container"),
    ],
)
def test_less_than_is_in_use_is_refused(after: dict[str, Any], words: str) -> None:
    made = plan.make(one(after), world({"disk": "1G"}, QUOTA, DiskSeen(None, 500 * M, 2000)))
    assert len(made.refusals) == 1 and words in made.refusals[0]
    assert not made.doable


def test_a_rebuild_has_room_for_less() -> None:
    """It begins with nothing in use, and with a filesystem of its own that can be smaller."""
    for start, seen in ((QUOTA, DiskSeen(None, 500 * M, 2)), (BARE, DiskSeen("ext4", 500 * M))):
        found = world({"disk": "1G"}, start, seen)
        made = plan.make(one({"disk": "256M", "template": "web", "template_policy": "rebuild"}), found)
        rebuild = next(step for step in made.steps if step.action == "rebuild")
        assert not made.refusals and "disk" in {change.field for change in rebuild.changes}


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        ({"disk": "1G"}, {"disk": "512M"}, "xfs", "is less than the 1G of the container's own filesystem"),
        ({"disk": "1G"}, {}, "xfs", "stays limited; write disk: 1G"),
        ({"disk": "1G"}, {"disk": "2G"}, "ext4", "ext4 does not grow here: Carve has no CAP_SYS_RESOURCE"),
        ({"disk": "1G"}, {"disk": "1G", "inodes": "9k"}, "xfs", "are given when it is made; write no inodes:"),
        ({"disk": "1G", "inodes": "2k"}, {"disk": "1G", "inodes": "9k"}, "ext4", "write inodes: 2k"),
        ({"disk": "1G", "inodes": "2k"}, {"disk": "2G", "inodes": "2k"}, "ext4", "ext4 that grows gets more inodes"),
        ({}, {"disk": "1G"}, None, "a container gets a filesystem of its own only when it is made"),
        ({}, {"disk": "1G", "inodes": "9k"}, None, "has no project quota"),
    ],
)
def test_what_a_filesystem_of_its_own_cannot_do_is_refused(
    before: dict[str, Any], after: dict[str, Any], kind: str | None, words: str
) -> None:
    made = plan.make(one(after), world(before, BARE, DiskSeen(kind, 500 * M)))
    assert not made.errors
    assert len(made.refusals) == 1 and words in made.refusals[0], made.refusals


def test_xfs_grows() -> None:
    made = plan.make(one({"disk": "2G"}), world({"disk": "1G"}, BARE, DiskSeen("xfs", 500 * M)))
    assert lines(made) == ["web change disk: disk 1G -> 2G (declared)"]


@pytest.mark.parametrize(
    ("wanted", "start", "words"),
    [
        (
            {"disk_users": USERS},
            BARE,
            "web: disk_users needs user quota, and the filesystem of /var/lib/carve has none",
        ),
        ({"disk_groups": USERS}, BARE, "web: disk_groups needs group quota"),
        ({"inodes": "9k"}, BARE, "web: inodes needs disk: beside it here"),
        ({"disk": "1G"}, EMPTY, "web: disk cannot be limited here"),
        ({"disk": "1G", "inodes": "9k"}, replace(BARE, makers=frozenset({"xfs"})), "web: disk cannot be limited here"),
        ({"disk": "64M"}, replace(BARE, makers=frozenset({"xfs"})), "web: disk cannot be limited here"),
    ],
)
def test_what_a_node_cannot_do_stops_the_plan(wanted: dict[str, Any], start: NodeSeen, words: str) -> None:
    made = plan.make(one(wanted), start)
    assert len(made.errors) == 1 and made.errors[0].startswith(words), made.errors


def test_users_have_no_limits_in_a_filesystem_of_its_own() -> None:
    found = world({"disk": "1G"}, QUOTA, DiskSeen("xfs", 500 * M))
    (error,) = plan.make(one({"disk": "1G", "disk_users": USERS}), found).errors
    assert error == "web: disk_users does not work in a filesystem of the container's own; delete disk_users:"
