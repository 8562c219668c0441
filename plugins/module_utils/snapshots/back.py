# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container goes back to a snapshot: its files are made anew aside, and change places with those that it has.

The files come back, and the template version below them. What is declared of the container stays as it is now, limits
and addresses, host name and keys: the manifest, not a snapshot, says what those are.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

from .. import builder, files, power, remake, rootfs, trees, units
from ..checkpoint import fitness, look, shot, suspend
from ..engines import lxc
from ..facets import network
from ..host import Box, Host
from ..paths import RETURNING
from ..record import Record
from .shelf import Snapshot, SnapshotError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RolledBack(SnapshotError):
    """A container has the files of its snapshot, and something went wrong after that."""


def why_not(host: Host, now: Record, snapshot: Snapshot, may_restart: bool, memory: bool | None) -> str | None:
    """What keeps a container from going back, and what to do about it.

    ``memory``: whether its processes are to be those of the snapshot, too; nothing: where it has them.
    """
    name, old = now.name, snapshot.record
    if old.uuid != now.uuid:
        return f"{snapshot.name} is a snapshot of an earlier container {name}; delete it"
    if old.slot != now.slot:
        return f"{name} has other user ids than when {snapshot.name} was taken; delete it"
    if os.path.exists(f"{host.paths.kept}/{name}"):
        return f"the rebuild of {name} has not passed its gate yet; run carve.vps.apply first"
    if suspend.is_suspended(host.paths.container(name)):
        return f"{name} is suspended, and its memory would not know of it; state: running or stopped first"
    template, version = old.fields["template"], old.template_version
    if old.backend == rootfs.OVERLAY and builder.build_of(host.paths, template, version) is None:
        return f"{snapshot.name} lies on {template}@{version}, which is not on this node any more"
    limit = now.fields.get("disk")
    if limit is not None and snapshot.about["bytes"] > limit:
        size, disk = snapshot.about["bytes"] / (1 << 20), units.show_size(limit)
        return f"{snapshot.name} of {name} has {size:.1f}M, and disk is {disk}; declare more first"
    most = now.fields.get("inodes")
    if most is not None and snapshot.about["files"] > most:
        return (
            f"{snapshot.name} of {name} has {snapshot.about['files']} files, and inodes is {most}; declare more first"
        )
    if memory is not False and (memory or snapshot.memory):
        changed = _without_memory(host, now, snapshot)
        if changed is not None:
            return changed
    if not may_restart and lxc.init_pid(host, name):
        return f"{name} runs, and is restarted to be rolled back; allow: restart, or stop it first"
    return None


def _without_memory(host: Host, now: Record, snapshot: Snapshot) -> str | None:
    """Why its processes cannot be made anew as they were."""
    said = f"{snapshot.name} of {now.name}"
    if snapshot.memory is None:
        return f"{said} has no memory; leave memory out"
    other = _unlike_then(now, snapshot)
    if other:
        return f"{now.name} is not what it was when {snapshot.name} was taken: {other}; memory: false goes without"
    unlike = [*look.lacking(host), *fitness.unlike(snapshot.about["memory"]["traits"], look.traits(host))]
    if unlike:
        return f"the memory of {said} does not fit this node any more: {'; '.join(unlike)}; memory: false goes without"
    return None


def _unlike_then(now: Record, snapshot: Snapshot) -> str:
    """What has been declared since that its memory could not be had with."""
    found = fitness.ties(now.fields)
    if not now.fields.get("live_migration"):
        found.append("it is not declared live_migration: true")
    if _interfaces(now) != _interfaces(snapshot.record):
        found.append("it has other network interfaces")
    ram, before, bytes_ = now.fields.get("ram"), snapshot.record.fields.get("ram"), snapshot.about["memory"]["bytes"]
    # With the limit that it had then, what is more than that is in swap.
    if ram is not None and bytes_ > ram and (before is None or ram < before):
        found.append(f"ram is {units.show_size(ram)}, and its memory has {bytes_ / (1 << 20):.1f}M")
    return "; ".join(found)


def _interfaces(record: Record) -> dict[str, tuple[Any, ...]]:
    found = network.interfaces(record.fields)
    return {name: (options["mode"], options.get("bridge"), options.get("mac")) for name, options in found.items()}


def roll_back(host: Host, now: Record, snapshot: Snapshot, memory: bool | None = None) -> None:
    """Make a container's files those of a snapshot, and its processes where it has them.

    The caller has the node's lock, and ``why_not`` had nothing to say.

    Killed before the exchange, the run has changed no files; after it, the container has its old ones again. In both a
    note says whether it is still to be started.
    """
    paths, name, old = host.paths, now.name, snapshot.record
    before = Box(now, paths.container(name), lxc.init_pid(host, name))
    images = None if memory is False else snapshot.memory
    running = bool(before.pid or images) or os.path.exists(f"{before.directory}/{RETURNING}")
    fields = {**now.fields, "template": old.fields["template"]}
    made = replace(now, digest=old.digest, build=old.build, backend=old.backend, fields=fields)
    staged = remake.stage(host, made, lambda layer: _copy(snapshot, layer), running)
    if images:
        shot.link(images, staged.directory)
    if before.pid:
        files.write_json(f"{before.directory}/{RETURNING}", {"running": True}, mode=0o600)
        power.stop(host, before)
    rootfs.unmount(before.directory)
    files.exchange(staged.directory, before.directory)
    files.sync([paths.containers])
    problem = _start(host, Box(made, before.directory)) if running else None
    aside = f"{paths.staging}/{name}.old"
    files.remove_tree(aside)
    os.rename(staged.directory, aside)
    files.remove_tree(aside)
    if problem is not None:
        raise RolledBack(f"its files are back, and {problem}")


def _start(host: Host, box: Box) -> str | None:
    """Start it, with its memory where it has that; what went wrong."""
    try:
        lost = power.start_anyhow(host, box)
    except lxc.EngineError as error:
        return f"it does not start: {error}"
    return f"it was started: its memory cannot be made anew: {lost}" if lost else None


def _copy(snapshot: Snapshot, layer: int) -> None:
    source = os.open(snapshot.layer, _DIRECTORY)
    try:
        trees.Replica(source, layer).finish()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and snapshot.record.fields.get("disk") is not None:
            what = f"the files of {snapshot.name} do not fit; declare more disk, or see whether the node's is full"
            raise SnapshotError(what) from error
        raise
    finally:
        os.close(source)
