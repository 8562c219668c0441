# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns what a node is able to: what is declared of a container and cannot be had.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import model, plan_disk
from .steps import ContainerSeen, NodeSeen
from .units import cpu_numbers


def errors(name: str, wanted: Mapping[str, Any], seen: ContainerSeen | None, node: NodeSeen) -> list[str]:
    """Everything of a container that the node cannot hold it to; ``seen`` is nothing where it is yet to come."""
    found = [f"{name}: {path}: {why}" for path in wanted if (why := _why_not(path, wanted, node))]
    if wanted.get("cpu_set"):
        missing = sorted(cpu_numbers(wanted["cpu_set"]) - node.online)
        if missing:
            found.append(
                f"{name}: cpu_set {wanted['cpu_set']} names processors that this node has not "
                f"({', '.join(map(str, missing))}); it has {node.cpus}"
            )
    if wanted.get("swap") is not None and wanted.get("ram") is None and not node.swap_alone:
        found.append(f"{name}: swap needs ram: beside it on a node with version 1 of control groups; write both")
    if wanted.get("swap") is not None and not node.swap_limit:
        found.append(f"{name}: swap cannot be limited by this kernel; boot it with swapaccount=1, or delete swap:")
    return found + plan_disk.errors(name, wanted, seen, node)


def _why_not(path: str, wanted: Mapping[str, Any], node: NodeSeen) -> str | None:
    return None if wanted[path] is None else node.cannot.get(model.row_name(path))
