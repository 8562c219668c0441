# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``carve.vps.backup`` is asked for: everything that is wrong is said before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any

from .. import lock, units
from ..builder import BuildError
from ..engines import lxc
from ..failure import failure
from ..host import Host, apparmor_enabled
from ..kernel import freezer
from ..observe import observe
from ..record import load
from ..snapshots import ask as snapshots
from ..snapshots import schedule, shelf
from ..snapshots.shelf import SnapshotError
from . import make, restore
from . import place as places
from .description import BackupError
from .place import Place

PRESENT, RESTORED = "present", "restored"
_ERRORS = (BackupError, BuildError, SnapshotError, lxc.EngineError, lock.Busy, OSError)


def run(params: Mapping[str, Any], check: bool, host: Host | None = None) -> dict[str, Any]:
    """Carry one call of the module out; its result. ``failed`` is set, never raised."""
    host = host or Host(apparmor=apparmor_enabled())
    try:
        for word in (params["fleet"], *params["containers"], params.get("name"), params.get("restore_as")):
            if word is not None:
                units.parse_label(word)
        place = places.parse(params["place"], params.get("ssh_key"), params.get("host_key"))
    except ValueError as error:
        return failure([str(error)])
    if not check:
        host.paths.make()
    try:
        place.check()
        return (
            _present(host, place, params, check)
            if params["state"] == PRESENT
            else _restored(host, place, params, check)
        )
    except _ERRORS as error:
        return failure([_words(host, error)])


def _words(host: Host, error: Exception) -> str:
    return str(error) if isinstance(error, BackupError) else snapshots.words(host, error)


def _present(host: Host, place: Place, params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    fleet, name = params["fleet"], params.get("name") or schedule.stamp(datetime.now(timezone.utc))
    errors = [wrong for container in params["containers"] if (wrong := _not_here(host, fleet, container))]
    if errors:
        return failure(errors)
    todo = [container for container in params["containers"] if name not in place.names(f"{fleet}/{container}")]
    done, made = [], {}
    for container in todo:
        try:
            if not check:
                content = make.make(host, place, container, name, float(params["lock_timeout"]))
                made[container] = _public(content, f"{fleet}/{container}/{name}")
            done.append(container)
        except _ERRORS as error:
            errors.append(f"{container}: {_words(host, error)}")
    lines = "".join(f"{container}: backup {name}\n" for container in done)
    return _result({"name": name, "backups": made}, done, errors, "", lines)


def _not_here(host: Host, fleet: str, container: str) -> str | None:
    found = load(host.paths.container(container))
    if found is None:
        return f"{container} is not on this node"
    return None if found.fleet == fleet else f"{container} belongs to fleet {found.fleet!r}"


def _restored(host: Host, place: Place, params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    if len(params["containers"]) != 1:
        return failure(["one container is restored at a time; write one name in containers"])
    fleet, container = params["fleet"], params["containers"][0]
    target = params.get("restore_as") or container
    name = restore.find(place, fleet, container, params.get("name"))
    content = restore.describe(place, fleet, container, name)
    patience = float(params["lock_timeout"])
    if check:
        errors = restore.why_not(host, content, target, observe(host).node)
        return failure(errors) if errors else _done(content, target, name)
    with shelf.alone(host.paths, patience), _locked(host, target, patience):
        freezer.thaw_leftovers(host.paths, host.cgroup)
        restore.restore(host, place, content, target)
    return _done(content, target, name)


def _locked(host: Host, target: str, patience: float) -> AbstractContextManager[None]:
    return lock.held(host.paths, True, {"doing": f"restore of {target}"}, patience)


def _done(content: Mapping[str, Any], target: str, name: str) -> dict[str, Any]:
    backups = {target: _public(content, content["path"])}
    return _result({"name": name, "backups": backups}, [target], [], "", f"{target}: restored from {content['path']}\n")


def _public(content: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What is told of a backup."""
    template = content["template"]
    return {
        **{key: content[key] for key in ("name", "taken", "frozen_s", "content_bytes", "files")},
        **content["data"],
        "template": None if template is None else f"{template['name']}@{template['digest']}",
        "path": path,
    }


def _result(told: Mapping[str, Any], done: list[str], errors: list[str], before: str, after: str) -> dict[str, Any]:
    result = {"changed": bool(done), "containers": done, "diff": {"before": before, "after": after}, "errors": errors}
    return {**told, **result, **(failure(errors) if errors else {})}
