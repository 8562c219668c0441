# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk: bytes and operations per second, each way, by direct I/O past the page cache."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .stage import Row, Stage, disk, disk_count

_M = 1 << 20
_FILE = "/root/busy"
_FILE_SIZE = 64  # megabytes


def _dd(direction: str, block: str, count: int) -> str:
    if direction == "read":
        return f"dd if={_FILE} of=/dev/null bs={block} count={count} iflag=direct"
    return f"dd if=/dev/zero of={_FILE} bs={block} count={count} oflag=direct conv=notrunc"


def _measure(stage: Stage, block: str, count: int, values: tuple[int, ...], kind: str) -> Iterator[Row]:
    """Each way without a limit and with several, changed while it runs."""
    if disk() is None:
        return
    suffix, word, scale, unit = ("", "bytes", _M, "MiB/s") if kind == "bytes" else ("_ops", "ios", 1, "per second")
    with stage.containers(disk={}):
        stage.inside("disk", "dd", "if=/dev/zero", f"of={_FILE}", "bs=1M", f"count={_FILE_SIZE}", "oflag=direct")
        for direction in ("read", "write"):
            option, counter = f"io_{direction}{suffix}", partial(disk_count, "disk", f"{direction[0]}{word}")
            # Several, so that one is always waiting for the disk while another waits for the filesystem's journal.
            work = [("disk", _dd(direction, block, count))] * 3
            with stage.busy(*work):
                (free,) = stage.rates(counter)
            for value in values:
                stage.declare(disk={option: value})
                with stage.busy(*work):
                    (got,) = stage.rates(counter)
                note = f"{free / scale:.0f} without a limit"
                yield Row(f"{option}, direct I/O", value / scale, got / scale, unit, note)
            stage.declare(disk={})


def bandwidth(stage: Stage) -> Iterator[Row]:
    yield from _measure(stage, "256k", _FILE_SIZE * 4, (10 * _M, 40 * _M), "bytes")


def operations(stage: Stage) -> Iterator[Row]:
    yield from _measure(stage, "4k", 4096, (200, 1000), "operations")
