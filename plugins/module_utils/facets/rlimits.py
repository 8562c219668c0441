# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resource limits of processes: ``rlimits``.

LXC sets them on the init before it starts, and every process inherits them (getrlimit(2)). Only the node's root could
raise the hard ones again, so they hold for all of the container. The soft ones are each process's own to move below
them, and systemd does so; what is compared is therefore the hard limit of init.
"""

from __future__ import annotations

from typing import Any

from ..host import Box, Host
from .base import OneOption

# The names that /proc/PID/limits has for them (proc_pid_limits(5)).
_SHOWN = {
    "Max cpu time": "cpu", "Max file size": "fsize", "Max data size": "data", "Max stack size": "stack",
    "Max core file size": "core", "Max resident set": "rss", "Max processes": "nproc", "Max open files": "nofile",
    "Max locked memory": "memlock", "Max address space": "as", "Max file locks": "locks",
    "Max pending signals": "sigpending", "Max msgqueue size": "msgqueue", "Max nice priority": "nice",
    "Max realtime priority": "rtprio", "Max realtime timeout": "rttime",
}  # fmt: skip


class Rlimits(OneOption):
    name = "rlimits"
    live_rows = ("rlimits",)

    def found(self, box: Box) -> Any:
        return _found(box)

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        limits = box.record.fields.get("rlimits") or {}
        return [(f"lxc.prlimit.{name}", value) for name, value in limits.items()]


def _found(box: Box) -> dict[str, str]:
    declared = box.record.fields["rlimits"]
    found = {}
    for name, (soft, hard) in limits_of(box.pid or 0).items():
        if name in declared:
            found[name] = declared[name] if declared[name].partition(":")[2] == hard else f"{soft}:{hard}"
    return found


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """The soft and the hard limits of a process, by name."""
    found = {}
    try:
        with open(f"/proc/{pid}/limits", encoding="ascii") as handle:
            for line in handle:
                name = _SHOWN.get(line[:26].strip())
                if name:
                    soft, hard = line[26:].split()[:2]
                    found[name] = (soft, hard)
    except OSError:
        # The container ended while it was looked at.
        return {}
    return found
