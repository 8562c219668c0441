# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the destination of a move is asked by its source: ``carve VERB NAME``, with JSON on stdin and JSON on stdout."""

from __future__ import annotations

import json
import select
import sys

from .. import lock, units
from ..checkpoint.suspend import AtWork
from ..engines.lxc import EngineError
from ..host import Host, apparmor_enabled
from ..paths import Paths
from . import arrival
from .remote import MoveError

_PATIENCE = 120.0  # seconds that another run on this node may take


def main(command: str) -> int:
    try:
        answer = _answer(command.split(), Host(paths=Paths(), apparmor=apparmor_enabled()))
    except lock.Busy as error:
        answer = {"error": str(error), "busy": True, "begun": False}
    except AtWork as error:
        answer = {"error": str(error), "busy": True}
    except (MoveError, OSError, EngineError, ValueError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))
    return 0


def _answer(words: list[str], host: Host) -> arrival.Answer:
    if len(words) != 3 or words[0] != "carve" or words[1] not in arrival.VERBS:
        raise MoveError("this key is for moving containers, and for nothing else")
    verb, name = words[1], units.parse_label(words[2])
    content = json.loads(sys.stdin.read() or "{}")
    host.paths.make()
    with lock.held(host.paths, True, {"doing": f"{verb} {name} of a move"}, _PATIENCE):
        if not _is_heard():
            raise MoveError("whoever has asked for this has gone")
        return arrival.VERBS[verb](host, name, content)


def _is_heard() -> bool:
    """Whether somebody still waits for the answer. Who has waited too long may have decided otherwise meanwhile."""
    line = select.poll()
    line.register(sys.stdout.fileno(), 0)
    return not line.poll(0)
