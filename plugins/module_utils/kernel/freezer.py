# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping all processes of a container for a moment (freezer-subsystem.rst; cgroup.freeze in cgroup-v2.rst).

Whoever freezes a container may be killed before it has thawed it. So a process of its own waits for the end of that,
and thaws whatever is still frozen; and a note stands where the next run finds it, should both have been killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from .. import files
from ..paths import Paths
from .cgroup import Cgroup

_PATIENCE = 30.0  # seconds; what hangs in the kernel does not freeze
_ANEW = 1.0  # seconds after which version 1 is asked again, from the start
_V1, _V2 = ("FROZEN", "THAWED"), ("1", "0")


@contextlib.contextmanager
def frozen(paths: Paths, group: Cgroup, name: str) -> Iterator[None]:
    """A container that stands still. One that somebody else has frozen stays so. Raises ``OSError``."""
    file, (freeze, thaw) = _control(group, name)
    if is_frozen(group, name):
        yield
        return
    note = paths.frozen(name)
    files.write(note, "")
    try:
        with _guarded(file, thaw):
            try:
                _freeze(group, name, file, freeze)
                yield
            finally:
                _write(file, thaw)
    finally:
        os.unlink(note)


def thaw_leftovers(paths: Paths, group: Cgroup) -> None:
    """Thaw what killed runs have left frozen. The caller holds the node's lock: nobody freezes anything now."""
    for note in paths.frozen_notes():
        file, (_freeze, thaw) = _control(group, paths.of_frozen_note(note))
        with contextlib.suppress(OSError):  # it runs no more
            _write(file, thaw)
        os.unlink(note)


def is_frozen(group: Cgroup, name: str) -> bool:
    if group.version == 2:
        return "frozen 1" in (group.read(name, "cgroup", "cgroup.events") or "").splitlines()
    return group.read(name, "freezer", "freezer.state") == "FROZEN"


def _control(group: Cgroup, name: str) -> tuple[str, tuple[str, str]]:
    if group.version == 2:
        return group.path(name, "cgroup", "cgroup.freeze"), _V2
    return group.path(name, "freezer", "freezer.state"), _V1


def _freeze(group: Cgroup, name: str, file: str, word: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        _write(file, word)
        anew = min(time.monotonic() + _ANEW, deadline) if group.version == 1 else deadline
        while time.monotonic() < anew:
            if is_frozen(group, name):
                return
            time.sleep(0.002)
        if anew == deadline:
            raise OSError(f"{name} cannot be frozen: a process in it hangs in the kernel")
        # Version 1 may stay between its two states where processes wait for each other while they are frozen.
        _write(file, _V1[1])


def _write(file: str, word: str) -> None:
    with open(file, "w", encoding="ascii") as handle:
        handle.write(word)


@contextlib.contextmanager
def _guarded(file: str, word: str) -> Iterator[None]:
    """Writes a word into a file should this process end before it leaves here."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(theirs)
            if os.read(ours, 1) == b"":
                _write(file, word)
        finally:
            os._exit(0)
    try:
        os.close(ours)
        yield
        os.write(theirs, b".")
    finally:
        os.close(theirs)
        os.waitpid(child, 0)
