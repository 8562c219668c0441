# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power: containers that are started, stopped, suspended to disk, resumed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .steps import Change, ContainerSeen, Step

_PHASES = {"start": "start", "resume": "start", "stop": "stop", "suspend": "stop"}
# What is written to its files or its configuration while it sleeps, its memory does not know of.
_ASLEEP = "it is suspended; declare state: running first"


def step(action: str, name: str, change: Change, reason: str, target: Mapping[str, Any]) -> Step:
    """One step of power; in the order of starting, or in the reverse of it."""
    phase, order = _PHASES[action], target.get("start_order", 0)
    return Step(
        "container", name, action, phase, "live", reason, "power", (change,), target=target,
        order=order if phase == "start" else -order,
    )  # fmt: skip


def steps(name: str, target: Mapping[str, Any], seen: ContainerSeen, made: Mapping[str, Any]) -> list[Step]:
    """What brings a container that exists to its ``state``. One without memory cannot be suspended, and stays off."""
    wanted, was = target["state"], seen.power
    change = Change("state", was, wanted)
    if wanted == "stopped" and was != "stopped":
        return [step("stop", name, change, "declared stopped", made)]
    if wanted == "running" and was != "running":
        reason = f"{was} on the node" if seen.recorded.get("state") == "running" else "declared running"
        return [step("resume" if seen.suspended else "start", name, change, reason, made)]
    if wanted == "suspended" and was == "running":
        suspending = step("suspend", name, change, "declared suspended", made)
        if seen.unfit:
            return [suspending.hold(f"refused: it cannot be suspended: {'; '.join(seen.unfit)}", refused=True)]
        return [suspending]
    if seen.recorded.get("state") != wanted:
        change = Change("state", seen.recorded.get("state"), wanted)
        return [Step("container", name, "change", "change", "live", "declared", "power", (change,), target=made)]
    return []


def asleep(target: Mapping[str, Any], seen: ContainerSeen) -> str | None:
    """Why nothing else is done to a container that is suspended now, or will be."""
    falls_asleep = seen.running and target["state"] == "suspended" and not seen.unfit
    return _ASLEEP if falls_asleep or (seen.suspended and target["state"] != "stopped") else None
