# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facets, in the order in which their lines stand in a container's configuration."""

from __future__ import annotations

from .base import Facet
from .boot import Boot
from .cards import Cards
from .checkpoint import Checkpoint
from .cpu import Cpu
from .devices import Devices, Features
from .disk import Disk
from .identity import Identity
from .io import Io
from .memory import Memory
from .mounts import Mounts
from .network import Network
from .processes import Processes
from .rlimits import Rlimits
from .security import Security
from .sysctls import Sysctls
from .timezone import Timezone
from .users import Users

NETWORK = Network()
ALL: tuple[Facet, ...] = (
    Identity(),
    Timezone(),
    Users(),
    Security(),
    Checkpoint(),
    Cpu(),
    Memory(),
    Io(),
    Processes(),
    Rlimits(),
    Disk(),
    NETWORK,
    Cards(),
    Sysctls(),
    Mounts(),
    Devices(),
    Features(),
    Boot(),
)
BY_NAME = {facet.name: facet for facet in ALL}
