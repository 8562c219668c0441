# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node is and has, for ``carve.vps.node_info``: the observation in words, nothing computed anew."""

from __future__ import annotations

from typing import Any

from . import files, model, slots, usage
from .checkpoint import look
from .facets import disk
from .failure import failure
from .host import Box, Host, apparmor_enabled
from .kernel import meters
from .observe import Observation, observe
from .snapshots import shelf
from .steps import ContainerSeen


def gather(host: Host | None = None) -> dict[str, Any]:
    """The node, its containers, templates and bridges. Changes nothing."""
    host = host or Host(apparmor=apparmor_enabled())
    try:
        return _told(host, observe(host))
    except TimeoutError as error:
        return failure([str(error)])


def _told(host: Host, seen: Observation) -> dict[str, Any]:
    node, boxes, cards = seen.node, seen.boxes, meters.pairs()
    return {
        "node": {
            "cgroup_version": host.cgroup.version,
            "cpus": node.cpus,
            "apparmor": host.apparmor,
            "swap_limit": node.swap_limit,
            "quota": sorted(node.quota),
            "runtime": node.runtime,
            "lacks": list(node.lacks),
        },
        "containers": {
            name: _container(host, found, boxes.get(name), cards) for name, found in sorted(node.containers.items())
        },
        "set_aside": {name: found.fleet for name, found in sorted(node.aside.items())},
        "left_behind": {
            name: _snapshots(host, name) for name in shelf.containers(host.paths) if name not in node.containers
        },
        "templates": {name: sorted(digests) for name, digests in sorted(node.templates.items())},
        "bridges": {
            name: {"fleet": found.fleet, "addresses": list(found.addresses), "mtu": found.mtu, "uplink": found.uplink}
            for name, found in sorted(node.bridges.items())
            if found.exists and found.fleet is not None
        },
    }


def _container(host: Host, seen: ContainerSeen, box: Box | None, cards: usage.Cards) -> dict[str, Any]:
    if box is None:
        return {"managed": False}
    return {
        "managed": True,
        "fleet": seen.fleet,
        "state": seen.power,
        "live_migration": _fitness(host, box),
        "pid": box.pid,
        "start_failure": None if box.pid else (files.read(host.paths.failure(box.name)) or "").strip() or None,
        "uuid": box.record.uuid,
        "template": f"{seen.recorded.get('template')}@{seen.digest}",
        "backend": box.record.backend,
        "uid_range": [box.record.base_id, box.record.base_id + slots.RANGE - 1],
        "declared": {
            path: model.show(path, value) if model.knows(path) else str(value)
            for path, value in sorted(seen.recorded.items())
        },
        "observed": {path: model.show(path, value) for path, value in sorted(seen.seen.items())},
        "ram_in_use": seen.ram_in_use,
        "filesystem": seen.disk.filesystem,
        "disk_in_use": seen.disk.space,
        "inodes_in_use": seen.disk.inodes,
        **disk.used_by_ids(host, box),
        "configuration_edited": seen.config is not None,
        **_snapshots(host, box.name),
        "usage": usage.report(host.paths, host.cgroup, _subject(box), cards),
    }


def _fitness(host: Host, box: Box) -> dict[str, Any]:
    findings = look.unfit(host, box)
    return {"fit": not findings, "findings": findings}


def _snapshots(host: Host, name: str) -> dict[str, Any]:
    found = shelf.listed(host.paths, name)
    return {
        "snapshots": {one.name: one.public() for one in found},
        "snapshots_bytes": sum(one.bytes for one in found),
    }


def _subject(box: Box) -> usage.Subject:
    return usage.Subject(box.name, box.record.uuid, box.record.slot, box.pid)
