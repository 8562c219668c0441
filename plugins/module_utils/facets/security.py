# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What confines a container beyond its ids: LXC's seccomp rules, AppArmor where the node has it, ``drop_capabilities``.

AppArmor's profile always allows nesting: without it the systemd of a container cannot make the namespaces and mounts
in which it confines services.

The lines about terminals and memory pressure cost a container nothing and leave open that it is checkpointed one day:
CRIU cannot restore LXC's console descriptors nor systemd's watch on PSI files.
"""

from __future__ import annotations

from typing import Any

from .. import files
from ..host import Box, Host
from ..words import CAPABILITIES
from .base import OneOption

# Sockets to the hypervisor belong to no namespace. Only an LSM sees all ways to one: a seccomp filter sees neither what
# 32-bit programs hand to socketcall(2), nor what is asked of io_uring.
_NO_VSOCK = "deny network vsock,"


class Security(OneOption):
    name = "security"
    live_rows = ("drop_capabilities",)

    def found(self, box: Box) -> Any:
        return _dropped(box)

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        if host.apparmor:
            confinement = [
                ("lxc.apparmor.profile", "generated"),
                ("lxc.apparmor.allow_nesting", "1"),
                ("lxc.apparmor.raw", _NO_VSOCK),
            ]
        else:
            confinement = [("lxc.apparmor.profile", "unconfined")]
        dropped = box.record.fields.get("drop_capabilities") or []
        return [
            *confinement,
            *(("lxc.cap.drop", name) for name in dropped),
            ("lxc.tty.max", "0"),
            ("lxc.console.path", "none"),
            ("lxc.environment", "MEMORY_PRESSURE_WATCH=/dev/null"),
        ]


def _dropped(box: Box) -> list[str]:
    """Of the capabilities that are to be dropped, those that init can never have (CapBnd, proc_pid_status(5))."""
    try:
        lines = (files.read(f"/proc/{box.pid}/status") or "").split("\n")
    except OSError:
        lines = []
    found = [int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")]
    if not found:
        # The container ended while it was looked at.
        return []
    bounding = found[0]
    return [name for name in box.record.fields["drop_capabilities"] if not bounding >> CAPABILITIES.index(name) & 1]
