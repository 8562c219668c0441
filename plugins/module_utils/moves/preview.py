# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would become of a move: both sides are asked what the move itself asks them first, and nothing is done.

There is no line between the two nodes then; what they say goes by the controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..checkpoint import suspend
from ..engines import lxc
from ..host import Box, Host
from . import preflight
from .departure import MOVED, STAYED, look_up
from .remote import MoveError

_NOT_ASKED: Mapping[str, list[str]] = {"reasons": [], "live": []}
_SILENT: Mapping[str, list[str]] = {"reasons": ["its destination did not answer"], "live": []}


def questions(host: Host, names: Sequence[str], wanted: str) -> dict[str, Any]:
    """At the source: what the destination is to be asked about each container that may leave."""
    found: dict[str, Any] = {}
    for name in names:
        record, aside = look_up(host, name)
        # One that is set aside is asked about by the move itself: whether it is there is all that matters.
        if record is not None and not aside:
            try:
                asked = preflight.question(host, _box(host, name, record), wanted)
            except MoveError:
                continue  # ``outcome`` says so
            found[name] = {**preflight.about(host, record), **asked}
    return found


def outcome(host: Host, name: str, wanted: str, answers: Mapping[str, Any] | None) -> dict[str, Any]:
    """At the source: what would become of a container, in the form of the move's own result.

    ``answers`` is what the destination has said, by container; nothing where it was not to be asked.
    """
    record, aside = look_up(host, name)
    if record is None or aside:
        live = suspend.is_suspended(f"{host.paths.departing}/{name}")
        return _result(MOVED, preflight.Choice(preflight.LIVE if live else preflight.RESTART))
    box = _box(host, name, record)
    try:
        preflight.question(host, box, wanted)
        answer = _NOT_ASKED if answers is None else answers.get(name, _SILENT)
        if answer["reasons"]:
            raise MoveError("; ".join([*preflight.own_reasons(host, box, wanted), *answer["reasons"]]))
        return _result(MOVED, preflight.choose(host, box, wanted, answer["live"]))
    except MoveError as error:
        return _result(STAYED, preflight.Choice(), str(error))


def _box(host: Host, name: str, record: Any) -> Box:
    return Box(record, host.paths.container(name), lxc.init_pid(host, name))


def _result(result: str, choice: preflight.Choice, error: str | None = None) -> dict[str, Any]:
    why_not = "; ".join(choice.why_not) or None
    return {"result": result, "error": error, "method": choice.method, "not_live": why_not}
