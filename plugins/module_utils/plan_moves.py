# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns containers on their way between nodes. Pure."""

from __future__ import annotations

from .desired import Desired
from .steps import Change, NodeSeen, Step

FINISH = "carve.vps.migrate finishes it"


def move(name: str, node: str) -> Step:
    """A container that belongs on another node: reported here, and moved by a playbook that works on both."""
    step = Step("container", name, "move", "replace", "move", f"is declared on {node}")
    return step.hold("carve.vps.migrate moves it")


def doubtful(step: Step, desired: Desired) -> Step:
    """Holds what makes or destroys a container of which the fleet does not know where it is, or has two."""
    return step.hold(desired.hold.get(step.name)) if step.action in ("create", "start", "destroy") else step


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
            steps.append(Step("container", name, "discard", "destroy", "live", reason, changes=(change,)))
        elif wanted is not None and wanted["state"] != "absent":
            change = Change("state", "set aside", wanted["state"])
            reason = "its move to another node was broken off"
            step = Step("container", name, "return", "create", "live", reason, changes=(change,))
            steps.append(step.hold(desired.hold.get(name)))
        else:
            step = Step("container", name, "move", "replace", "move", "is set aside by a move that was broken off")
            steps.append(step.hold(FINISH))
    return steps
