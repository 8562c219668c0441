# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Namespaces: visiting those of a container, and making a user namespace that carries an id mapping."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .. import slots
from . import syscalls

T = TypeVar("T")


@contextlib.contextmanager
def held(kinds: int) -> Iterator[int]:
    """The process id of a child that holds new namespaces of these kinds and does nothing else.

    Only a process can hold a new user namespace, and one with threads cannot make it.
    """
    parent = os.getpid()
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # It has a copy of every descriptor of the run, the lock's too, and must not outlive it with them.
            syscalls.die_with_parent()
            if os.getppid() == parent:
                syscalls.unshare(kinds)
                os.write(ready_write, b"1")
                signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(ready_write)
        if os.read(ready_read, 1) != b"1":
            raise OSError("the kernel gives no user namespace (user.max_user_namespaces)")
        yield child
    finally:
        os.close(ready_read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def userns_fd(slot: int) -> int:
    """A descriptor of a user namespace in which id 0 is the first id of ``slot`` (user_namespaces(7))."""
    with held(syscalls.CLONE_NEWUSER) as child:
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{kind}", "w", encoding="ascii") as handle:
                handle.write(f"0 {slots.base_id(slot)} {slots.RANGE}")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def apart(work: Callable[[], T]) -> T:
    """The result of ``work``, run with a mount namespace of its own: what it mounts is gone with it, come what may."""

    def run() -> T:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.make_mounts_private()
        return work()

    return inside(run)


def inside(work: Callable[[], T], *namespaces: tuple[int, str]) -> T:
    """The result of ``work``, run in a thread that has entered the given ``(kind, path)`` namespaces.

    A thread of its own, since a thread that has left the host's namespaces should not come back to other work.
    """
    result: list[Any] = []

    def run() -> None:
        try:
            for kind, path in namespaces:
                enter(kind, path)
            result.append((True, work()))
        except BaseException as error:  # noqa: BLE001 - handed on to the caller below
            result.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    done, value = result[0]
    if not done:
        raise value
    return value


def enter(kind: int, path: str) -> None:
    """Take the calling thread into a namespace. It should be a thread made for that."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if kind == syscalls.CLONE_NEWNS:
            syscalls.unshare(syscalls.CLONE_FS)  # its root and working directory change with it
        syscalls.setns(fd, kind)
    finally:
        os.close(fd)
