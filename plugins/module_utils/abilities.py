# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node can hold containers to, whichever they are: what ``plan_capabilities`` judges by."""

from __future__ import annotations

from typing import Any

from . import store
from .facets import cpu, io, memory, network
from .host import Host


def of(host: Host) -> dict[str, Any]:
    """Those fields of ``NodeSeen``."""
    online = cpu.online()
    return {
        "cpus": len(online),
        "online": online,
        "swap_limit": memory.swap_can_be_limited(host),
        "swap_alone": host.cgroup.version == 2,
        "cannot": {**io.cannot(host), **network.cannot()},
        "quota": host.quota,
        "makers": store.makers(),
    }
