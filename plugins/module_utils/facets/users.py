# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""User ids: every container is unprivileged and has a range of 65536 host ids of its own (``slots.py``)."""

from __future__ import annotations

from .. import slots
from ..host import Box, Host
from .base import Facet


class Users(Facet):
    name = "users"

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        base = box.record.base_id
        return [("lxc.idmap", f"u 0 {base} {slots.RANGE}"), ("lxc.idmap", f"g 0 {base} {slots.RANGE}")]
