# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said to the kernel of quota, byte by byte: linux/quota.h, linux/fs.h. That it holds is for the lab."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import quota


def test_limits_are_in_blocks_of_1024_and_come_back_in_bytes() -> None:
    raw = quota.pack(100 << 20, 2000)
    assert len(raw) == 68
    assert struct.unpack("=8QI", raw) == (102400, 102400, 0, 2000, 2000, 0, 0, 0, 5)
    assert quota.unpack(raw) == (100 << 20, 2000, 0, 0)


@pytest.mark.parametrize(
    ("space", "inodes", "blocks", "count"), [(None, None, 0, 0), (None, 5, 0, 5), (1, None, 1, 0), (1535, None, 1, 0)]
)
def test_no_limit_is_zero_and_a_limit_never_is(space: int | None, inodes: int | None, blocks: int, count: int) -> None:
    hard, soft, _used, ihard, isoft, *_rest = struct.unpack("=8QI", quota.pack(space, inodes))
    assert (hard, soft, ihard, isoft) == (blocks, blocks, count, count)


def test_use_is_read_with_the_limits() -> None:
    raw = struct.pack("=8QI", 10, 10, 4096, 0, 0, 7, 0, 0, 63)
    assert quota.unpack(raw) == quota.Quota(10240, None, 4096, 7)


def test_a_filesystem_without_quota_says_so(tmp_path: Path) -> None:
    assert quota.enforced("/proc") == frozenset()
    assert quota.enforced(str(tmp_path / "gone")) == frozenset()
