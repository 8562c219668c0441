# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``carve.vps.snapshot`` is asked for: everything that is wrong is said before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import fullness, lock, units
from ..engines import lxc
from ..facets import disk
from ..failure import failure
from ..host import Host, apparmor_enabled
from ..kernel import freezer
from ..record import Record, load
from . import back, shelf, take
from .shelf import Snapshot, SnapshotError

PRESENT, ABSENT, ROLLED_BACK = "present", "absent", "rolled_back"


def run(params: Mapping[str, Any], check: bool, host: Host | None = None) -> dict[str, Any]:
    """Carry one call of the module out; its result. ``failed`` is set, never raised."""
    host = host or Host(apparmor=apparmor_enabled())
    names = list(params["containers"])
    try:
        for word in (params["name"], *names):
            units.parse_label(word)
    except ValueError as error:
        return failure([str(error)])
    state, snapshot = params["state"], str(params["name"])
    before = {name: shelf.listed(host.paths, name) for name in names}
    todo, errors = _todo(host, params, names, before)
    if errors:
        return failure(errors)
    if check:
        after = {name: _predicted(before[name], state, snapshot, name in todo) for name in names}
        return _result(todo, state, snapshot, _names(before), after, before, [])
    host.paths.make()
    done: list[str] = []
    for name in todo:
        try:
            _do(host, params, name)
            done.append(name)
        except (SnapshotError, lxc.EngineError, lock.Busy, OSError) as error:
            errors.append(f"{name}: {words(host, error)}")
            if isinstance(error, back.RolledBack):
                done.append(name)
    found = {name: shelf.listed(host.paths, name) for name in names}
    return _result(done, state, snapshot, _names(before), _names(found), found, errors)


def _todo(
    host: Host, params: Mapping[str, Any], names: list[str], before: Mapping[str, list[Snapshot]]
) -> tuple[list[str], list[str]]:
    """The containers with which something is to be done, and what is wrong with any of them."""
    todo, errors = [], []
    for name in names:
        now = load(host.paths.container(name))
        one = next((found for found in before[name] if found.name == params["name"]), None)
        try:
            wrong = _wrong(host, params, name, now, one)
        except TimeoutError as error:
            wrong = str(error)
        if wrong is not None:
            errors.append(wrong)
        elif params["state"] == ROLLED_BACK or (one is None) == (params["state"] == PRESENT):
            todo.append(name)
    return todo, errors


def _wrong(host: Host, params: Mapping[str, Any], name: str, now: Record | None, one: Snapshot | None) -> str | None:
    owner = now or (one.record if one else None)
    if owner is not None and owner.fleet != params["fleet"]:
        return f"{name} belongs to fleet {owner.fleet!r}"
    if params["state"] == ABSENT:
        return None
    if now is None:
        return f"{name} is not on this node"
    if params["state"] == PRESENT:
        return _cannot_take(host, params, now, one)
    if one is None:
        have = ", ".join(found.name for found in shelf.listed(host.paths, name))
        return f"{name} has no snapshot {params['name']}; {f'it has {have}' if have else 'it has none'}"
    return back.why_not(host, now, one, "restart" in (params.get("allow") or ()), params.get("memory"))


def _cannot_take(host: Host, params: Mapping[str, Any], now: Record, one: Snapshot | None) -> str | None:
    snapshot, name, memory = params["name"], now.name, bool(params.get("memory"))
    if one is not None and one.record.uuid != now.uuid:
        return f"{snapshot} is a snapshot of an earlier container {name}; delete it first"
    if one is not None and memory and one.memory is None:
        return f"{snapshot} of {name} was taken without memory; delete it first, or take another name"
    if one is None and memory:
        unfit = take.memory_unfit(host, name)
        return f"the memory of {name} cannot be kept: {'; '.join(unfit)}" if unfit else None
    return None


def _do(host: Host, params: Mapping[str, Any], name: str) -> None:
    state, snapshot, patience = params["state"], str(params["name"]), float(params["lock_timeout"])
    may_restart, memory = "restart" in (params.get("allow") or ()), params.get("memory")
    if state == PRESENT:
        take.take(host, name, snapshot, patience=patience, memory=bool(memory))
        return
    with shelf.alone(host.paths, patience):
        if state == ABSENT:
            shelf.remove(host.paths, name, snapshot)
            return
        with lock.held(host.paths, True, {"doing": f"roll back of {name} to {snapshot}"}, patience):
            freezer.thaw_leftovers(host.paths, host.cgroup)
            now, one = load(host.paths.container(name)), shelf.load(host.paths, name, snapshot)
            if now is None or one is None:
                raise SnapshotError("it or its snapshot has just been removed")
            wrong = back.why_not(host, now, one, may_restart, memory)
            if wrong is not None:
                raise SnapshotError(wrong)
            back.roll_back(host, now, one, memory)


def words(host: Host, error: Exception) -> str:
    """What went wrong; of a full disk which one it is."""
    if not fullness.is_told_by(error):
        return str(error)
    return fullness.of_node(error, host.paths.base, disk.room_at(host.paths.base))


def _names(found: Mapping[str, list[Snapshot]]) -> dict[str, list[str]]:
    return {name: [one.name for one in snapshots] for name, snapshots in found.items()}


def _predicted(have: list[Snapshot], state: str, snapshot: str, concerned: bool) -> list[str]:
    names = [one.name for one in have]
    if not concerned or state == ROLLED_BACK:
        return names
    return [*names, snapshot] if state == PRESENT else [name for name in names if name != snapshot]


def _result(
    done: list[str],
    state: str,
    snapshot: str,
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
    found: Mapping[str, list[Snapshot]],
    errors: list[str],
) -> dict[str, Any]:
    """The module's result."""
    sides: dict[str, list[str]] = {"before": [], "after": []}
    for name in before:
        for side, names in (("before", before[name]), ("after", after[name])):
            sides[side].append(f"{name}: {', '.join(sorted(names)) or 'no snapshots'}\n")
        if state == ROLLED_BACK and name in done:
            sides["after"].append(f"{name}: its files are those of {snapshot}\n")
    result = {
        "changed": bool(done),
        "containers": done,
        "snapshots": {name: {one.name: one.public() for one in snapshots} for name, snapshots in found.items()},
        "diff": {side: "".join(lines) for side, lines in sides.items()},
        "errors": errors,
    }
    return {**result, **failure(errors)} if errors else result
