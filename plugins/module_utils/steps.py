# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vocabulary of a change plan: changes, steps, and what was observed of a node. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import model

# The order in which steps are carried out. Steps of one phase run side by side, a container's own one after another;
# a phase begins when the one before has ended. Shares are given back (stop, destroy, shrink) before any are taken.
PHASES = ("node", "network", "template", "stop", "destroy", "shrink", "change", "replace", "create", "start", "release")

# What became of a step.
PLANNED, DONE, FAILED, HELD, NOT_TRIED = "planned", "done", "failed", "held", "not tried"
ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Change:
    """One difference: a flat option path and its canonical values; ``None`` is absent, undeclared or unlimited."""

    field: str
    before: Any
    after: Any

    def public(self) -> dict[str, Any]:
        return {"field": self.field, "before": _text(self.field, self.before), "after": _text(self.field, self.after)}


def _text(path: str, value: Any) -> str | None:
    try:
        return model.show(path, value)
    except KeyError:
        return None if value is None else ", ".join(value) if isinstance(value, (list, tuple)) else str(value)


@dataclass(frozen=True)
class Step:
    """One thing to do to one object of a node."""

    kind: str
    name: str
    action: str
    phase: str
    reach: str
    reason: str
    facet: str | None = None
    changes: tuple[Change, ...] = ()
    # Why the step is not carried out; ``refused`` when no leave of the operator's could change that.
    held: str | None = None
    refused: bool = False
    # The object's whole state once the plan is carried out, and what else the hands need.
    target: Mapping[str, Any] = field(default_factory=dict)
    # Steps of one phase with a lower order run earlier.
    order: int = 0

    def public(self) -> dict[str, Any]:
        """The step as it is reported, but for its status."""
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "facet": self.facet,
            "reach": self.reach,
            "reason": self.reason,
            "changes": [change.public() for change in self.changes],
            "held": self.held,
        }

    def hold(self, why: str | None, refused: bool = False) -> Step:
        return self if why is None or self.held else replace(self, held=why, refused=refused)


@dataclass(frozen=True)
class Plan:
    """What a run would do, in order."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    # What makes the whole plan impossible: with any of these nothing is carried out.
    errors: tuple[str, ...] = ()
    unmanaged: tuple[str, ...] = ()

    @property
    def doable(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.held)

    @property
    def refusals(self) -> list[str]:
        return [f"{step.name}: {step.held}" for step in self.steps if step.refused]

    def fingerprint(self) -> str:
        """Digest of what would be done and to what; two plans with the same one do the same."""
        return _digest(self.steps)

    def fingerprints(self) -> dict[str, str]:
        """The same of each container by itself, which does not change while others are worked on."""
        names = sorted({step.name for step in self.steps if step.kind == "container"})
        return {
            name: _digest(step for step in self.steps if step.kind == "container" and step.name == name)
            for name in names
        }


def _digest(steps: Iterable[Step]) -> str:
    content = [[step.public(), dict(step.target)] for step in steps]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def untouched(plan: Plan) -> list[str]:
    """The status of each step before anything was done."""
    return [HELD if step.held else PLANNED for step in plan.steps]


@dataclass(frozen=True)
class DiskSeen:
    """What holds a container's files, and what they take."""

    # The kind of its own filesystem, if it has one.
    filesystem: str | None = None
    # Bytes and inodes, where that is counted: nobody reads through all of a container's files for it.
    space: int | None = None
    inodes: int | None = None


@dataclass(frozen=True)
class Aside:
    """Of a container that a move has set aside: whether it ran, and the node that may have it running by now."""

    was_running: bool = False
    handed_to: str | None = None


@dataclass(frozen=True)
class ContainerSeen:
    """A container as found on the node."""

    # The fleet whose mark it bears; ``None`` when it has no readable record and so is nobody's.
    fleet: str | None
    # What was declared when it was last changed, flat and canonical: the record on the node.
    recorded: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None
    # The directory of that template version, which is another one for a container that came from another node.
    template_version: str | None = None
    running: bool = False
    # Whether its memory is on disk; and why it cannot be put there, where that was asked.
    suspended: bool = False
    # Whether it was built to be moved live.
    live: bool = False
    unfit: tuple[str, ...] = ()
    # Values found in the kernel and in the root filesystem, and the rows that were looked at.
    seen: Mapping[str, Any] = field(default_factory=dict)
    looked: frozenset[str] = frozenset()
    # Bytes that memory reclaim could not free.
    ram_in_use: int = 0
    disk: DiskSeen = field(default_factory=DiskSeen)
    # Lines of the LXC configuration that are not as Carve wrote them: what is there, what should be.
    config: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    # The template and version of its root filesystem before a rebuild that has not passed its gate.
    kept: tuple[str, str] | None = None
    aside: Aside | None = None

    @property
    def power(self) -> str:
        return "running" if self.running else "suspended" if self.suspended else "stopped"


@dataclass(frozen=True)
class BridgeSeen:
    """A bridge as found on the node; ``fleet`` is ``None`` when Carve did not make it."""

    fleet: str | None
    addresses: tuple[str, ...] = ()
    mtu: int = 1500
    uplink: str | None = None
    # What the boot program would make of it after the node's next start.
    recorded: Mapping[str, Any] | None = None
    exists: bool = True


@dataclass(frozen=True)
class NodeSeen:
    """Everything that a plan is made from, beside what is desired."""

    containers: Mapping[str, ContainerSeen] = field(default_factory=dict)
    # Containers that a move has set aside and not come back for.
    aside: Mapping[str, ContainerSeen] = field(default_factory=dict)
    templates: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Of the snapshots of every container, be it here or not, the template and version that each lies on.
    snapshots: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    # Of the last live move from here, the bytes of memory and for how many seconds the container stood still.
    last_live: tuple[int, float] | None = None
    bridges: Mapping[str, BridgeSeen] = field(default_factory=dict)
    # Digest of the programs that start containers on the node, as installed and as this version of Carve has them.
    runtime: str | None = None
    own_runtime: str | None = None
    cpus: int = 1
    online: frozenset[int] = frozenset()
    swap_limit: bool = True
    # Version 1 of control groups limits swap only together with memory.
    swap_alone: bool = True
    # Options that have no effect on this node, and why not, with the remedy.
    cannot: Mapping[str, str] = field(default_factory=dict)
    # The kinds of quota that are in force on the containers' filesystem; the filesystems of their own that containers
    # can get where there is none of projects, and whether ext4 can grow while it is in use.
    quota: frozenset[str] = frozenset()
    makers: frozenset[str] = frozenset()
    ext4_grows: bool = True
    # Host id ranges ``(first, count)`` that others own, and those that LXC may map.
    foreign_ids: tuple[tuple[int, int], ...] = ()
    own_ids: tuple[tuple[int, int], ...] = ()
    # How the tables that keep containers to their addresses differ from those that Carve makes.
    meddled: tuple[str, ...] = ()
    # Bytes of memory that the group of all containers is guaranteed, and the sum of theirs, where these differ.
    unshared: tuple[int, int] | None = None
    # What a bootstrapped node has and this one lacks, in words.
    lacks: tuple[str, ...] = ()
    # What declared containers need and the node has not, in words, by container.
    lacks_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
