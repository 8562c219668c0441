# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that the other side of a move may run here, and nothing else: ``arrive SESSION``, by a forced command.

What it is asked for is in ``SSH_ORIGINAL_COMMAND`` (sshd(8)): rsync, which is let write below ``incoming/`` only, or
``carve VERB NAME``, which ``answer.py`` does. rsync's own rrsync(1) cannot be used: it takes no devices, and an
overlay's whiteouts are some.

A container stands still while its last files and its memory are sent, so this loads next to nothing before rsync.
"""

from __future__ import annotations

import os
import re

from ..paths import Paths

_RSYNC = "/usr/bin/rsync"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# What rsync itself makes of the options in remote.py, and the places that arrival.py makes.
_SENDING = re.compile(
    r"rsync --server -[A-Za-z.]+( --compress-level=1| --compress-choice=zstd| --delete| --force)*"
    r" --stats -@-1 --numeric-ids \. "
    rf"(containers/{_LABEL}/((disk/)?(upper|copy)|memory(\.ahead)?)|templates/{_LABEL}/[0-9a-f]+-[0-9a-f]+)/"
)


def main(_arguments: list[str]) -> int:
    command = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if _SENDING.fullmatch(command):
        os.chdir(Paths().incoming)
        os.execv(_RSYNC, command.split(" "))
    from . import answer

    return answer.main(command)
