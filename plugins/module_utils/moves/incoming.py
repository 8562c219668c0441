# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is being sent to a node to be its containers: ``incoming/containers/NAME``, with a note of which move sends it.

Fleets do not know each other's names, so the note says as well which container it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .. import files
from ..host import Host
from ..record import Record
from . import session

_NOTE = "attempt.json"


def place(host: Host, name: str) -> str:
    """Where the files of a container are sent to."""
    return f"{host.paths.incoming}/containers/{name}"


def attempt(host: Host, name: str) -> Mapping[str, Any]:
    """The ``move`` that sends it, the container's ``uuid``, and the bytes of ``memory`` that it brings."""
    return files.read_json(f"{place(host, name)}/{_NOTE}") or {}


def begin(host: Host, record: Record, move: str, memory: int) -> None:
    """Note which move sends a container from now on."""
    about = {"move": move, "uuid": record.uuid, "memory": memory}
    files.write_json(f"{place(host, record.name)}/{_NOTE}", about)


def end(host: Host, name: str) -> None:
    """All of it is here."""
    os.unlink(f"{place(host, name)}/{_NOTE}")


def is_of_another(host: Host, record: Record) -> bool:
    """Whether what was sent under a container's name is of another one, of another fleet."""
    return attempt(host, record.name).get("uuid", record.uuid) != record.uuid


def is_under_way(host: Host, name: str) -> bool:
    """Whether it may still be sent: a door is open that was open when it began."""
    return _began_since(host, name, session.open_since(host.paths))


def promised(host: Host, beside: str) -> int:
    """Bytes of memory of all that are on their way here but one, by moves that are under way."""
    top, since = os.path.dirname(place(host, beside)), session.open_since(host.paths)
    others = set(os.listdir(top)) - {beside} if os.path.isdir(top) else set()
    return sum(attempt(host, name).get("memory", 0) for name in others if _began_since(host, name, since))


def _began_since(host: Host, name: str, since: float | None) -> bool:
    try:
        return since is not None and os.stat(f"{place(host, name)}/{_NOTE}").st_mtime >= since
    except FileNotFoundError:
        return False


def remove(host: Host, name: str) -> None:
    """Leave nothing of it."""
    if os.path.isdir(place(host, name)):
        files.remove_mounted_tree(place(host, name))


def clear_abandoned(host: Host) -> None:
    """Remove what was sent for moves that did not end; the caller has the node's lock.

    What cannot be removed keeps nothing else from it. Raises ``OSError`` for the first of it.
    """
    if session.is_open(host.paths):
        return
    refused: list[OSError] = []
    for name in sorted(os.listdir(host.paths.incoming)):
        try:
            files.remove_mounted_tree(f"{host.paths.incoming}/{name}")
        except OSError as error:
            refused.append(error)
    if refused:
        raise refused[0]
