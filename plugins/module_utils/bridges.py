# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's bridges: which there are, whose they are, and making them. They are made anew after every boot of the node
from ``networks.json``, since bridges live in the kernel only."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from . import files
from .kernel import links, netlink
from .paths import Paths
from .steps import BridgeSeen

_MARK = "carve:"  # the interface alias (ip-link(8)) by which a fleet knows its bridges
_GUARD = threading.Lock()  # bridges are made side by side, and their record is one file


def observe(paths: Paths) -> dict[str, BridgeSeen]:
    """Every link that could be a network's bridge, by name."""
    found = netlink.links(routes=False)
    recorded = _recorded(paths)
    masters = {link.name: link.master for link in found.values()}
    result = {}
    for index, link in found.items():
        wanted = (recorded.get(link.name) or {}).get("wanted")
        # Only the port that Carve has plugged in is looked at; others' are theirs.
        uplink = (wanted or {}).get("uplink")
        result[link.name] = BridgeSeen(
            fleet=link.alias[len(_MARK) :] if link.alias.startswith(_MARK) else None,
            addresses=tuple(link.addresses),
            mtu=link.mtu,
            uplink=uplink if uplink and masters.get(uplink) == index else None,
            recorded=wanted,
        )
    for name, entry in recorded.items():
        if name not in result:
            result[name] = BridgeSeen(entry["fleet"], exists=False, recorded=entry["wanted"])
    return result


def _recorded(paths: Paths) -> dict[str, Any]:
    return files.read_json(paths.networks) or {}


def ensure(paths: Paths, fleet: str, wanted: Mapping[str, Any]) -> None:
    """Make a bridge as wanted and record it, so that the node's next boot makes it too."""
    name, seen = wanted["bridge"], observe(paths).get(wanted["bridge"])
    if seen is not None and seen.uplink and seen.uplink != wanted["uplink"]:
        links.set_link(seen.uplink, master=0)
    make(fleet, wanted)
    with _GUARD:
        files.write_json(paths.networks, {**_recorded(paths), name: {"fleet": fleet, "wanted": dict(wanted)}})


def make(fleet: str, wanted: Mapping[str, Any]) -> None:
    """Make a bridge in the kernel. Its addresses are Carve's alone: one that is not wanted goes."""
    name = wanted["bridge"]
    before = {link.name: link for link in netlink.links(routes=False).values()}.get(name)
    links.ensure_bridge(name, f"{_MARK}{fleet}")
    links.learn_no_reserved(name)
    links.set_link(name, mtu=wanted["mtu"])
    surplus = [a for a in (before.addresses if before else []) if a not in wanted["addresses"]]
    links.remove_addresses(name, surplus)
    links.add_addresses(name, list(wanted["addresses"]))
    if wanted.get("uplink"):
        links.set_link(wanted["uplink"], master=name, state="up")


def remove(paths: Paths, name: str) -> None:
    """Remove a bridge and its record."""
    links.remove_link(name)
    with _GUARD:
        recorded = _recorded(paths)
        if recorded.pop(name, None):
            files.write_json(paths.networks, recorded)
