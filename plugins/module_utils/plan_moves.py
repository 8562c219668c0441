# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns containers on their way between nodes. Pure."""

from __future__ import annotations

from dataclasses import replace

from .desired import Desired
from .steps import Change, ContainerSeen, NodeSeen, Step

FINISH = "carve.vps.migrate finishes it"


def move(name: str, desired: Desired) -> Step:
    """A container that belongs on another node: reported here, and moved by a playbook that works on both."""
    step = Step("container", name, "move", "replace", "move", f"belongs on {desired.elsewhere[name]}")
    return step.hold(desired.hold.get(name, "carve.vps.migrate moves it"))


def how_it_moves(name: str, seen: ContainerSeen, node: NodeSeen) -> list[str]:
    """By which method a container that runs would be moved, and what is known of how long it will stand still.

    No part of the step: what a plan would do is the same however long it takes.
    """
    if not seen.running:
        return []
    if not seen.live:
        return [f"{name} moves by a restart: it is not declared live_migration: true"]
    if seen.unfit:
        return [f"{name} moves by a restart: {'; '.join(seen.unfit)}"]
    if node.last_live is None:
        return [f"{name} moves live; how long it will stand still is not known, none has been moved live from here yet"]
    memory, still = node.last_live
    size = f"{memory / (1 << 20):.0f}M"
    return [f"{name} moves live; the last one from here, with {size} of memory, stood still for {still:.1f} s"]


def doubtful(step: Step, desired: Desired) -> Step:
    """Holds what makes or destroys a container of which the fleet does not know where it is, or has two."""
    why = desired.hold.get(step.name)
    if why is None or step.action not in ("create", "start", "destroy"):
        return step
    # Before any other reason: where this one goes unsaid, an operator would allow what must not be done.
    return replace(step, held=why, refused=False)


def aside_steps(desired: Desired, node: NodeSeen) -> list[Step]:
    """What becomes of containers that a move has set aside here, and that was broken off then.

    One that another node has by now is no longer needed here. One that is declared here and that no other node has is
    taken back. Of any other it is not for a single node to decide.
    """
    steps = []
    for name, seen in sorted(node.aside.items()):
        if seen.fleet != desired.fleet or not desired.concerns(name) or name in node.containers:
            continue
        wanted = desired.containers.get(name)
        if name in desired.elsewhere:
            change = Change("state", "set aside", None)
            reason = f"has moved to {desired.elsewhere[name]}"
            step = Step("container", name, "discard", "destroy", "live", reason, changes=(change,))
            steps.append(step.hold(desired.hold.get(name)))
        elif wanted is not None and wanted["state"] != "absent":
            change = Change("state", "set aside", wanted["state"])
            reason = "its move to another node was broken off"
            step = Step("container", name, "return", "create", "live", reason, changes=(change,))
            steps.append(step.hold(desired.hold.get(name)))
        else:
            step = Step("container", name, "move", "replace", "move", "is set aside by a move that was broken off")
            steps.append(step.hold(FINISH))
    return steps
