# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose disk is full: the container's own is told from the node's."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.carve.vps.plugins.module_utils import fullness
from ansible_collections.carve.vps.plugins.module_utils.builder import BuildError
from ansible_collections.carve.vps.plugins.module_utils.engines.lxc import EngineError
from ansible_collections.carve.vps.plugins.module_utils.fullness import Room

G, M = 1 << 30, 1 << 20
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/etc/hosts")
NO_QUOTA = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/etc/hosts")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NO_SPACE, True),
        (NO_QUOTA, True),
        (OSError("the template cannot be copied: cp: error writing 'a': No space left on device"), True),
        (OSError("the template cannot be copied: cp: error writing 'a': Disk quota exceeded"), True),
        (BuildError("apt failed", "E: ... No space left on device"), True),
        # The limit of a user's keys has the same words.
        (EngineError("Failed to create a session keyring: Disk quota exceeded"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_what_tells_of_a_full_disk(error: Exception, told: bool) -> None:
    assert fullness.is_told_by(error) is told


FULL, ROOMY = Room(40 * G, 4096, 1000, 10), Room(40 * G, 10 * G, 1000, 10)
OWN = "the container's own disk is full: {} is left of {}; remove files inside, or declare more {}"


@pytest.mark.parametrize("error", [NO_SPACE, NO_QUOTA])
@pytest.mark.parametrize("node", [FULL, ROOMY])
@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(64 * M, 8192, 2000, 100), ("no space", "64M", "disk")),
        (Room(64 * M, 30 * M, 2000, 0), ("no inode", "2000", "inodes")),
        (Room(None, None, 2000, 0), ("no inode", "2000", "inodes")),
    ],
)
def test_a_container_that_has_filled_its_own(
    error: Exception, node: Room, room: Room, words: tuple[str, str, str]
) -> None:
    assert fullness.of_container(error, room, node) == OWN.format(*words)


def test_what_was_too_large_for_a_container_is_not_told_of_a_node_with_room() -> None:
    room = Room(64 * M, 30 * M, 2000, 100)
    assert fullness.of_container(NO_SPACE, room, ROOMY) == OWN.format("not enough space", "64M", "disk")
    assert fullness.of_container(NO_SPACE, room, FULL) is None


@pytest.mark.parametrize("room", [None, Room(), Room(None, None, 2000, 1000)])
def test_what_a_container_has_no_limit_of_is_the_nodes(room: Room | None) -> None:
    assert fullness.of_container(NO_SPACE, room, ROOMY) is None


@pytest.mark.parametrize("room", [None, Room(), Room(64 * M, 30 * M, 2000, 100)])
def test_a_quota_that_is_not_the_containers_is_that_of_a_user_inside(room: Room | None) -> None:
    assert "disk_users and disk_groups" in (fullness.of_container(NO_QUOTA, room, ROOMY) or "")


def test_the_nodes_disk_is_named_with_its_size_and_what_is_free_by_now() -> None:
    said = "the disk of /x is full: no {} is left of 40G{}; what was begun is removed, 1126M free now"
    after = Room(40 * G, 1126 * M, 1000, 10)
    assert fullness.of_node(NO_SPACE, "/x", after) == said.format("space", "")
    assert fullness.of_node(NO_SPACE, "/x", Room(40 * G, 1126 * M, 1000, 0)) == said.format("inode", "")
    assert fullness.of_node(NO_SPACE, "/x", Room(40 * G, 1126 * M)) == said.format("space", "")
    failed = BuildError("apt-get failed:\nmore", "No space left on device")
    assert fullness.of_node(failed, "/x", after) == said.format("space", " (apt-get failed)")
