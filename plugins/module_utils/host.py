# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the facets work on: the node they are on, and one of its containers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .kernel import cgroup, quota
from .kernel.cgroup import Cgroup
from .paths import Paths
from .record import Record


@dataclass(frozen=True)
class Host:
    """The node as the facets need it."""

    paths: Paths = field(default_factory=Paths)
    cgroup: Cgroup = field(default_factory=cgroup.detect)
    apparmor: bool = False

    @property
    def quota(self) -> frozenset[str]:
        """The kinds of quota that are in force where containers lie. Asked each time: it is one system call."""
        return quota.enforced(self.paths.base)


@dataclass
class Box:
    """A container as its facets see it: its directory and record, and its init's process id while it runs."""

    record: Record
    directory: str
    pid: int | None = None

    @property
    def name(self) -> str:
        return self.record.name


def apparmor_enabled() -> bool:
    """Whether the kernel enforces AppArmor (securityfs, Documentation/admin-guide/LSM/apparmor.rst)."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as handle:
            return handle.read().strip() == "Y"
    except OSError:
        return False
