# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No address on two containers of a node, at no moment and of whatever fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .desired import Desired
from .steps import NodeSeen, Step
from .units import bare


def conflicts(desired: Desired, node: NodeSeen, steps: Iterable[Step]) -> list[str]:
    """Addresses that are declared for one container and will still be another's once the plan is carried out."""
    holders = _holders(node, [step for step in steps if step.kind == "container" and not step.held])
    errors: list[str] = []
    declared: dict[str, str] = {}
    for name, wanted in desired.containers.items():
        if wanted["state"] == "absent":
            continue
        if not desired.concerns(name):
            continue
        for path, value in wanted.items():
            for address in value if path.endswith(".ip") else ():
                first = declared.setdefault(bare(address), name)
                if first != name:
                    errors.append(f"{name}: {bare(address)} is declared for {first}, too; declare another one")
                others = holders.get(bare(address), set()) - {name, first}
                errors += [
                    f"{name}: {bare(address)} is still {_whose(other, desired, node)}" for other in sorted(others)
                ]
    return errors


def _holders(node: NodeSeen, doable: list[Step]) -> dict[str, set[str]]:
    """Who has which address after the doable steps, by what is recorded now."""
    gone = {step.name for step in doable if step.action == "destroy"}
    holders: dict[str, set[str]] = {}
    for name, seen in node.containers.items():
        if name in gone:
            continue
        fields = dict(seen.recorded)
        for step in doable:
            if step.name == name:
                fields.update({change.field: change.after for change in step.changes})
        for path, value in fields.items():
            for address in (value or ()) if path.endswith(".ip") else ():
                holders.setdefault(bare(address), set()).add(name)
    return holders


def _whose(other: str, desired: Desired, node: NodeSeen) -> str:
    fleet = node.containers[other].fleet
    if fleet != desired.fleet:
        return f"an address of {other}, a container of fleet {fleet!r} on this node; declare another one"
    if other in desired.elsewhere:
        return f"an address of {other}, which belongs on {desired.elsewhere[other]}; carve.vps.migrate moves it"
    if other not in desired.containers:
        return f"an address of {other}, which is no longer declared; allow: destroy, or destroy it first"
    return f"an address of {other}, whose change is held back; allow what that needs, or change it first"
