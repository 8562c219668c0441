# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the node runs when it starts and before it goes down: ``boot start`` and ``boot stop``; and, when a container
that was made anew from its memory has ended by itself, ``boot again NAME`` (``hook.py``).

Everything it needs is on the node: bridges from ``networks.json``, containers from their records. No controller speaks.
"""

from __future__ import annotations

import sys

from . import bridges, files, lock, power
from .checkpoint import suspend
from .engines import lxc
from .facets import network
from .facets.boot import starts_with_node
from .host import Box, Host, apparmor_enabled
from .moves import note, setaside
from .paths import Paths

_PATIENCE = 600  # seconds that a run which is at work on the node may take
_LONG = 86400  # seconds; nobody else would start a container that has rebooted itself


def main(arguments: list[str]) -> int:
    if arguments[1:] not in (["start"], ["stop"]) and (arguments[1:2] != ["again"] or len(arguments) != 3):
        sys.stderr.write("usage: boot start | stop | again NAME\n")
        return 2
    paths = Paths()
    paths.make()
    host = Host(paths=paths, apparmor=apparmor_enabled())
    try:
        with lock.held(paths, True, {"doing": f"boot {arguments[1]}"}, _LONG if arguments[1] == "again" else _PATIENCE):
            if arguments[1] == "again":
                failures = again(host, arguments[2])
            else:
                failures = start(host) if arguments[1] == "start" else stop(host)
    except lock.Busy as error:
        sys.stderr.write(f"carve: {error}\n")
        return 1
    for name, failure in sorted(failures.items()):
        sys.stderr.write(f"carve: {name}: {failure}\n")
    return 1 if failures else 0


def start(host: Host) -> dict[str, Exception]:
    """Make the bridges, take back what moves have set aside and never handed over, start what starts with the node.

    What went wrong, by name; the rest goes on.
    """
    failures: dict[str, Exception] = {}
    for name, entry in sorted((files.read_json(host.paths.networks) or {}).items()):
        try:
            bridges.make(entry["fleet"], entry["wanted"])
        except Exception as error:  # noqa: BLE001 - a bridge that fails must not keep the others' containers down
            failures[name] = error
    ran = setaside.take_back(host, failures)
    boxes = lxc.containers(host, failures)
    try:
        # In one go and before any container runs; each is asked for again when it starts.
        network.restore(boxes)
    except Exception as error:  # noqa: BLE001 - a container that cannot be enclosed does not start, and says so itself
        failures["rules"] = error
    boxes = [box for box in boxes if box.pid is None and starts_with_node(box)]
    boxes = [box for box in boxes if box.name in ran or not _is_to_sleep(box)]
    failures.update(power.start_in_order(host, boxes))
    return failures


def _is_to_sleep(box: Box) -> bool:
    """Whether it was suspended, and its power is to be kept as it is found; not by a move that came no further."""
    if box.record.fields["state"] != "keep" or not suspend.is_suspended(box.directory):
        return False
    departing = note.read(box.directory)
    return departing is None or not departing.running


def stop(host: Host) -> dict[str, Exception]:
    failures: dict[str, Exception] = {}
    boxes = [box for box in lxc.containers(host, failures) if box.pid is not None]
    return {**failures, **power.stop_in_order(host, boxes)}


def again(host: Host, name: str) -> dict[str, Exception]:
    """Start a container that ended by itself, unless it is meant to be off by now."""
    unclear: dict[str, Exception] = {}
    found = [box for box in lxc.containers(host, unclear) if box.name == name and box.pid is None and _is_to_run(box)]
    failed = {one: error for one, error in unclear.items() if one == name}
    return {**failed, **power.each(lambda box: power.start(host, box), found)}


def _is_to_run(box: Box) -> bool:
    return box.record.fields["state"] not in ("stopped", "suspended")
