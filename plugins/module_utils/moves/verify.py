# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a container that has come by a move is as it was. Each raises ``MoveError`` where it is not."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from .. import facets, gate, model
from ..engines import lxc
from ..facets import network
from ..host import Box, Host
from ..kernel import probe
from ..units import bare
from .remote import MoveError

# What systemd may say of itself (systemctl(1), is-system-running), and how long it may take to.
_ANSWERS = ["initializing", "starting", "running", "degraded", "maintenance"]
_ANSWERING = 60
# How often it is asked for its addresses, a second for each interface: a new IPv6 address is looked for twice first.
_LOOKS = 5


def is_whole(host: Host, box: Box) -> None:
    """It runs and has what it had: its addresses, its limits."""
    for facet in facets.ALL:
        seen = facet.observe(host, [box]).get(box.name, {})
        for path in (*facet.live_rows, *(facet.file_rows if facet.name == "disk" else ())):
            for row, value in seen.items():
                declared = box.record.fields.get(row)
                if model.row_name(row) == path and declared is not None and not _holds(declared, value):
                    raise MoveError(f"{box.name} runs here, but its {row} is {value}, not {declared}")
    if box.pid is None or not lxc.is_alive(box.pid):
        raise MoveError(f"{box.name} ended at once")


def has_init(host: Host, box: Box) -> None:
    """The init of a container that was made anew answers; how its services are is not the move's doing."""
    said = gate.wait(host, [box], {"init": _ANSWERS, "timeout": _ANSWERING})
    if said:
        raise MoveError(f"{box.name} was made anew here, but {said[box.name]}")


def answers(box: Box, addresses: Collection[str]) -> None:
    """A container that was made anew answers for those addresses for which it has answered before."""
    silent = set(addresses)
    for _look in range(_LOOKS):
        silent -= answering(box) if silent else set()
    if silent:
        raise MoveError(f"{box.name} runs here, but does not answer for {', '.join(sorted(silent))}")


def _holds(declared: Any, found: Any) -> bool:
    return set(declared) <= set(found) if isinstance(declared, list) and isinstance(found, list) else declared == found


def answering(box: Box) -> set[str]:
    """Those of a running container's addresses for which it answers its node. Takes a second for each interface."""
    found: set[str] = set()
    for interface, options in network.interfaces(box.record.fields).items():
        heard: dict[str, set[str]] = {}
        with contextlib.suppress(OSError):  # an interface that is not there answers nothing
            heard = probe.holders(network.host_end(box, interface), set(map(bare, options.get("ip") or ())))
        found |= {address for address, macs in heard.items() if options["mac"] in macs}
    return found
