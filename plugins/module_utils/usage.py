# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers use and have used: their beancounters, processor time, disk traffic and network traffic.

The kernel counts for as long as a run lasts. When a run ends, and every few minutes while it lasts, what was counted is
added to a file of the container's on disk; what is reported is that file and the run's counts since. So a power cut
loses a few minutes, and a stop, a restart or a reboot nothing.

LXC's hook loads this module at the end of every run, so it loads little itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from . import beancounters, files, tally
from .kernel import meters
from .kernel.cgroup import Cgroup
from .paths import Paths

FILE = "user_beancounters"
_FOLD_EVERY = 300  # seconds
_TRAFFIC = ("in_bytes", "in_packets", "out_bytes", "out_packets")
_CPU = ("cpu_us", "throttled_us", "throttled_times")
_DISKS = ("read_bytes", "written_bytes", "reads", "writes")
Cards = dict[str, "tuple[int, int, int, int]"]
Levels = dict[str, "dict[str, int | None]"]


class Subject:
    """A container as far as its use is concerned."""

    def __init__(self, name: str, uuid: str, slot: int, pid: int | None = None) -> None:
        self.name, self.uuid, self.slot, self.pid = name, uuid, slot, pid


def load(paths: Paths, name: str, uuid: str) -> tally.Tally:
    return tally.of(files.read_json(paths.usage(name)), uuid)


def end_of_run(paths: Paths, group: Cgroup, subject: Subject) -> None:
    """Keep what a run has used whose processes have all ended, and whose control groups and pairs are still there."""
    with _alone(paths):
        found = _counted(group, subject, meters.pairs())
        before = load(paths, subject.name, subject.uuid)
        after = _folded(before, found)
        if after != before:
            os.makedirs(paths.usages, mode=0o711, exist_ok=True)
            files.write_json(paths.usage(subject.name), after, mode=0o600)


def refresh(paths: Paths, group: Cgroup, subjects: list[Subject]) -> None:
    """Show running containers how they stand, and keep what they have used if that was last done a while ago."""
    # Whoever ends a run waits for the lock, and how long a look into a container takes is up to the container.
    looks = {subject.name: _look(subject) for subject in subjects}
    with _alone(paths):
        batch, cards = files.Batch(), meters.pairs()
        for subject in subjects:
            found = _counted(group, subject, cards)
            if found.run is None:
                continue
            found.levels.update(looks[subject.name])
            before = load(paths, subject.name, subject.uuid)
            after = _folded(before, found)
            if _is_old(paths.usage(subject.name)):
                batch.write(paths.usage(subject.name), files.as_json(after), mode=0o600)
            show(paths, subject, beancounters.rows(found.levels, after["totals"], after["peaks"]))
        batch.commit()


def show(paths: Paths, subject: Subject, rows: dict[str, beancounters.Row]) -> None:
    """Put the beancounters where the container sees them. The directory is the node's: nothing of the container's is
    followed or written."""
    place = paths.shown(subject.name)
    temporary = f"{place}/.{FILE}"
    # One that was started by an earlier version has none.
    with contextlib.suppress(FileNotFoundError):
        with open(temporary, "w", encoding="ascii") as handle:
            handle.write(beancounters.as_text(subject.slot, rows))
        os.chmod(temporary, 0o444)
        os.rename(temporary, f"{place}/{FILE}")


def report(paths: Paths, group: Cgroup, subject: Subject, cards: Cards) -> dict[str, Any]:
    """What a container uses and has used, for ``carve.vps.node_info``. Changes nothing."""
    found = _counted(group, subject, cards) if subject.pid else meters.Reading()
    if found.run is not None:
        found.levels.update(_look(subject))
    after = _folded(load(paths, subject.name, subject.uuid), found)
    totals = after["totals"]
    traffic: dict[str, dict[str, int]] = {}
    for key, value in sorted(totals.items()):
        if key.startswith("net."):
            interface, _dot, what = key[len("net.") :].rpartition(".")
            traffic.setdefault(interface, dict.fromkeys(_TRAFFIC, 0))[what] = value
    return {
        "beancounters": beancounters.rows(found.levels, totals, after["peaks"]),
        "cpu": {key: totals.get(key) for key in _CPU},
        "disk_traffic": {key: totals.get(key) for key in _DISKS},
        "network_traffic": traffic,
        "network_buffers": found.buffers,
    }


def receive(paths: Paths, name: str, uuid: str, data: Any) -> None:
    """Keep the tally of a container that came from another node."""
    os.makedirs(paths.usages, mode=0o711, exist_ok=True)
    files.write_json(paths.usage(name), tally.of(data, uuid), mode=0o600)


def forget(paths: Paths, name: str) -> None:
    """Remove all that is kept of a container that is no more."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(paths.usage(name))
    files.remove_tree(paths.shown(name))


def _counted(group: Cgroup, subject: Subject, cards: Cards) -> meters.Reading:
    """What the node's kernel counts of a container, to be added up."""
    found = meters.read(group, subject.name)
    if found.run is not None:
        meters.add_traffic(found, subject.slot, cards)
    return found


def _look(subject: Subject) -> Levels:
    """What the container's namespaces say: how it stands, and nothing that is added up."""
    found = meters.Reading()
    if subject.pid:
        meters.look_inside(found, subject.pid)
    return found.levels


def _folded(before: tally.Tally, found: meters.Reading) -> tally.Tally:
    return tally.fold(before, found.run, found.counters, found.peaks)


def _is_old(path: str) -> bool:
    try:
        return not 0 <= time.time() - os.stat(path).st_mtime < _FOLD_EVERY
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """From reading to writing: of two who add at once, one would add what the other has added already."""
    os.makedirs(paths.run, mode=0o711, exist_ok=True)
    fd = os.open(paths.usage_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def main(_arguments: list[str]) -> int:
    """The program that the node runs every minute."""
    from .engines import lxc
    from .host import Host

    paths = Paths()
    paths.make()
    host = Host(paths=paths)
    unclear: dict[str, Exception] = {}
    boxes = [box for box in lxc.containers(host, unclear) if box.pid]
    refresh(paths, host.cgroup, [Subject(box.name, box.record.uuid, box.record.slot, box.pid) for box in boxes])
    for error in unclear.values():
        sys.stderr.write(f"carve: {error}\n")
    return 1 if unclear else 0
