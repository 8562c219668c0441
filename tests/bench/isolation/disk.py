# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk: bytes and operations per second, each way, and shares of it; by direct I/O past the page cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.kernel.disks import Disk

from .stage import Row, Stage, disk, disk_count

_M = 1 << 20
_FILE = "/root/busy"
_FILE_SIZE = 64  # megabytes


def _dd(direction: str, block: str, count: int) -> str:
    if direction == "read":
        return f"dd if={_FILE} of=/dev/null bs={block} count={count} iflag=direct"
    return f"dd if=/dev/zero of={_FILE} bs={block} count={count} oflag=direct conv=notrunc"


def _prepare(stage: Stage, name: str) -> None:
    stage.inside(name, "dd", "if=/dev/zero", f"of={_FILE}", "bs=1M", f"count={_FILE_SIZE}", "oflag=direct")


def _measure(stage: Stage, block: str, count: int, values: tuple[int, ...], kind: str) -> Iterator[Row]:
    """Each way without a limit and with several, changed while it runs."""
    if disk() is None:
        return
    suffix, word, scale, unit = ("", "bytes", _M, "MiB/s") if kind == "bytes" else ("_ops", "ios", 1, "per second")
    with stage.containers(disk={}):
        _prepare(stage, "disk")
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


def shares(stage: Stage) -> Iterator[Row]:
    """Of a disk that is busy, by a scheduler that knows weights: for as long as that takes it is given one."""
    found = disk()
    if found is None:
        return
    declared = {"one": 100, "two": 200, "four": 400}
    whole = sum(declared.values())
    with _scheduler(found, "bfq"), stage.containers(**{n: {"io_weight": weight} for n, weight in declared.items()}):
        for name in declared:
            _prepare(stage, name)
        for direction in ("read", "write"):
            work = [(name, _dd(direction, "256k", _FILE_SIZE * 4)) for name in declared for _each in range(3)]
            with stage.busy(*work):
                done = stage.rates(*(partial(disk_count, name, f"{direction[0]}bytes") for name in declared))
            for weight, share in zip(declared.values(), done, strict=True):
                note = f"{share / _M:.0f} of {sum(done) / _M:.0f} MiB/s"
                yield Row(f"io_weight {weight}, {direction}", 100 * weight / whole, 100 * share / sum(done), "%", note)


@contextmanager
def _scheduler(whole: Disk, name: str) -> Iterator[None]:
    """Another I/O scheduler for a disk, for a while (Documentation/block/switching-sched.rst)."""
    before = {layer.name: layer.scheduler() for layer in whole.layers()}
    try:
        for layer in before:
            Path(f"/sys/block/{layer}/queue/scheduler").write_text(name, encoding="ascii")
            # BFQ otherwise prefers whoever has begun just now, whatever its weight (bfq-iosched.rst).
            Path(f"/sys/block/{layer}/queue/iosched/low_latency").write_text("0", encoding="ascii")
        yield
    finally:
        for layer, scheduler in before.items():
            Path(f"/sys/block/{layer}/queue/scheduler").write_text(scheduler, encoding="ascii")
