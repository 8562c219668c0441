# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small fleets and nodes for the planner's tests. Nodes are dictionaries: see ``engines/memory.py``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import desired, model, plan
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.steps import ContainerSeen, NodeSeen, Plan

TEMPLATES: dict[str, Any] = {
    "debian": {"build": {"suite": "trixie"}},
    "web": {"from": "debian", "packages": ["nginx-light"]},
}
NETWORKS: dict[str, Any] = {
    "lan": {"mode": "bridged", "bridge": "br-lan", "subnet": "10.20.0.0/24", "gateway": "10.20.0.1"},
    "back": {"mode": "bridged", "bridge": "br-back", "subnet": "10.30.0.0/24", "mtu": 1400},
    "public": {"mode": "routed", "subnet": ["203.0.113.0/24", "2001:db8::/64"]},
}
EMPTY = NodeSeen(
    runtime="r1", own_runtime="r1", cpus=2, online=frozenset({0, 1}), own_ids=((1 << 20, 2146435072),), swap_limit=True
)


def fleet(containers: dict[str, Any], allow: Iterable[str] = model.ALLOWABLE, **options: Any) -> Desired:
    """A fleet's containers, from ``debian`` unless they say otherwise."""
    params = {"fleet": "acme", "templates": TEMPLATES, "networks": NETWORKS, "allow": list(allow), **options}
    bodies = {name: {"template": "debian", **body} for name, body in containers.items()}
    made, problems = desired.build({**params, "containers": bodies})
    assert not problems, problems
    return made


def node(wanted: Desired, start: NodeSeen = EMPTY) -> NodeSeen:
    """The node on which a fleet has been applied."""
    made = plan.make(wanted, start)
    assert not made.errors
    return memory.carry_out(made, start, wanted.fleet)


def one(body: dict[str, Any], **options: Any) -> Desired:
    """A fleet of one container, ``web``."""
    return fleet({"web": body}, **options)


def with_container(world: NodeSeen, name: str, **facts: Any) -> NodeSeen:
    """The node with other facts about one of its containers."""
    seen = world.containers.get(name, ContainerSeen(fleet=None))
    return replace(world, containers={**world.containers, name: replace(seen, **facts)})


def drifted(world: NodeSeen, name: str, **values: Any) -> NodeSeen:
    """The node with other values in a container's kernel and files; ``network__eth0__ip`` is ``network.eth0.ip``."""
    changed = {path.replace("__", "."): value for path, value in values.items()}
    return with_container(world, name, seen={**world.containers[name].seen, **changed})


def lines(made: Plan) -> list[str]:
    """A plan as text, a line for each step: ``web change memory: ram 1G -> 2G (declared)``."""
    return [_line(step.public()) for step in made.steps]


def _line(step: dict[str, Any]) -> str:
    what = " ".join(filter(None, [step["name"], step["action"], step["facet"]]))
    changes = ", ".join(f"{c['field']} {c['before'] or '-'} -> {c['after'] or '-'}" for c in step["changes"])
    held = f" [{step['held']}]" if step["held"] else ""
    return f"{what}: {changes} ({step['reason']}){held}"
