# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens when the node starts or stops: ``autostart``, ``start_order``, ``start_delay``, ``stop_timeout``.

The node's boot program reads these from the record; the LXC keys say the same to whoever looks with LXC's own tools.
"""

from __future__ import annotations

from ..host import Box, Host
from .base import Facet


class Boot(Facet):
    name = "boot"

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        fields = box.record.fields
        return [
            ("lxc.start.auto", "1" if starts_with_node(box) else "0"),
            ("lxc.start.order", str(fields["start_order"])),
            ("lxc.start.delay", str(fields["start_delay"])),
        ]


def starts_with_node(box: Box) -> bool:
    """A container that is declared stopped or suspended stays so, whatever ``autostart`` says of its better days."""
    return bool(box.record.fields["autostart"]) and box.record.fields["state"] not in ("stopped", "suspended")
