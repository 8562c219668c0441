# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a container can leave its node, and how, as far as the source knows. A look: it changes nothing, so that a
preview asks the same as the move itself, which asks before anything is stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import builder
from ..checkpoint import look, suspend
from ..facets import checkpoint
from ..host import Box, Host
from ..record import Record
from . import room
from .remote import MoveError

AUTO, LIVE, RESTART = "auto", "live", "restart"


@dataclass(frozen=True)
class Choice:
    """How a container goes; and why not live, where it might have been."""

    method: str = RESTART
    why_not: tuple[str, ...] = ()


def about(host: Host, record: Record) -> dict[str, Any]:
    """What the destination is told of a container, whatever it is asked."""
    build = builder.build_of(host.paths, record.fields["template"], record.template_version)
    return {"record": asdict(record), "build": build}


def question(host: Host, box: Box, wanted: str) -> dict[str, Any]:
    """What it is told besides when it is asked whether the container can come (``arrival.judge``).

    Raises ``MoveError`` where the answer does not matter.
    """
    if os.path.exists(f"{host.paths.kept}/{box.name}"):
        raise MoveError("its rebuild has not passed its gate yet; run carve.vps.apply first")
    with_memory = suspend.is_suspended(box.directory) or _may_go_live(box, wanted)
    return {
        "live": look.traits(host) if with_memory else None,
        "only_live": wanted == LIVE,
        "taken": room.taken(host, box),
    }


def own_reasons(host: Host, box: Box, wanted: str) -> list[str]:
    """What forbids a live move here, for one that cannot go otherwise."""
    return look.unfit(host, box) if wanted == LIVE else []


def choose(host: Host, box: Box, wanted: str, lacks: Sequence[str]) -> Choice:
    """How it goes, with what keeps the destination from making it anew of its memory.

    Raises ``MoveError`` where it has to go with its memory and cannot.
    """
    if suspend.is_suspended(box.directory):
        if lacks:
            raise MoveError(f"it is suspended, and cannot be resumed there: {'; '.join(lacks)}")
        return Choice()
    if not _may_go_live(box, wanted):
        undeclared = box.pid and wanted == AUTO
        return Choice(why_not=("it is not declared live_migration: true",) if undeclared else ())
    why_not = (
        *look.unfit(host, box),
        *room.lacks_disk(host, room.taken(host, box)["memory"]),
        *(f"at its destination: {reason}" for reason in lacks),
    )
    if why_not and wanted == LIVE:
        raise MoveError(f"it cannot be moved live: {'; '.join(why_not)}")
    return Choice(RESTART if why_not else LIVE, why_not)


def elsewhere(node: str | None) -> str:
    """What is said of a container that may run on another node than it is to be moved to."""
    return f"it may run on {node}; move it there again, or let {node} answer an apply"


def _may_go_live(box: Box, wanted: str) -> bool:
    return bool(box.pid) and (wanted == LIVE or (wanted == AUTO and checkpoint.is_declared(box)))
