# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of Carve's own on the node: written whole, or not at all.

LXC's hook loads this module at every start of a container, so what only changes need is loaded where it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, AnyStr

from .kernel import syscalls

FULL = os.strerror(errno.ENOSPC)
_SYNCS_AT_ONCE = 16  # a file system puts what is synced at once on disk together


class Batch:
    """Files that are replaced together: all written and on disk first, then each by one rename."""

    def __init__(self) -> None:
        self._staged: dict[str, str] = {}

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Stage a file; nothing is visible of it before ``commit``."""
        temporary = _unfinished(path)
        self._discard(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # of a run that was killed; the node's lock says that nobody writes it now
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._staged[path] = temporary
        with open(fd, "w", encoding="utf-8") as handle:
            handle.write(text)
            os.fchmod(fd, mode)

    def commit(self) -> None:
        """Make every staged file visible, and durable."""
        try:
            sync(self._staged.values())
            for path, temporary in self._staged.items():
                os.rename(temporary, path)
            sync({os.path.dirname(path) for path in self._staged})
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing of what was staged and not committed."""
        for path in list(self._staged):
            self._discard(path)

    def _discard(self, path: str) -> None:
        with contextlib.suppress(OSError, KeyError):
            os.unlink(self._staged.pop(path))


def _unfinished(path: str) -> str:
    return f"{os.path.dirname(path)}/.{os.path.basename(path)}.new"


def remove_unfinished(path: str) -> None:
    """Remove what a killed run has left of a file that it was about to replace."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(_unfinished(path))


def sync(paths: Iterable[str]) -> None:
    """Put files and directories on disk, several at once (fsync(2))."""
    todo = list(paths)
    if len(todo) == 1:
        _sync(todo[0])
    elif todo:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(_sync, todo))


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file by one rename; its content is on disk before its name is."""
    batch = Batch()
    batch.write(path, text, mode)
    batch.commit()


def write_json(path: str, data: Any, mode: int = 0o644) -> None:
    write(path, as_json(data), mode)


def as_json(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def read(path: str) -> str | None:
    """The text of a file, or ``None`` when it is not there. Bytes that are no text are told from all that is.

    Lines end where the kernel ends them: a carriage return in some name is no end of one.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def printable(text: str) -> str:
    """A name of the kernel's as it can be told: bytes that are no UTF-8 (PEP 383) replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_json(path: str) -> Any:
    """The content of a JSON file, or ``None`` when it is not there or not JSON."""
    text = read(path)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def exchange(one: str, other: str) -> None:
    """Let two directories change places in one step (renameat2(2), RENAME_EXCHANGE)."""
    syscalls.rename_exchange(one, other)


def remove_tree(path: str) -> None:
    """Remove a directory that nothing is mounted in; one that is not there is fine.

    By rm(1), which goes as deep as a container's root may have nested directories; Python's own remover calls itself
    for each, and ends in an error that is none of the file system.
    """
    if not os.path.lexists(path):
        return
    import subprocess

    command = ["rm", "-rf", "--one-file-system", "--", path]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise OSError((done.stderr.splitlines() or [f"{path} cannot be removed"])[0])


def walk(
    top: AnyStr, onerror: Callable[[OSError], None] | None = None
) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
    """os.walk(), from the top down and through no links. Before Python 3.12 that calls itself for each level, and a
    container's root may have made more levels than Python has."""
    left = [top]
    while left:
        directory = left.pop()
        folders: list[AnyStr] = []
        others: list[AnyStr] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            continue
        yield directory, folders, others
        left += [os.path.join(directory, name) for name in reversed(folders)]


def remove_mounted_tree(path: str) -> None:
    """Remove a directory in which something may still be mounted, such as what a killed run has left.

    That run's rm(1) may still be at work: what it removes first is fine.
    """
    from .kernel import mountinfo  # here, for LXC's hook removes nothing

    points = [mount.place for mount in mountinfo.of()]
    for point in sorted((p for p in points if p == path or p.startswith(f"{path}/")), reverse=True):
        syscalls.umount(point, syscalls.MNT_DETACH)
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
