# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would become of a move: both sides are asked what the move itself asks them first, and nothing is done.

There is no line between the two nodes then; what they say goes by the controller. The source says what is to be asked
(``questions``), the destination answers (``answers``), the source draws the conclusion (``outcome``).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..checkpoint import suspend
from ..engines import lxc
from ..host import Box, Host
from ..record import Record
from . import arrival, preflight, session, setaside
from .departure import MOVED, STAYED, UNKNOWN, look_up
from .remote import MoveError

_NOT_ASKED: Mapping[str, Any] = {"reasons": [], "live": []}
_SILENT: Mapping[str, Any] = {"reasons": ["its destination did not answer"], "live": []}
_ASIDE = "it is set aside by a move that did not end, which goes on first"


def questions(host: Host, names: Sequence[str], wanted: str) -> dict[str, Any]:
    """At the source: what the destination is to be asked about each container that may leave."""
    found: dict[str, Any] = {}
    for name in names:
        record, aside = look_up(host, name)
        if record is not None:
            try:
                asked = preflight.question(host, _box(host, record, aside), wanted)
            except (MoveError, OSError):
                continue  # ``outcome`` says so
            handed = aside and setaside.note_of(host, name).asked
            found[name] = {**preflight.about(host, record), **asked, "handed": handed}
    return found


def answers(host: Host, asked: Mapping[str, Any], to_come: Collection[str]) -> dict[str, Any]:
    """At the destination: what forbids that each container comes, and that it is made anew of its memory.

    ``to_come``: the bridges that would be made for them.
    """
    found, promised = {}, 0
    for name, question in asked.items():
        found[name] = _answer(host, name, question, to_come, promised)
        promised += 0 if found[name]["live"] or found[name]["reasons"] else arrival.memory_of(question)
    return found


def _answer(
    host: Host, name: str, question: Mapping[str, Any], to_come: Collection[str], promised: int
) -> dict[str, Any]:
    lacking = session.lacking()
    if not os.path.isdir(host.paths.base):
        lacking.append(f"{host.paths.base} is not there; run carve.vps.bootstrap")
    if lacking:
        return {"reasons": lacking, "live": []}
    try:
        if question.get("handed") and arrival.arrived(host, name, question)["arrived"]:
            return {"reasons": [], "live": []}
        verdict = arrival.judge(host, name, question, to_come, promised)
    except (MoveError, lxc.EngineError, OSError, ValueError) as error:
        return {"reasons": [str(error)], "live": []}
    return {"reasons": verdict.reasons, "live": verdict.live}


def outcome(
    host: Host, name: str, wanted: str, destination: str | None, told: Mapping[str, Any] | None
) -> dict[str, Any]:
    """At the source: what would become of a container, in the form of the move's own result.

    ``told`` is what the destination has said, by container; nothing where it was not to be asked.
    """
    record, aside = look_up(host, name)
    if record is None:
        return _result(STAYED, preflight.Choice(), f"{name} is not on this node")
    try:
        handed_to = setaside.note_of(host, name).handed_to if aside else None
        if handed_to not in (None, destination):
            return _result(UNKNOWN, preflight.Choice(), preflight.elsewhere(handed_to))
        box = _box(host, record, aside)
        preflight.question(host, box, wanted)
        answer = _NOT_ASKED if told is None else told.get(name, _SILENT)
        if answer["reasons"]:
            mine = [] if aside else preflight.own_reasons(host, box, wanted)
            raise MoveError("; ".join([*mine, *answer["reasons"]]))
        if aside:
            live = suspend.is_suspended(box.directory) and wanted != preflight.RESTART
            return _result(MOVED, preflight.Choice(preflight.LIVE if live else preflight.RESTART, (_ASIDE,)))
        return _result(MOVED, preflight.choose(host, box, wanted, answer["live"]))
    except (MoveError, OSError) as error:
        return _result(STAYED, preflight.Choice(), str(error))


def _box(host: Host, record: Record, aside: bool) -> Box:
    if aside:
        return Box(record, f"{host.paths.departing}/{record.name}")
    return Box(record, host.paths.container(record.name), lxc.init_pid(host, record.name))


def _result(result: str, choice: preflight.Choice, error: str | None = None) -> dict[str, Any]:
    why_not = "; ".join(choice.why_not) or None
    return {"result": result, "error": error, "method": choice.method, "not_live": why_not}
