# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a container can be checkpointed, by what was found of it. Pure: what there is comes from ``look.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The namespaces of which CRIU saves one for a whole container, and what makes a service have its own (systemd.exec(5)).
_ONE_OF_EACH = {
    "cgroup": "ProtectControlGroups=",
    "ipc": "PrivateIPC=",
    "net": "PrivateNetwork=",
    "pid": "PrivatePIDs=",
    "user": "PrivateUsers=",
    "uts": "ProtectHostname=",
}
# What stands in the place of a path of descriptors that CRIU saves (proc_pid_fd(5)); bpf maps are saved, programs not.
_SAVED = frozenset(
    f"anon_inode:{name}"
    for name in ("[eventfd]", "[eventpoll]", "inotify", "[signalfd]", "[timerfd]", "[fanotify]", "[pidfd]", "bpf-map")
)
_UNSAVED_MOUNTS = ("ramfs", "bpf", "nfs", "nfs4", "cifs", "fuse", "overlay", "ceph", "9p")
# What shows a container more of the node than it can take along.
_TIES = {
    "mounts": "directories of the node",
    "devices": "devices of the node",
    "network_cards": "network cards of the node",
    "features": "features of the node",
}


@dataclass(frozen=True)
class Process:
    """A process as the node sees it: its number and name, its namespaces, what its descriptors are of."""

    pid: int
    name: str
    namespaces: Mapping[str, str] = field(default_factory=dict)
    descriptors: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Look:
    """What was found of a running container. The first process is its init."""

    fields: Mapping[str, Any]
    processes: tuple[Process, ...]
    # Kinds and places of all its mounts.
    mounts: frozenset[tuple[str, str]] = frozenset()
    # The AppArmor profile of its init, and the one that it should have; nothing where there is no AppArmor.
    label: str | None = None
    wanted_label: str | None = None
    backend: str = "overlay"
    own_filesystem: bool = False


def findings(look: Look) -> list[str]:
    """What forbids a checkpoint, a sentence each, the most telling first."""
    found = ties(look.fields)
    if look.backend != "overlay":
        found.append("its root filesystem is a copy, where only an overlay has been proven")
    elif look.own_filesystem:
        found.append("its disk limit is a filesystem of its own, where only a quota has been proven")
    if look.wanted_label and look.label != look.wanted_label:
        was = f"it was not started so, but under {look.label or 'no profile'}"
        found.append(f"AppArmor has to confine it by {look.wanted_label}; {was}")
    found += _of_init(look.processes[0]) if look.processes else ["it has no processes"]
    for process in look.processes:
        found += _of_process(process, look.processes[0])
    kinds = {kind for kind, _place in look.mounts}
    for kind in sorted(kinds & set(_UNSAVED_MOUNTS)):
        places = sorted(place for other, place in look.mounts if other == kind and place != "/")
        if places:
            found.append(f"a file system of kind {kind} is mounted at {_some(places)}, which CRIU does not save")
    return found


def ties(fields: Mapping[str, Any]) -> list[str]:
    """What is declared of a container that its memory cannot come along with, a sentence each."""
    return [f"{option}: {what} cannot come along" for option, what in _TIES.items() if fields.get(option)]


def _of_init(init: Process) -> list[str]:
    if any(_is_pressure(path) for path in init.descriptors):
        return [f"its init watches memory pressure ({init.name} has such a descriptor), and would spin after a restore"]
    return []


def _of_process(process: Process, init: Process) -> list[str]:
    who = f"{process.name} ({process.pid})"
    found = []
    for kind, option in _ONE_OF_EACH.items():
        own, common = process.namespaces.get(kind), init.namespaces.get(kind)
        if own and common and own != common:
            found.append(f"{who} has a {kind} namespace of its own (in a unit: {option})")
    for path in sorted(process.descriptors):
        if path.startswith("anon_inode:") and path not in _SAVED:
            found.append(f"{who} holds {path[len('anon_inode:') :]}, which CRIU does not save")
        elif process is not init and _is_pressure(path):
            found.append(f"{who} watches memory pressure ({path})")
    return found


def _is_pressure(path: str) -> bool:
    return path.endswith(".pressure") or path.startswith("/proc/pressure/")


def _some(places: Iterable[str]) -> str:
    first, *rest = places
    return f"{first} and {len(rest)} more places" if rest else first


def unlike(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Why what was checkpointed on a node with ``theirs`` (``look.traits``) cannot be made anew on one with ``ours``.

    ``ours`` is spoken of as "it".
    """
    found = [
        f"it has {what} {ours[what] or 'unknown'}, the other node {theirs[what] or 'unknown'}"
        for what in ("criu", "lxc", "kernel")
        if theirs[what] != ours[what]
    ]
    missing = sorted(set(theirs["cpu"]) - set(ours["cpu"]))
    if missing:
        found.append(f"its processor has no {', '.join(missing[:8])}, which the other node's has")
    if theirs["apparmor"] != ours["apparmor"]:
        found.append("AppArmor confines containers on one of the nodes and not on the other")
    return found
