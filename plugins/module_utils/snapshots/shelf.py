# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The snapshots that a node has: ``snapshots/CONTAINER/SNAPSHOT``, each a directory that is whole or not there.

In it are the layer of files (``upper`` or ``copy``) with the ids that it has in the container's directory, CRIU's
images of its processes where they were asked for (``memory``), the record
of the container at that time, ``snapshot.json``, and ``template``, a link to the template version below the layer,
which is kept for as long as the link is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import files, record
from ..paths import Paths
from ..record import Record
from .schedule import Taken, from_text

ABOUT, TEMPLATE, MEMORY = "snapshot.json", "template", "memory"


class SnapshotError(Exception):
    """A snapshot cannot be taken or used; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """An earlier state of a container's files. ``about`` is as it stands in the file."""

    container: str
    name: str
    directory: str
    record: Record
    about: Mapping[str, Any]

    @property
    def taken(self) -> Taken:
        return Taken(self.name, self.about.get("schedule"), from_text(self.about["taken"]))

    @property
    def layer(self) -> str:
        return f"{self.directory}/{layer_of(self.record)}"

    @property
    def memory(self) -> str | None:
        """The images of its processes, where it has them."""
        return f"{self.directory}/{MEMORY}" if self.about.get("memory") else None

    @property
    def bytes(self) -> int:
        """What it takes on disk, beyond the template."""
        memory = self.about.get("memory") or {}
        return int(self.about["bytes"]) + int(memory.get("bytes", 0))

    def public(self) -> dict[str, Any]:
        """What is told of it."""
        template = f"{self.record.fields['template']}@{self.record.digest}"
        memory = (self.about.get("memory") or {}).get("bytes")
        return {**{key: self.about.get(key) for key in ("taken", "schedule", "bytes", "files", "frozen_s")},
                "memory_bytes": memory, "template": template}  # fmt: skip


def layer_of(of: Record) -> str:
    """The directory of a container's own files, in its place and in a snapshot."""
    return "copy" if of.backend == "copy" else "upper"


def listed(paths: Paths, container: str) -> list[Snapshot]:
    """The snapshots of a container, oldest first."""
    found = [one for name in _names(f"{paths.snapshots}/{container}") if (one := load(paths, container, name))]
    return sorted(found, key=lambda one: (one.taken.time, one.name))


def load(paths: Paths, container: str, name: str) -> Snapshot | None:
    directory = paths.snapshot(container, name)
    about, kept = files.read_json(f"{directory}/{ABOUT}"), record.load(directory)
    return Snapshot(container, name, directory, kept, about) if about and kept else None


def containers(paths: Paths) -> list[str]:
    """The containers of which there are snapshots, be they on this node or not."""
    return [name for name in _names(paths.snapshots) if not name.startswith(".")]


def needed_templates(paths: Paths) -> dict[str, tuple[tuple[str, str], ...]]:
    """The template versions that each container's snapshots lie on, one for each snapshot, and those of what is being
    made. Read on every run: no file is opened for it."""
    # First, for what is made meanwhile is then among the others.
    making = [_template_of(f"{paths.taking}/{name}") for name in _names(paths.taking)]
    found = {"": tuple(version for version in making if version is not None)}
    for container in containers(paths):
        all_of_it = [_template_of(paths.snapshot(container, name)) for name in _names(f"{paths.snapshots}/{container}")]
        found[container] = tuple(version for version in all_of_it if version is not None)
    return found


def _template_of(directory: str) -> tuple[str, str] | None:
    try:
        template, version = os.readlink(f"{directory}/{TEMPLATE}").split("/")[-2:]
    except OSError:
        return None
    return template, version


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def publish(paths: Paths, staged: str, container: str, name: str) -> None:
    """Let a snapshot that was made aside be one."""
    parent = f"{paths.snapshots}/{container}"
    os.makedirs(parent, mode=0o700, exist_ok=True)
    os.rename(staged, paths.snapshot(container, name))
    files.sync([parent, paths.snapshots])


def remove(paths: Paths, container: str, name: str) -> None:
    """Remove a snapshot: gone at one stroke."""
    os.makedirs(paths.taking, mode=0o700, exist_ok=True)
    gone = f"{paths.taking}/{container}.{name}.gone"
    files.remove_tree(gone)
    os.rename(paths.snapshot(container, name), gone)
    with contextlib.suppress(OSError):
        os.rmdir(f"{paths.snapshots}/{container}")
    files.sync([paths.snapshots])
    files.remove_tree(gone)


def forget(paths: Paths, container: str) -> None:
    """Remove all snapshots of a container."""
    for name in _names(f"{paths.snapshots}/{container}"):
        remove(paths, container, name)


@contextlib.contextmanager
def alone(paths: Paths, patience: float) -> Iterator[None]:
    """One at a time copies containers' files. What a killed one has left is removed. Raises ``SnapshotError``."""
    os.makedirs(paths.run, mode=0o711, exist_ok=True)
    fd = os.open(paths.snapshots_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SnapshotError("another snapshot or backup is being made on this node; try again") from None
            time.sleep(0.1)
        os.makedirs(paths.taking, mode=0o700, exist_ok=True)
        for name in os.listdir(paths.taking):
            files.remove_mounted_tree(f"{paths.taking}/{name}")
        yield
    finally:
        os.close(fd)
