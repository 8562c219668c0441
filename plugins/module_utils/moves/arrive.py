# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that the other side of a move may run here, and nothing else: ``arrive SESSION``, by a forced command.

What it is asked for is in ``SSH_ORIGINAL_COMMAND`` (sshd(8)): rsync, which is let write below ``incoming/`` only, or
``carve VERB NAME`` with JSON on stdin and JSON on stdout. rsync's own rrsync(1) cannot be used: it takes no devices,
and an overlay's whiteouts are some.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys

from .. import lock, units
from ..checkpoint.suspend import AtWork
from ..engines.lxc import EngineError
from ..host import Host, apparmor_enabled
from ..paths import Paths
from . import arrival
from .remote import MoveError

_RSYNC = "/usr/bin/rsync"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# What rsync itself makes of the options in remote.py, and the places that arrival.py makes.
_SENDING = re.compile(
    r"rsync --server -[A-Za-z.]+( --delete| --force)? --stats -@-1 --numeric-ids \. "
    rf"(containers/{_LABEL}/((disk/)?(upper|copy)|memory(\.ahead)?)|templates/{_LABEL}/[0-9a-f]+-[0-9a-f]+)/"
)
_PATIENCE = 120.0  # seconds that another run on this node may take


def main(_arguments: list[str]) -> int:
    command = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    paths = Paths()
    if _SENDING.fullmatch(command):
        os.chdir(paths.incoming)
        os.execv(_RSYNC, command.split(" "))
    try:
        answer = _answer(command.split(), Host(paths=paths, apparmor=apparmor_enabled()))
    except (lock.Busy, AtWork) as error:
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
