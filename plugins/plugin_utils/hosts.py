# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet as Ansible's inventory: nodes with their desired state, containers with the way to reach them, groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..module_utils import model
from . import batches, collector
from .expand import Container, texts
from .lines import Vaulted
from .manifest import Fleet

# The Python that a node's packages are for (pyroute2 is one of them), whatever else is on its path.
_NODE_PYTHON = "/usr/bin/python3"


class TwoFleets(Exception):
    """A host is in two manifests that are read together."""


def populate(inventory: Any, fleet: Fleet, hint: Mapping[str, str] | None = None) -> None:
    """Add a fleet's hosts and groups to an ``InventoryData``.

    ``hint`` is for ``carve.vps.settle``: the file of the whereabouts that the fleet was arranged by, and their digest.
    """
    with collector.paused():
        _populate(inventory, fleet, hint)


def _populate(inventory: Any, fleet: Fleet, hint: Mapping[str, str] | None) -> None:
    _refuse_second(inventory, fleet)
    for group in ("carve_nodes", "carve_containers"):
        inventory.add_group(group)
    inventory.set_variable("carve_nodes", "ansible_python_interpreter", _NODE_PYTHON)
    inventory.set_variable("carve_nodes", "ansible_pipelining", True)
    # One node knows all there is to know, unless it has given addresses that the inventory cannot foresee.
    look = len(fleet.nodes) > 1 or bool(fleet.addresses)
    inventory.set_variable("carve_nodes", "carve_look", look)
    if look:
        # Plays choose their hosts before there are any variables of hosts, but not before there are groups.
        inventory.add_group("carve_looked_at")
    if hint:
        inventory.set_variable("carve_nodes", "carve_hint", dict(hint))
    if fleet.unplaced:
        inventory.set_variable("carve_nodes", "carve_unplaced", dict(fleet.unplaced))
    shared = {
        "fleet": fleet.name,
        "allow": list(fleet.policy.get("allow") or ()),
        "prune": fleet.policy.get("prune", True),
    }
    secrets: list[Any] = []
    shared |= {"networks": _revealed(fleet.networks, secrets), "templates": _revealed(fleet.templates, secrets)}
    rollout = {"carve_rollout": batches.canonical(fleet.policy["rollout"])} if "rollout" in fleet.policy else {}
    by_node: dict[str, list[Container]] = {name: [] for name in fleet.nodes}
    for container in fleet.containers:
        by_node[container.node or ""].append(container)
    for name, body in fleet.nodes.items():
        own = list(secrets)
        containers = {c.name: _revealed({**c.options, "id": fleet.slots[c.name]}, own) for c in by_node[name]}
        labels = body.get("labels") or {}
        variables = _revealed({key: value for key, value in body.items() if key.startswith(("ansible_", "carve_"))}, [])
        desired = {**shared, "containers": containers, "secrets": own}
        placed = _placed(fleet, by_node[name])
        more = {**rollout, **({"carve_placed": placed} if placed else {})}
        _add(inventory, name, {**variables, "carve_desired": desired, "carve_labels": texts(labels), **more})
        inventory.add_group(_group("on", name))
        # Before any host is looked at, a play can ask for groups, and not for variables.
        special = [*(["carve_looked_at"] if look else ()), *(["carve_rollouts"] if rollout else ())]
        for group in ("carve_nodes", *special, *_label_groups(labels)):
            inventory.add_child(inventory.add_group(group), name)
        for container in by_node[name]:
            # A container that should be absent is no host; the node still hears of it.
            if container.options.get("state") != "absent":
                _add(inventory, container.name, _reach(container, name))
                for group in _groups(container):
                    inventory.add_child(inventory.add_group(group), container.name)


def _placed(fleet: Fleet, containers: list[Container]) -> dict[str, dict[str, Any]]:
    """Of a node's containers, what the manifest does not say itself: why they are here, and addresses from pools."""
    result: dict[str, dict[str, Any]] = {}
    for container in containers:
        name = container.name
        own: dict[str, Any] = {"why": fleet.reasons[name]} if name in fleet.reasons else {}
        if name in fleet.addresses:
            own["ip"] = fleet.addresses[name]
        if own:
            result[name] = own
    return result


def _reach(container: Container, node: str) -> dict[str, Any]:
    """A container's variables. How its node is reached is the node's own to say: the connection asks it."""
    return {
        "ansible_connection": "carve.vps.attach",
        "carve_node": node,
        "carve_container": container.name,
        "carve_labels": texts(container.labels),
    }


def _refuse_second(inventory: Any, fleet: Fleet) -> None:
    for name in (*fleet.nodes, *(container.name for container in fleet.containers)):
        host = inventory.hosts.get(name)
        known = host.vars if host is not None else {}
        if "carve_desired" in known or "carve_container" in known:
            raise TwoFleets(f"the host {name!r} is in another manifest already; give one manifest at a time with -i")


def _add(inventory: Any, name: str, variables: Mapping[str, Any]) -> None:
    inventory.add_host(name)
    host = inventory.hosts[name]
    for key, value in variables.items():
        # Past the inventory's own set_variable, which would tag every single value anew. Expressions bear their trust
        # already, and nothing else needs any.
        host.set_variable(key, value)


def _groups(container: Container) -> Iterator[str]:
    yield "carve_containers"
    yield _group("on", container.node or "")
    template = container.options.get("template")
    if isinstance(template, str) and not model.is_deferred(template):
        yield _group("template", template)
    if container.flavor is not None:
        yield _group("flavor", container.flavor)
    network = container.options.get("network")
    for interface in network.values() if isinstance(network, Mapping) else ():
        on = interface.get("on") if isinstance(interface, Mapping) else None
        if isinstance(on, str) and not model.is_deferred(on):
            yield _group("network", on)
    yield from _label_groups(container.labels)


def _label_groups(labels: Mapping[str, Any]) -> Iterator[str]:
    for key, value in texts(labels).items():
        yield _group("label", key, value)


def _group(*parts: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(parts))


def _revealed(value: Any, secrets: list[Any]) -> Any:
    """A copy with the vaulted values themselves in the place of their stand-ins; ``secrets`` collects them."""
    if isinstance(value, Vaulted):
        if not any(value.encrypted is secret for secret in secrets):
            secrets.append(value.encrypted)
        return value.encrypted
    if isinstance(value, Mapping):
        return {key: _revealed(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_revealed(item, secrets) for item in value]
    return value
