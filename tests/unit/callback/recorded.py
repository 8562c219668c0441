# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as nodes return them, for what shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Change = tuple[str, str | None, str | None]

NEW: tuple[Change, ...] = (
    ("template", None, "debian-13"),
    ("protect", None, "false"),
    ("cpus", None, "1"),
    ("ram", None, "512M"),
    ("network.eth0.mode", None, "routed"),
    ("network.eth0.ip", None, "203.0.113.10/32"),
    ("hostname", None, "web-1"),
)


def step(
    name: str,
    action: str,
    reach: str,
    reason: str,
    *changes: Change,
    kind: str = "container",
    held: str | None = None,
    status: str | None = None,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "action": action,
        "facet": None,
        "reach": reach,
        "reason": reason,
        "changes": [{"field": field, "before": before, "after": after} for field, before, after in changes],
        "held": held,
        "status": status or ("held" if held else "planned"),
    }


def result(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "changed": any(one["status"] in ("planned", "done") for one in steps),
        "steps": list(steps),
        "fingerprint": "f00d",
        "unmanaged": [],
        "notes": [],
        "errors": [],
        "containers": {},
        "timings": {"observe": 0.031, "plan": 0.002},
        **more,
    }


def busy() -> list[dict[str, Any]]:
    """A step of every sort, in the order in which they are carried out."""
    return [
        step("runtime", "change", "live", "programs that start containers", ("runtime", None, "1a2b"), kind="node"),
        step("br-lan", "create", "create", "declared", ("addresses", None, "10.20.0.1/24"), ("mtu", None, "1500"),
             kind="network"),
        step("debian-13", "build", "create", "needed by a new root filesystem", ("version", None, "3f2a"),
             kind="template"),
        step("gone", "destroy", "destroy", "no longer declared", ("state", "running", None),
             held="needs allow: destroy"),
        step("db", "change", "live", "declared", ("ram", "2G", "3G"), ("swap", None, "1G")),
        step("db", "change", "live", "changed on the node", ("cpus", "1", "2")),
        step("mail", "change", "live", "declared", ("ram", "2G", "1G")),
        step("mail", "restart", "restart", "declared", ("network.eth0.mac", "02:00:00:00:00:01", "02:00:00:00:00:02"),
             held="needs allow: restart"),
        step("old", "rebuild", "rebuild", "template has changed", ("template", "web@1a2b", "web@3c4d"),
             held="needs allow: rebuild"),
        step("edited", "change", "live", "changed on the node",
             ("config", "lxc.cgroup2.memory.max = 1\nlxc.log.level = 9", "lxc.cgroup2.memory.max = 536870912")),
        step("web-1", "create", "create", "declared", *NEW),
        step("web-10", "create", "create", "declared", *NEW),
        step("web-2", "create", "create", "declared", *NEW),
        step("web-1", "start", "live", "declared running", ("state", None, "running")),
        step("halted", "start", "live", "stopped on the node", ("state", "stopped", "running")),
    ]  # fmt: skip


def carried_out(steps: Iterable[dict[str, Any]], **statuses: str) -> list[dict[str, Any]]:
    """The steps after a run in which all went well, but for those of the containers that are named."""
    return [
        one if one["held"] else {**one, "status": statuses.get(one["name"].replace("-", "_"), "done")} for one in steps
    ]
