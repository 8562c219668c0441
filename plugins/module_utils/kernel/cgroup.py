# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups, version 2 and version 1, behind one pair of hands.

The limits of a container are files in the directory ``carve/NAME`` of each hierarchy, a path that Carve chooses
(lxc.cgroup.dir.container) and therefore never has to look up. Values are those of the field table: bytes, processors,
weights from 1 to 10000 with 100 as the middle, ``None`` for no limit.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
# Below these, in every hierarchy, lie the directories of the containers and of the processes that watch over them.
PARENT, MONITORS = "carve", "carve-monitor"
PERIOD = 100000  # microseconds, the kernel's default for cpu.max (cgroup-v2.rst)
_V1_UNLIMITED = 1 << 62


class Cgroup(ABC):
    """What both versions share. ``version`` is 1 or 2."""

    version = 2

    @abstractmethod
    def directories(self, name: str, parent: str = PARENT) -> list[str]:
        """The directory of a container (or of its monitor process) in every hierarchy."""

    @abstractmethod
    def path(self, name: str, controller: str, file: str) -> str:
        """The path of one control file."""

    def read(self, name: str, controller: str, file: str) -> str | None:
        """A file's text, or ``None`` when the kernel has no such file for this container."""
        try:
            with open(self.path(name, controller, file), encoding="ascii") as handle:
                return handle.read().strip()
        except OSError:
            return None

    def has(self, controller: str, file: str) -> bool:
        """Whether the kernel offers a control file at all: in version 1 the root of a hierarchy has them, too."""
        return os.path.exists(os.path.dirname(os.path.dirname(self.path("-", controller, "-"))) + f"/{file}")

    def write(self, name: str, controller: str, file: str, value: object) -> None:
        """Write a value; the kernel's refusal comes as ``OSError``."""
        with open(self.path(name, controller, file), "w", encoding="ascii") as handle:
            handle.write(str(value))

    def remove_leftovers(self, name: str) -> None:
        """Remove what an unclean end left: LXC starts no container in a directory that exists."""
        for top in (*self.directories(name), *self.directories(name, MONITORS)):
            for directory, _children, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


class CgroupV2(Cgroup):
    version = 2

    def directories(self, name: str, parent: str = PARENT) -> list[str]:
        return [f"{ROOT}/{parent}/{name}"]

    def path(self, name: str, controller: str, file: str) -> str:
        return f"{ROOT}/{PARENT}/{name}/{file}"


class CgroupV1(Cgroup):
    version = 1

    def __init__(self, hierarchies: dict[str, str], all_mounts: list[str]) -> None:
        self._hierarchies = hierarchies
        self._mounts = all_mounts

    def directories(self, name: str, parent: str = PARENT) -> list[str]:
        return [f"{mount}/{parent}/{name}" for mount in self._mounts]

    def path(self, name: str, controller: str, file: str) -> str:
        return f"{self._hierarchies.get(controller, ROOT + '/' + controller)}/{PARENT}/{name}/{file}"

    def controllers(self) -> frozenset[str]:
        return frozenset(self._hierarchies)


def detect() -> Cgroup:
    """The version that holds the memory controller on this node."""
    hierarchies: dict[str, str] = {}
    mounts: list[str] = []
    for kind, where, options in _mounts():
        if kind == "cgroup2":
            if where == ROOT:
                return CgroupV2()
            mounts.append(where)
        elif kind == "cgroup":
            mounts.append(where)
            hierarchies.update({option: where for option in options if "=" not in option})
    return CgroupV1(hierarchies, mounts)


def _mounts() -> Iterator[tuple[str, str, list[str]]]:
    with open("/proc/self/mounts", encoding="utf-8") as handle:
        for line in handle:
            _source, where, kind, options, *_rest = line.split()
            yield kind, where, options.split(",")


def parse_limit(text: str | None) -> int | None:
    """A limit as either version prints it; ``None`` when there is none."""
    if text is None or text in ("max", "-1", ""):
        return None
    number = int(text.split()[0])
    return None if number >= _V1_UNLIMITED else number


def keyed(text: str | None) -> dict[str, int]:
    """A flat keyed file such as memory.stat."""
    return {key: int(value) for key, value in (line.split() for line in (text or "").splitlines())}
