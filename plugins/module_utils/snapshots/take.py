# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot is taken: a container's own files are copied while it runs, and again for a moment while it is frozen.

Copying may take long, and nobody else need wait for it: the node's lock is held only for the last of it, and whether
the container is still what it was is asked again then. The container's processes are stopped only for as long as it
takes to look through its files and to copy those that were written to since they were copied; with its memory, also for
as long as it takes to write that.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from .. import files, lock, record, store, trees
from ..checkpoint import look, shot, suspend
from ..engines import lxc
from ..host import Box, Host
from ..kernel import freezer, syscalls
from ..record import Record
from . import schedule, shelf
from .shelf import SnapshotError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def take(
    host: Host, container: str, name: str, of_schedule: str | None = None, patience: float = 60, memory: bool = False
) -> None:
    """Take a snapshot, whole or not at all. Raises ``SnapshotError``, ``lock.Busy`` or ``OSError``."""
    with shelf.alone(host.paths, patience):
        if shelf.load(host.paths, container, name) is not None:
            return
        staged = make(host, container, name, of_schedule, patience, memory)
        try:
            with lock.held(host.paths, True, {"doing": f"snapshot {name} of {container}"}, patience):
                # Since its files were copied it may have gone, and its snapshots with it.
                kept = record.load(staged)
                if kept is None or _record(host, container).uuid != kept.uuid:
                    raise SnapshotError(f"{container} was made anew while it was copied; try again")
                shelf.publish(host.paths, staged, container, name)
        except BaseException:
            files.remove_tree(staged)
            raise


def memory_unfit(host: Host, container: str) -> list[str]:
    """What forbids that a container's memory is part of a snapshot, a sentence each.

    Raises ``SnapshotError`` or ``TimeoutError``.
    """
    here, pid = _record(host, container), lxc.init_pid(host, container)
    return look.unfit(host, Box(here, host.paths.container(container), pid))


def make(host: Host, container: str, name: str, of_schedule: str | None, patience: float, memory: bool = False) -> str:
    """The directory of a snapshot that is not one yet. The caller is ``shelf.alone``."""
    staged = f"{host.paths.taking}/{container}.{name}"
    os.mkdir(staged, 0o700)
    try:
        _fill(host, container, name, staged, of_schedule, patience, memory)
    except BaseException:
        files.remove_tree(staged)
        raise
    return staged


def _fill(
    host: Host, container: str, name: str, staged: str, of_schedule: str | None, patience: float, memory: bool
) -> None:
    before = _record(host, container)
    directory, layer = host.paths.container(container), shelf.layer_of(before)
    os.mkdir(f"{staged}/{layer}", 0o700)
    os.symlink(
        f"../../../templates/{before.fields['template']}/{before.template_version}", f"{staged}/{shelf.TEMPLATE}"
    )
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(store.opened(directory))
        source = stack.enter_context(_opened(layer, place))
        copy = stack.enter_context(_opened(f"{staged}/{layer}"))
        replica = trees.Replica(source, copy)
        replica.approach()
        with lock.held(host.paths, True, {"doing": f"snapshot {name} of {container}"}, patience):
            freezer.thaw_leftovers(host.paths, host.cgroup)
            # A CRIU that a killed run has left at work might let it go on in the middle of this.
            suspend.put_right(host, container)
            kept = _still(host, before, source)
            with contextlib.ExitStack() as still:
                began = time.monotonic()
                box = Box(kept, directory, lxc.init_pid(host, container))
                images = None
                if memory:
                    images = still.enter_context(shot.still(host, box))
                elif box.pid:
                    still.enter_context(freezer.frozen(host.paths, host.cgroup, container))
                taken = datetime.now(timezone.utc)
                size = replica.finish()
            frozen_s = round(time.monotonic() - began, 3)
            if images:
                os.rename(images, f"{staged}/{shelf.MEMORY}")
        syscalls.sync_filesystem(copy)
    about = {"container": container, "name": name, "taken": schedule.as_text(taken), "schedule": of_schedule,
             "bytes": size.bytes, "files": size.files, "frozen_s": frozen_s,
             "memory": _of_memory(host, staged) if images else None}  # fmt: skip
    batch = files.Batch()
    kept.save(staged, batch)
    batch.write(f"{staged}/{shelf.ABOUT}", files.as_json(about), mode=0o600)
    batch.commit()


def _of_memory(host: Host, staged: str) -> dict[str, Any]:
    images = os.scandir(f"{staged}/{shelf.MEMORY}")
    return {"bytes": sum(image.stat().st_size for image in images), "traits": look.traits(host)}


@contextlib.contextmanager
def _opened(path: str, beside: int | None = None) -> Iterator[int]:
    fd = os.open(path, _DIRECTORY, dir_fd=beside)
    try:
        yield fd
    finally:
        os.close(fd)


def _record(host: Host, container: str) -> Record:
    found = record.load(host.paths.container(container))
    if found is None:
        raise SnapshotError(f"{container} is not on this node")
    return found


def _still(host: Host, before: Record, source: int) -> Record:
    """The container's record now, if it is the same container with the same root filesystem."""
    now = record.load(host.paths.container(before.name))
    if now is not None and (now.uuid, now.template_version) == (before.uuid, before.template_version):
        with contextlib.suppress(OSError), store.opened(host.paths.container(before.name)) as again:
            same = os.stat(shelf.layer_of(before), dir_fd=again, follow_symlinks=False)
            if os.path.samestat(same, os.fstat(source)):
                return now
    raise SnapshotError(f"{before.name} was rebuilt, moved or removed while it was copied; try again")
