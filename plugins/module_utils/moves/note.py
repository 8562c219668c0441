# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written down in the directory of a container that is about to leave, before anything of it is stopped."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass

from .. import files

_FILE = "departing.json"


@dataclass(frozen=True)
class Note:
    """Whoever finds a container set aside learns from it what may be done with it."""

    # Whether it ran, and so is to run again, wherever that will be.
    running: bool = False
    # The node that it goes to, by its name in the inventory.
    to: str | None = None
    # Whether that node was asked to start it: from then on, only that node can say that it does not run there.
    asked: bool = False

    @property
    def handed_to(self) -> str | None:
        """The node that may have the container running."""
        return self.to if self.asked else None

    def write(self, directory: str) -> None:
        files.write_json(f"{directory}/{_FILE}", asdict(self))


def read(directory: str) -> Note | None:
    found = files.read_json(f"{directory}/{_FILE}")
    return Note(**found) if found else None


def remove(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/{_FILE}")
