# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns templates. Pure."""

from __future__ import annotations

from collections.abc import Callable

from .definitions import Template
from .desired import Desired
from .steps import PHASES, Change, NodeSeen, Plan, Step


def builds_for(desired: Desired, node: NodeSeen, steps: list[Step]) -> list[Step]:
    """Builds of the versions that containers about to be made need and the node has not."""
    wanted = [
        step.target["template"]
        for step in steps
        if step.kind == "container" and step.action in ("create", "rebuild") and not step.held
    ]
    return builds(desired, node, wanted, "needed by a new root filesystem")


def builds(desired: Desired, node: NodeSeen, names: list[str], reason: str) -> list[Step]:
    """Builds of the named templates' current versions that the node has not, what they start from first."""
    needed: list[Template] = []
    for name in names:
        _need(desired.templates[name], desired, node, needed)
    return [
        Step("template", template.name, "build", "template", "create", reason,
             changes=(Change("version", None, template.digest),),
             target={"digest": template.digest, "definition": dict(template.definition)}, order=rank)
        for rank, template in enumerate(needed)
    ]  # fmt: skip


def _need(template: Template, desired: Desired, node: NodeSeen, needed: list[Template]) -> None:
    if template in needed or template.digest in node.templates.get(template.name, ()):
        return
    if template.parent:
        _need(desired.templates[template.parent], desired, node, needed)
    needed.append(template)


def planner(collect: bool) -> Callable[[Desired, NodeSeen], Plan]:
    """``make`` with its choice made."""
    return lambda desired, node: make(desired, node, collect)


def make(desired: Desired, node: NodeSeen, collect: bool) -> Plan:
    """Every declared template in its current version; with ``collect``, no version that nothing is made from."""
    errors = tuple(f"{lack}; run carve.vps.bootstrap on this node" for lack in node.lacks)
    steps = builds(desired, node, list(desired.templates), "declared")
    notes: tuple[str, ...] = ()
    unknown = sorted(name for name, seen in node.containers.items() if seen.fleet is None)
    if collect and unknown:
        what = ", ".join(unknown)
        notes = (f"no template is collected: {what} cannot be read, and may be made from any of them",)
    elif collect:
        steps += collections(desired, node)
    steps.sort(key=lambda step: (PHASES.index(step.phase), step.order, step.name))
    return Plan(tuple(steps), notes, errors)


def collections(desired: Desired, node: NodeSeen) -> list[Step]:
    """Removal of the versions that no container of any fleet is made from and no declaration asks for."""
    found = (*node.containers.values(), *node.aside.values())
    used = {(seen.recorded.get("template"), seen.template_version or seen.digest) for seen in found}
    # A container that is rolled back is made from what it was made from before.
    used |= {seen.kept for seen in node.containers.values() if seen.kept}
    # So is one that goes back to a snapshot.
    used |= {version for versions in node.snapshots.values() for version in versions}
    used |= {(template.name, template.digest) for template in desired.templates.values()}
    return [
        Step("template", name, "collect", "release", "live", "no container or snapshot is made from it",
             changes=(Change("version", digest, None),), target={"digest": digest, "definition": {}})
        for name, digests in sorted(node.templates.items())
        for digest in sorted(digests)
        if (name, digest) not in used
    ]  # fmt: skip
