# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk: ``io_weight`` (a share), ``io_read``, ``io_write``, ``io_read_ops``, ``io_write_ops`` (limits per second).

Kernel: io.max, io.weight and io.bfq.weight (cgroup-v2.rst, bfq-iosched.rst); blkio.throttle.* and blkio.bfq.weight in
version 1 (blkio-controller.rst). The files name the disk by its number, which may be another one after the node's next
boot. So nothing of it stands in LXC's configuration: the hook writes it, at every start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..host import Box, Host
from ..kernel import cgroup, disks
from ..kernel.disks import Disk
from ..steps import Change
from .base import Facet

# The key in version 2's io.max, and version 1's file.
_LIMITS = {
    "io_read": ("rbps", "blkio.throttle.read_bps_device"),
    "io_write": ("wbps", "blkio.throttle.write_bps_device"),
    "io_read_ops": ("riops", "blkio.throttle.read_iops_device"),
    "io_write_ops": ("wiops", "blkio.throttle.write_iops_device"),
}
_DEFAULT_WEIGHT = 100


class Io(Facet):
    name = "io"
    live_rows = ("io_weight", *_LIMITS)
    late = True

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        asked = [box for box in boxes if box.pid and any(row in box.record.fields for row in self.live_rows)]
        # Undeclared options are nobody's business, and most containers have none of these.
        disk = _disk(host) if asked else None
        weight = _weight_file(host, disk)
        return {box.name: _observe(host, box, disk, weight) for box in asked}

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if not box.pid:
            return
        values = {change.field: change.after for change in changes}
        disk = _disk(host)
        if "io_weight" in values:
            file = _weight_file(host, disk)
            # Without one it has no effect, and the next plan says so.
            if file is not None:
                host.cgroup.write(box.name, _controller(host), file, values["io_weight"] or _DEFAULT_WEIGHT)
        limits = {row: values[row] for row in _LIMITS if row in values}
        if disk is None:
            if any(limits.values()):
                raise OSError(_NO_DISK.format(host.paths.base))
            return
        if host.cgroup.version == 2:
            if limits:
                words = [f"{_LIMITS[row][0]}={value or 'max'}" for row, value in limits.items()]
                host.cgroup.write(box.name, "io", "io.max", " ".join([disk.number, *words]))
            return
        if any(limits.values()):
            # Version 1 counts each group by itself: one made below the container's would not be limited.
            host.cgroup.keep_flat(box.name, "blkio")
        for row, value in limits.items():
            host.cgroup.write(box.name, "blkio", _LIMITS[row][1], f"{disk.number} {value or 0}")


_NO_DISK = "{} is on no disk of this node, and so no I/O of it can be limited"


def cannot(host: Host) -> dict[str, str]:
    """The options that have no effect on this node, and why not."""
    disk = _disk(host)
    if disk is None:
        return dict.fromkeys(Io.live_rows, f"{_NO_DISK.format(host.paths.base)}; delete it")
    result = {}
    if not host.cgroup.offers("io" if host.cgroup.version == 2 else "blkio"):
        why = "this node's kernel has no control group controller for I/O; delete it, or boot another kernel"
        return dict.fromkeys(Io.live_rows, why)
    if _weight_file(host, disk) is None:
        names = [layer.name for layer in disk.layers()]
        remedy = ", ".join(f"/sys/block/{name}/queue/scheduler" for name in names)
        result["io_weight"] = (
            f"the scheduler of {', '.join(names)} ({disk.layers()[0].scheduler()}) knows no weights, so it would have "
            f"no effect; write bfq to {remedy}, or delete it"
        )
    return result


def _disk(host: Host) -> Disk | None:
    """The disk that containers' files are on."""
    path = host.paths.base
    return disks.holding(path) if os.path.isdir(path) else None


def _controller(host: Host) -> str:
    return "io" if host.cgroup.version == 2 else "blkio"


def _weight_file(host: Host, disk: Disk | None) -> str | None:
    """The file whose weight the disk's scheduler goes by; ``None`` where nobody does."""
    layers = disk.layers() if disk else []
    if not layers:
        return None
    if all(layer.scheduler() == "bfq" for layer in layers):
        return "io.bfq.weight" if host.cgroup.version == 2 else "blkio.bfq.weight"
    costs = host.cgroup.read_root("io", "io.cost.qos") or "" if host.cgroup.version == 2 else ""
    enabled = {line.split()[0] for line in costs.splitlines() if "enable=1" in line.split()}
    return "io.weight" if all(layer.number in enabled for layer in layers) else None


def _observe(host: Host, box: Box, disk: Disk | None, weight: str | None) -> dict[str, Any]:
    group, name = host.cgroup, box.name
    seen: dict[str, Any] = dict.fromkeys(Io.live_rows)
    # "100" of one file is "default 100" of the other, with lines for single disks below it.
    text = group.read(name, _controller(host), weight) if weight else None
    seen["io_weight"] = int(text.splitlines()[0].split()[-1]) if text else None
    for row, (key, file) in _LIMITS.items():
        if host.cgroup.version == 2:
            found = _of_disk(group.read(name, "io", "io.max"), disk)
            pairs = dict(word.split("=", 1) for word in found.split())
            seen[row] = cgroup.parse_limit(pairs.get(key))
        else:
            seen[row] = cgroup.parse_limit(_of_disk(group.read(name, "blkio", file), disk) or None)
    return seen


def _of_disk(text: str | None, disk: Disk | None) -> str:
    """What a file with a line for each disk says of one."""
    lines = (line.partition(" ") for line in (text or "").splitlines())
    return next((rest for number, _sep, rest in lines if disk is not None and number == disk.number), "")
