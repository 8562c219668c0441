# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the change plan that concerns the node's bridges and its rules for all networks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .desired import Desired, prefix
from .steps import BridgeSeen, Change, NodeSeen, Step


def wanted_bridge(name: str, network: Mapping[str, Any]) -> dict[str, Any]:
    """What a network's bridge should be on every node that uses it. With an uplink the gateway is somebody else's."""
    held = [] if network.get("uplink") else network.get("gateway", [])
    return {
        "network": name,
        "bridge": network["bridge"],
        "addresses": sorted(f"{address}/{prefix(address, network['subnet'])}" for address in held),
        "mtu": network.get("mtu", 1500),
        "uplink": network.get("uplink"),
    }


def rules_steps(node: NodeSeen) -> list[Step]:
    """One step for all rules that somebody has meddled with, whatever containers they are about."""
    if not node.meddled:
        return []
    change = Change("rules", "; ".join(node.meddled), "whole")
    return [Step("node", "rules", "change", "node", "live", "changed on the node", "network", (change,))]


def network_steps(desired: Desired, node: NodeSeen, steps: list[Step], notes: list[str]) -> list[Step]:
    """Steps for the bridges that this node's containers use, and for those whose network is no longer declared."""
    bridges = {n["bridge"]: name for name, n in desired.networks.items() if n.get("mode") == "bridged"}
    declared = _declared(desired, list(desired.containers))
    # A run that is limited to some containers makes no bridge for those of which it makes nothing.
    used = _declared(
        desired, [name for name in desired.containers if desired.concerns(name) or name in node.containers]
    )
    kept = _still_used(node, steps)
    result: list[Step] = []
    for bridge in sorted(used):
        seen = node.bridges.get(bridge)
        wanted = wanted_bridge(bridges[bridge], desired.networks[bridges[bridge]])
        if seen is None or (not seen.exists and seen.fleet == desired.fleet):
            reason = "declared" if seen is None else "gone from the node"
            result.append(_step(wanted, "create", "create", reason, _compare(wanted, None)))
        elif seen.fleet != desired.fleet:
            notes.append(f"bridge {bridge} exists and is not of fleet {desired.fleet!r}; it is used as it is")
        else:
            changes = _compare(wanted, seen)
            if changes:
                reason = "changed on the node" if seen.recorded == wanted else "declared"
                result.append(_step(wanted, "change", "live", reason, changes))
    if not desired.prune:
        return result
    for bridge, seen in sorted(node.bridges.items()):
        # That of a declared network stays though nothing uses it now: containers come and go between nodes.
        if seen.fleet == desired.fleet and bridge not in declared | kept | set(bridges):
            target = {"bridge": bridge, "users": _users(bridge, node)}
            step = Step("network", bridge, "destroy", "release", "destroy", "no longer declared", target=target)
            allowed = "destroy" in desired.allow
            result.append(step.hold(None if allowed else "needs allow: destroy"))
    return result


def _declared(desired: Desired, names: list[str]) -> set[str]:
    """The bridges that containers are declared to be on."""
    return {
        value
        for name in names
        if desired.containers[name]["state"] != "absent"
        for path, value in desired.containers[name].items()
        if path.endswith(".bridge")
    }


def _still_used(node: NodeSeen, steps: list[Step]) -> set[str]:
    """Bridges of containers that will still be there, and still on them, after the run."""
    doable = [step for step in steps if step.kind == "container" and not step.held]
    gone = {step.name for step in doable if step.action == "destroy"}
    moved = {(step.name, change.field) for step in doable for change in step.changes}
    return {
        value
        for name, seen in node.containers.items()
        if name not in gone
        for path, value in seen.recorded.items()
        if path.endswith(".bridge") and (name, path) not in moved
    }


def _users(bridge: str, node: NodeSeen) -> list[str]:
    """The containers that are on a bridge until this run takes them off it."""
    return sorted(
        name
        for name, seen in node.containers.items()
        if any(path.endswith(".bridge") and value == bridge for path, value in seen.recorded.items())
    )


def _step(wanted: Mapping[str, Any], action: str, reach: str, reason: str, changes: tuple[Change, ...]) -> Step:
    return Step("network", wanted["bridge"], action, "network", reach, reason, "network", changes, target=wanted)


def _compare(wanted: Mapping[str, Any], seen: BridgeSeen | None) -> tuple[Change, ...]:
    found: dict[str, Any] = {}
    recorded: Mapping[str, Any] = {}
    if seen is not None:
        found = {"addresses": sorted(seen.addresses), "mtu": seen.mtu, "uplink": seen.uplink}
        recorded = seen.recorded or {}
    changes = []
    for option in ("addresses", "mtu", "uplink"):
        before, after = found.get(option), wanted[option]
        if before == after and seen is not None and recorded.get(option) != after:
            before = recorded.get(option)
        if before != after and not (before is None and not after):
            changes.append(Change(option, before or None, after or None))
    return tuple(changes)
