# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which filesystem a container gets for its own."""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.plugins.module_utils import images

M = 1 << 20


@pytest.mark.parametrize(
    ("size", "inodes", "makers", "kind"),
    [
        (1024 * M, None, {"ext4", "xfs"}, "xfs"),
        (300 * M, None, {"ext4", "xfs"}, "xfs"),
        (299 * M, None, {"ext4", "xfs"}, "ext4"),
        (1024 * M, 2000, {"ext4", "xfs"}, "ext4"),
        (1024 * M, None, {"ext4"}, "ext4"),
        (1024 * M, 2000, {"xfs"}, None),
        (64 * M, None, {"xfs"}, None),
        (1024 * M, None, set(), None),
    ],
)
def test_choice(size: int, inodes: int | None, makers: set[str], kind: str | None) -> None:
    assert images.choose(size, inodes, makers) == kind


def test_a_number_of_inodes_reaches_mkfs() -> None:
    command = images.command("ext4", 2000)
    assert command[command.index("-N") + 1] == "2000"
    assert "-N" not in images.command("ext4", None)
