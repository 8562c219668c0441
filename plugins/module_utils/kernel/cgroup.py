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
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

from .. import files

ROOT = "/sys/fs/cgroup"
# Below these, in every hierarchy, lie the directories of the containers and of the processes that watch over them.
PARENT, MONITORS = "carve", "carve-monitor"
PERIOD = 100000  # microseconds, the kernel's default for cpu.max (cgroup-v2.rst)
_V1_UNLIMITED = 1 << 62
_LOOKS, _SHORTLY = 4, 0.05  # seconds


def _from_below(top: str) -> list[str]:
    """The groups at and below one, each after those that it contains."""
    return [directory for directory, _children, _files in files.walk(top)][::-1]


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
        return _text(self.path(name, controller, file))

    def has(self, controller: str, file: str) -> bool:
        """Whether the kernel offers a control file at all: in version 1 the root of a hierarchy has them, too."""
        return os.path.exists(os.path.dirname(os.path.dirname(self.path("-", controller, "-"))) + f"/{file}")

    def read_root(self, controller: str, file: str) -> str | None:
        """A file of the whole hierarchy's, or ``None`` when the kernel has no such file."""
        return _text(f"{os.path.dirname(os.path.dirname(self.path('-', controller, '-')))}/{file}")

    @abstractmethod
    def offers(self, controller: str) -> bool:
        """Whether the kernel has a controller."""

    def write(self, name: str, controller: str, file: str, value: object) -> None:
        """Write a value; the kernel's refusal comes as ``OSError``."""
        with open(self.path(name, controller, file), "w", encoding="ascii") as handle:
            handle.write(str(value))

    def keep_flat(self, name: str, controller: str) -> None:
        """No groups below the container's, now or later: what is in some comes up, and LXC's gift of the directory to
        the container's root is taken back. Of use in version 1 only, where some controllers know no hierarchy."""
        top = os.path.dirname(self.path(name, controller, "-"))
        for directory, _children, _files in files.walk(top):
            os.chown(directory, 0, 0)
        for directory in _from_below(top):
            if directory != top:
                for pid in (_text(f"{directory}/cgroup.procs") or "").split():
                    with contextlib.suppress(OSError):  # it has ended
                        self.write(name, controller, "cgroup.procs", pid)
                os.rmdir(directory)

    def sum_up(self, controller: str, file: str) -> None:  # noqa: B027 - version 1 has nothing that asks for it
        """Give the group of all containers the sum of what theirs have in a file."""

    def off_sum(self, controller: str, file: str) -> tuple[int, int] | None:
        """What the group of all containers has in a file and the sum of theirs, where these are not the same."""
        return None

    def remove_leftovers(self, name: str) -> None:
        """Remove what an unclean end left: LXC starts no container in a directory that exists."""
        for top in (*self.directories(name), *self.directories(name, MONITORS)):
            for directory in _from_below(top):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


class CgroupV2(Cgroup):
    version = 2

    def directories(self, name: str, parent: str = PARENT) -> list[str]:
        return [f"{ROOT}/{parent}/{name}"]

    def path(self, name: str, controller: str, file: str) -> str:
        return f"{ROOT}/{PARENT}/{name}/{file}"

    def sum_up(self, controller: str, file: str) -> None:
        top, written = f"{ROOT}/{PARENT}", None
        # Several may be at it; whoever writes last has read what the others did.
        while (wanted := _sum(top, file)) != written and os.path.exists(f"{top}/{file}"):
            with open(f"{top}/{file}", "w", encoding="ascii") as handle:
                handle.write(str(wanted))
            written = wanted

    def off_sum(self, controller: str, file: str) -> tuple[int, int] | None:
        top, found = f"{ROOT}/{PARENT}", None
        for look in range(_LOOKS):
            if look:
                # A container that starts or ends at this moment has its own before the sum has it.
                time.sleep(_SHORTLY)
            have = _text(f"{top}/{file}")
            # "max" protects everything: of no use as a sum.
            found = None if have is None else (_V1_UNLIMITED if have == "max" else int(have), _sum(top, file))
            if found is None or found[0] == found[1]:
                return None
        return found

    def offers(self, controller: str) -> bool:
        return controller in (_text(f"{ROOT}/cgroup.controllers") or "").split()


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

    def offers(self, controller: str) -> bool:
        return controller in self._hierarchies


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


def _sum(top: str, file: str) -> int:
    """Of one file in each of the directories below."""
    names = os.listdir(top) if os.path.isdir(top) else []
    return sum(parse_limit(_text(f"{top}/{name}/{file}")) or 0 for name in names)


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return None


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
