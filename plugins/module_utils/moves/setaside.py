# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that a move has set aside on the node that they leave, and whose move did not end."""

from __future__ import annotations

import os

from .. import files, removal
from ..host import Box, Host
from ..record import Record, load
from . import note


def whole(host: Host) -> list[str]:
    """Those that no other node was asked to start yet: they are this node's, whatever has become of their move."""
    try:
        names = sorted(os.listdir(host.paths.departing))
    except FileNotFoundError:
        return []
    return [name for name in names if (found := _note(host, name)) is not None and found.handed_to is None]


def record_of(host: Host, name: str) -> Record:
    """Raises ``OSError`` where it cannot be read."""
    record = load(f"{host.paths.departing}/{name}")
    if record is None:
        raise OSError(f"{host.paths.departing}/{name} has no record that can be read")
    return record


def was_running(host: Host, name: str) -> bool:
    """Whether it ran before."""
    return (_note(host, name) or note.Note()).running


def put_back(host: Host, name: str) -> Box:
    """Make it one of this node's again, not started."""
    record = record_of(host, name)
    aside, final = f"{host.paths.departing}/{name}", host.paths.container(name)
    os.rename(aside, final)
    note.remove(final)
    files.sync([host.paths.containers, host.paths.departing])
    return Box(record, final)


def discard(host: Host, name: str) -> None:
    """Remove it: it runs elsewhere now."""
    removal.remove(host, name, f"{host.paths.departing}/{name}")


def _note(host: Host, name: str) -> note.Note | None:
    return note.read(f"{host.paths.departing}/{name}")
