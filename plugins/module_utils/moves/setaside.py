# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that a move has set aside on the node that they leave, and whose move did not end."""

from __future__ import annotations

import os

from .. import files, removal
from ..engines import lxc
from ..facets import network
from ..host import Box, Host
from ..record import Record, load
from . import note


def take_back(host: Host, failures: dict[str, Exception]) -> set[str]:
    """Make those this node's again that no other node was asked to start; the names of those that ran.

    One whose addresses somebody else has been given meanwhile stays aside. What went wrong is put into ``failures``,
    and keeps nothing else down.
    """
    ran: set[str] = set()
    try:
        names = _whole(host)
        boxes = lxc.containers(host, {}) if names else []
        taken = {address: box.name for box in boxes for address in network.addresses_of(box.record)}
    except Exception as error:  # noqa: BLE001 - what is set aside must not keep the node's containers down
        failures[host.paths.departing] = error
        return ran
    for name in names:
        try:
            others = {taken[one] for one in network.addresses_of(_record(host, name)) if one in taken}
            if others:
                raise OSError(f"it is set aside by a move, and stays so: {', '.join(sorted(others))} has its address")
            to_run = was_running(host, name)
            put_back(host, name)
            ran |= {name} if to_run else set()
        except Exception as error:  # noqa: BLE001 - nor one of them the others
            failures[name] = error
    return ran


def _whole(host: Host) -> list[str]:
    """Those that no other node was asked to start yet: they are this node's, whatever has become of their move."""
    try:
        names = sorted(os.listdir(host.paths.departing))
    except FileNotFoundError:
        return []
    found = {name: note.read(f"{host.paths.departing}/{name}") for name in names}
    # One whose note cannot be read may have been handed over.
    return [name for name, read in found.items() if read is not None and read.handed_to is None]


def _record(host: Host, name: str) -> Record:
    """Raises ``OSError`` where it cannot be read."""
    record = load(f"{host.paths.departing}/{name}")
    if record is None:
        raise OSError(f"{host.paths.departing}/{name} has no record that can be read")
    return record


def note_of(host: Host, name: str) -> note.Note:
    """What was written down of its move."""
    return note.read(f"{host.paths.departing}/{name}") or note.Note()


def was_running(host: Host, name: str) -> bool:
    """Whether it ran before."""
    return note_of(host, name).running


def put_back(host: Host, name: str) -> Box:
    """Make it one of this node's again, not started."""
    record = _record(host, name)
    aside, final = f"{host.paths.departing}/{name}", host.paths.container(name)
    os.rename(aside, final)
    note.remove(final)
    files.sync([host.paths.containers, host.paths.departing])
    return Box(record, final)


def discard(host: Host, name: str) -> None:
    """Remove it: it runs elsewhere now."""
    removal.remove(host, name, f"{host.paths.departing}/{name}")
