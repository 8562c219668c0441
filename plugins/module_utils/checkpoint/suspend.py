# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container goes to disk with its memory, and comes back.

Its images lie beside its other files, so that they go wherever those go. They are written aside and get their name when
they are whole and on disk, and when nothing of the container runs any more; what has the name is made anew once, and is
gone when that is known to have gone well. So images are never older than the files that the container has written.

``memory.ahead`` is memory that was written while it still ran; what is written in the end refers to it.
"""

from __future__ import annotations

import contextlib
import os
import time

from .. import files, rootfs
from ..engines import lxc
from ..facets import network
from ..host import Box, Host
from ..kernel import announce, cgroup
from ..paths import MEMORY, USED
from . import criu, tree

WHOLE, AHEAD, PART, _GONE = MEMORY, "memory.ahead", "memory.part", "memory.gone"
# Of a container that goes on (``shot.py``): its files are soon newer, and it is never made anew of this.
SHOT = "memory.shot"
_LOOKS = 120  # at an init that may have much to do after it was away, on a node that may have much to do as well
_LOOK = 0.5  # seconds
_BUSY = 0.9  # of a processor


class AtWork(lxc.EngineError):
    """CRIU still writes or reads a container's images, for a run that was killed; it ends by itself."""


def is_suspended(directory: str) -> bool:
    return os.path.isdir(f"{directory}/{WHOLE}") and not os.path.exists(f"{directory}/{WHOLE}/{USED}")


def write_ahead(host: Host, box: Box) -> bool:
    """Write the memory of a container that goes on running, so that less is left to write when it is suspended; whether
    that could be done."""
    ahead = f"{box.directory}/{AHEAD}"
    files.remove_tree(ahead)
    if not criu.can_track_memory():
        return False
    make_place(ahead, box)
    try:
        criu.dump(host, box, ahead, criu.AHEAD)
    except lxc.EngineError:
        files.remove_tree(ahead)
        return False
    return True


def suspend(host: Host, box: Box, ahead: bool = False) -> int:
    """Put a running container to disk; the bytes of its images. Raises ``EngineError``, and it goes on running then.

    ``ahead``: the caller has just written most of its memory (``write_ahead``). What another run has written so may be
    of processes that are no more.
    """
    put_right(host, box.name, keep_ahead=ahead)
    part = f"{box.directory}/{PART}"
    make_place(part, box)
    # Without the note, the hook takes its end for what it is.
    note = files.read(host.paths.restored(box.name))
    _forget(host, box.name)
    try:
        criu.dump(host, box, part, criu.WHOLE, AHEAD if ahead else None)
    except BaseException:
        if lxc.init_pid(host, box.name) is not None:
            discard(box.directory)
            files.remove_tree(part)
            _note(host, box.name, note)
        raise
    _name(box.directory)
    lxc.await_end(host, box.name)
    rootfs.unmount(box.directory)
    box.pid = None
    return size(box.directory)


def make_place(place: str, box: Box) -> None:
    """An empty directory for images.

    Those who read them at a restore are the container's root already; nobody else is
    to, for all its secrets are in them."""
    files.remove_tree(place)
    os.mkdir(place, 0o700)
    os.chown(place, box.record.base_id, box.record.base_id)


def _name(directory: str) -> None:
    os.rename(f"{directory}/{PART}", f"{directory}/{WHOLE}")
    files.sync([directory])


def resume(host: Host, box: Box) -> None:
    """Make a suspended container anew where its files are, as ``power.start`` starts others. Raises ``EngineError``;
    the images are kept then, unless its processes have run again for a moment."""
    images = f"{box.directory}/{WHOLE}"
    host.cgroup.remove_leftovers(box.name)
    host.paths.make_shown(box.name)
    # LXC does this at a start, and not at a restore.
    for directory in (cgroup.ROOT, f"{cgroup.ROOT}/{cgroup.PARENT}"):
        os.makedirs(directory, exist_ok=True)
        tree.allow(directory, (files.read(f"{directory}/cgroup.controllers") or "").split())
    try:
        box.pid = criu.restore(host, box, images)
    except lxc.EngineError:
        if not is_suspended(box.directory):
            raise
        # Nothing of it has run. CRIU 4.1 was once seen to read an image before it was whom the file lets; the same
        # images were well the next time.
        network.clear(box)
        network.enclose(box)
        box.pid = criu.restore(host, box, images)
    try:
        _note_monitor(host, box.name, box.pid)
        # Neighbours that are not told find out; an interface that the container has taken down or renamed is its own.
        with contextlib.suppress(OSError):
            announce.addresses(box.pid, network.bridged(box))
        _verify(host, box)
    except BaseException:
        _undo(host, box)
        discard(box.directory)
        raise
    discard(box.directory)


def _note(host: Host, name: str, monitor: str | None) -> None:
    if monitor:
        with open(host.paths.restored(name), "w", encoding="ascii") as handle:
            handle.write(monitor)


def _forget(host: Host, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(host.paths.restored(name))


def _note_monitor(host: Host, name: str, pid: int) -> None:
    """What the hook notes of a container that is started: its monitor; and that this one was restored."""
    stat = files.read(f"/proc/{pid}/stat")
    if stat is None:
        raise lxc.EngineError("its init ended at once")
    monitor = stat.rpartition(")")[2].split()[1]
    with open(host.paths.monitor(name), "w", encoding="ascii") as handle:
        handle.write(monitor)
    _note(host, name, monitor)


def _verify(host: Host, box: Box) -> None:
    """An init that was made anew wrongly ends, or goes round and round."""
    for _look in range(_LOOKS):
        before = _used(box.pid or 0)
        time.sleep(_LOOK)
        used = _used(box.pid or 0)
        if before is None or used is None or not lxc.is_alive(box.pid or 0):
            raise lxc.EngineError("its init ended at once")
        if not is_spinning(before, used, _LOOK):
            return
    raise lxc.EngineError(f"its init does nothing but go round since it was made anew, for {_LOOKS * _LOOK:.0f} s")


def is_spinning(before: float, after: float, seconds: float) -> bool:
    """Whether a process has used about all the time of a processor, by the seconds that it had used up."""
    return (after - before) / seconds >= _BUSY


def _used(pid: int) -> float | None:
    stat = files.read(f"/proc/{pid}/stat")
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _undo(host: Host, box: Box) -> None:
    """Leave nothing of a container that was made anew and is not well; its images are still there."""
    _forget(host, box.name)
    criu.kill(host, box.name)
    lxc.await_end(host, box.name)
    box.pid = None


def discard(directory: str, keep_ahead: bool = False) -> None:
    """Give the images up: they are gone at one stroke. ``keep_ahead``: but for what was just written ahead."""
    if os.path.isdir(f"{directory}/{WHOLE}"):
        files.remove_tree(f"{directory}/{_GONE}")
        os.rename(f"{directory}/{WHOLE}", f"{directory}/{_GONE}")
        files.sync([directory])
    files.remove_tree(f"{directory}/{_GONE}")
    if not keep_ahead:
        files.remove_tree(f"{directory}/{AHEAD}")


def put_right(host: Host, name: str, keep_ahead: bool = False) -> None:
    """Take up what a run that was killed has left of a container; the caller has the node's lock.

    Raises ``AtWork``, and has touched nothing then.
    """
    directory = host.paths.container(name)
    part, shot = f"{directory}/{PART}", f"{directory}/{SHOT}"
    for images in (part, shot):
        if os.path.isdir(images) and criu.is_at_work(images):
            raise AtWork(f"{name} is being checkpointed by a run that was killed; try again when CRIU is done")
    files.remove_tree(shot)
    if os.path.isdir(part):
        if lxc.init_pid(host, name) is None and criu.has_ended_well(part) and not is_suspended(directory):
            _name(directory)
        else:
            files.remove_tree(part)
    whole = f"{directory}/{WHOLE}"
    # Asked in this order: what CRIU has done when it is asked for, LXC's monitor knows then.
    at_work = os.path.isdir(whole) and criu.is_at_work(whole)
    asleep, pid = is_suspended(directory), lxc.init_pid(host, name)
    # Its monitor keeps the lock. Before that answers, its processes may run already, or be about to.
    if at_work and (asleep or not pid):
        raise AtWork(f"{name} is being resumed by a run that was killed; try again when CRIU is done")
    if pid and os.path.isdir(whole) and not asleep:
        # Made anew by a run that was killed before it could say so.
        _note_monitor(host, name, pid)
    if not asleep or pid:
        discard(directory, keep_ahead)


def has_leftovers(directory: str) -> bool:
    """Whether ``put_right`` may have something to do."""
    found = [name for name in (PART, SHOT, _GONE) if os.path.isdir(f"{directory}/{name}")]
    if not is_suspended(directory):
        found += [name for name in (WHOLE, AHEAD) if os.path.isdir(f"{directory}/{name}")]
    return bool(found)


def size(directory: str) -> int:
    """The bytes of a container's images."""
    places = (f"{directory}/{name}" for name in (WHOLE, AHEAD))
    return sum(entry.stat().st_size for place in places if os.path.isdir(place) for entry in os.scandir(place))
