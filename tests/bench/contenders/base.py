# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a contender is: four commands to be measured, and a way to see what came of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from commands import Command
from observe import Limits
from rootfs import Rootfs

# The node's own Python: it has python3-lxc, and naming it spares Ansible the search for one.
NODE_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Bench:
    """What every contender is asked for, and where it may put things."""

    count: int
    rootfs: Rootfs
    before: Limits
    after: Limits
    cache: Path
    state: Path

    def log(self, name: str) -> Path:
        return self.cache / "logs" / f"{name}.log"


class Contender(ABC):
    """One way to manage containers. A verb prepares its command untimed; running that command is what is timed."""

    name: str
    note: str

    @abstractmethod
    def create(self) -> Command:
        """Create and start all containers with the limits `before`."""

    @abstractmethod
    def noop(self) -> Command:
        """Find out that there is nothing to do."""

    @abstractmethod
    def change(self) -> Command:
        """Give all of them the limits `after`."""

    @abstractmethod
    def destroy(self) -> Command:
        """Stop and remove all of them."""

    @abstractmethod
    def changed(self, said: str) -> str:
        """What the command that has just ended changed, in its own words; empty for nothing. It printed `said`."""

    @abstractmethod
    def pids(self) -> dict[str, int]:
        """The init process of each running container, by name."""

    @abstractmethod
    def wipe(self) -> None:
        """Remove whatever of this contender's containers is left, in whatever state; raise only when some stays."""
