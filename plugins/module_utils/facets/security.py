# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What confines a container beyond its ids: LXC's default device and seccomp rules, and AppArmor where the node has it.

The lines about terminals and memory pressure cost a container nothing and leave open that it is checkpointed one day:
CRIU cannot restore LXC's console descriptors nor systemd's watch on PSI files.
"""

from __future__ import annotations

from ..host import Box, Host
from .base import Facet


class Security(Facet):
    name = "security"

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        if host.apparmor:
            confinement = [("lxc.apparmor.profile", "generated"), ("lxc.apparmor.allow_nesting", "1")]
        else:
            confinement = [("lxc.apparmor.profile", "unconfined")]
        return [
            *confinement,
            ("lxc.tty.max", "0"),
            ("lxc.console.path", "none"),
            ("lxc.environment", "MEMORY_PRESSURE_WATCH=/dev/null"),
        ]
