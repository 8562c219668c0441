# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts of which CRIU could write how they share with others, and not make it so again.

It makes one mount of a peer group as it was, and copies that from there to the rest of the group. The kernel allows
this only between mounts of one directory, or to one below (move_mount(2), MOVE_MOUNT_SET_GROUP). systemd gives each
confined service a mount of a directory of its own, ``/run/systemd/incoming``, that only receives; all of these are one
group, and none shows the others' directories. With a peer group of its own each receives as before, and can be made
anew.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..engines import lxc
from ..kernel import mountinfo, namespaces, syscalls
from ..kernel.mountinfo import Mount


@dataclass(frozen=True)
class Receiver:
    """A mount that receives from a peer group and gives to none (mount_namespaces(7), MS_SLAVE)."""

    # A process in whose mount namespace it is.
    pid: int
    place: str
    # Which directory of which filesystem it shows.
    device: str
    root: str
    master: str


def receivers(pid: int, mounts: Iterable[Mount]) -> list[Receiver]:
    """Those of one mount namespace, of which these are all mounts."""
    found = []
    for mount in mounts:
        tags = dict(tag.partition(":")[::2] for tag in mount.tags)
        if "master" in tags and "shared" not in tags:
            found.append(Receiver(pid, mount.place, mount.device, mount.root, tags["master"]))
    return found


def unlike(found: Iterable[Receiver]) -> list[Receiver]:
    """Those that are in one group with others of another directory."""
    groups: dict[tuple[str, str], list[Receiver]] = {}
    for one in found:
        groups.setdefault((one.device, one.master), []).append(one)
    return [one for group in groups.values() if len({other.root for other in group}) > 1 for one in group]


def separate(pids: Mapping[str, int]) -> None:
    """Give such mounts groups of their own; ``pids`` is a process of each mount namespace of the container.

    Raises ``EngineError`` where one stays as it was: it could be written, and never be made anew.
    """
    for one in _unlike_in(pids):
        share = functools.partial(syscalls.make_mount_shared, one.place)
        namespaces.inside(share, (syscalls.CLONE_NEWNS, f"/proc/{one.pid}/ns/mnt"))
    left = _unlike_in(pids)
    if left:
        raise lxc.EngineError(
            f"{left[0].place} of process {left[0].pid} shares mounts in a way that CRIU cannot make anew"
        )


def _unlike_in(pids: Mapping[str, int]) -> list[Receiver]:
    return unlike(one for pid in pids.values() for one in receivers(pid, mountinfo.seen_by(pid)))
