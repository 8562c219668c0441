# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a node: everything that a plan is made from, in one pass over all its containers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from . import abilities, bridges, facets, record, runtime, trial
from .checkpoint import look, suspend
from .engines import lxc
from .facets import checkpoint, disk, memory
from .host import Box, Host
from .kernel import loop
from .moves import note, pace
from .snapshots import shelf
from .steps import Aside, ContainerSeen, NodeSeen

_LOOKS = 5
_SUBIDS = ("/etc/subuid", "/etc/subgid")


@dataclass(frozen=True)
class Observation:
    """What was seen, and the containers to work on, by name."""

    node: NodeSeen
    boxes: dict[str, Box]


def observe(
    host: Host, declared: Mapping[str, Mapping[str, Any]] | None = None, to_move: Collection[str] = ()
) -> Observation:
    """Look at the whole node, and whether it has what the containers declared for it need. Changes nothing.

    ``to_move`` belong on other nodes: of those it is asked, too, whether they can be moved live.
    """
    for _attempt in range(_LOOKS):
        boxes = lxc.containers(host)
        found = [facet.observe(host, boxes) for facet in facets.ALL]
        if all(box.pid is None or lxc.is_alive(box.pid) for box in boxes):
            break
        # A container ended while it was looked at: what was seen of it is of no one moment.
    containers = {name: ContainerSeen(fleet=None) for name in lxc.names(host)}
    file_rows = frozenset(row for facet in facets.ALL for row in facet.file_rows)
    live_rows = frozenset(row for facet in facets.ALL for row in facet.live_rows)
    kept = _listed(host.paths.kept)
    to_freeze = {*to_move} | {name for name, wanted in (declared or {}).items() if wanted["state"] == "suspended"}
    for box in boxes:
        seen = {path: value for facet in found for path, value in facet.get(box.name, {}).items()}
        containers[box.name] = ContainerSeen(
            fleet=box.record.fleet,
            recorded=box.record.fields,
            digest=box.record.digest,
            template_version=box.record.template_version,
            running=box.pid is not None,
            live=checkpoint.is_declared(box),
            suspended=box.pid is None and suspend.is_suspended(box.directory),
            unfit=tuple(look.unfit(host, box)) if box.pid and box.name in to_freeze else (),
            seen=seen,
            looked=file_rows | live_rows if box.pid else file_rows,
            ram_in_use=memory.in_use(host, box) if box.pid and "ram" in box.record.fields else 0,
            disk=disk.look(host, box),
            config=lxc.strange_lines(host, box),
            kept=trial.kept(host.paths, box.name) if box.name in kept else None,
        )
    by_name = {box.name: box for box in boxes}
    own, foreign = _subordinate_ids()
    node = NodeSeen(
        containers=containers,
        aside=_set_aside(host),
        templates=_templates(host),
        snapshots=shelf.needed_templates(host.paths),
        last_live=pace.last(host.paths) if to_move else None,
        bridges=bridges.observe(host.paths),
        runtime=runtime.installed(),
        own_runtime=runtime.digest(),
        **abilities.of(host),
        ext4_grows=loop.ext4_grows(),
        foreign_ids=foreign,
        own_ids=own,
        meddled=tuple(facets.NETWORK.meddled),
        unshared=memory.unshared(host),
        lacks=_lacks(own),
        lacks_for={
            name: lacks
            for name, wanted in (declared or {}).items()
            if (lacks := _lacks_for(host, wanted, by_name.get(name)))
        },
    )
    return Observation(node, by_name)


def _lacks_for(host: Host, wanted: Mapping[str, Any], box: Box | None) -> tuple[str, ...]:
    if wanted["state"] == "absent":
        return ()
    return tuple(reason for facet in facets.ALL for reason in facet.lacks(host, wanted, box))


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _templates(host: Host) -> dict[str, frozenset[str]]:
    """The versions of every template that the node has."""
    found: dict[str, frozenset[str]] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(host.paths.templates):
            with contextlib.suppress(NotADirectoryError):
                found[name] = frozenset(os.listdir(f"{host.paths.templates}/{name}"))
    return found


def _set_aside(host: Host) -> dict[str, ContainerSeen]:
    """What a move has left in the middle of its way."""
    try:
        names = os.listdir(host.paths.departing)
    except FileNotFoundError:
        return {}
    found = {name: record.load(f"{host.paths.departing}/{name}") for name in names}
    return {
        name: ContainerSeen(
            kept.fleet, kept.fields, kept.digest, kept.template_version, aside=_aside(f"{host.paths.departing}/{name}")
        )
        for name, kept in found.items()
        if kept is not None
    }


def _aside(directory: str) -> Aside:
    found = note.read(directory) or note.Note()
    return Aside(found.running, found.handed_to)


def _subordinate_ids() -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Root's ranges in both files, and everybody else's in either (subuid(5))."""
    own: list[set[tuple[int, int]]] = []
    foreign: set[tuple[int, int]] = set()
    for path in _SUBIDS:
        mine: set[tuple[int, int]] = set()
        try:
            with open(path, encoding="utf-8") as handle:
                rows = [line.strip().split(":") for line in handle]
        except FileNotFoundError:
            rows = []
        for row in rows:
            if len(row) == 3 and row[1].isdigit() and row[2].isdigit():
                (mine if row[0] in ("root", "0") else foreign).add((int(row[1]), int(row[2])))
        own.append(mine)
    return tuple(sorted(own[0] & own[1])), tuple(sorted(foreign))


def _lacks(own_ids: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    lacks = []
    if not any(os.access(f"{place}/lxc-start", os.X_OK) for place in ("/usr/bin", "/usr/local/bin")):
        lacks.append("LXC is not installed")
    if not any(os.access(f"{place}/nft", os.X_OK) for place in ("/usr/sbin", "/usr/bin", "/sbin")):
        lacks.append("nftables is not installed")
    if importlib.util.find_spec("pyroute2") is None:
        lacks.append(f"{sys.executable} has no pyroute2")
    if not own_ids:
        lacks.append("root has no range of ids in /etc/subuid and /etc/subgid")
    for path, what in (("/proc/sys/net/ipv4/ip_forward", "IPv4"), ("/proc/sys/net/ipv6/conf/all/forwarding", "IPv6")):
        try:
            with open(path, encoding="ascii") as handle:
                if handle.read().strip() == "0":
                    lacks.append(f"the node forwards no {what}")
        except OSError:
            lacks.append(f"the kernel has no {what}")
    return tuple(lacks)
