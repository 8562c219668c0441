# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where backups are kept: a directory of the node, or one of another machine, reached by ssh(1).

A place is ``/srv/backups`` or ``ssh://user@host:port/srv/backups``. The other machine needs a shell and coreutils. What
it is told consists of fixed words and of paths whose characters mean nothing to a shell.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .. import files
from .archive import pipe
from .description import BackupError

_PATH = re.compile(r"/[A-Za-z0-9._+=@/-]+\Z")
_URL = re.compile(
    r"ssh://(?:([A-Za-z0-9_][A-Za-z0-9._-]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::(\d{1,5}))?(/.*)\Z"
)
_CHUNK = 1 << 20
_MISSING = "there is no directory {}; make it, or mount what it lies on"
# What a machine must not lose is on its disk before it is given its name.
_STORE = "umask 077; cat > {path} && sync {path}"


class Place(Protocol):
    """A directory, however far. Paths are relative to it, and made of names that are labels, digests and the like."""

    def check(self) -> None:
        """Raises ``BackupError`` where the place itself is not there: what it should lie on may not be mounted."""

    def names(self, path: str) -> list[str]:
        """What is in a directory; nothing where there is none."""

    def make(self, path: str) -> None:
        """Make a directory, and those above it."""

    def read(self, path: str) -> bytes:
        """A small file."""

    def blocks(self, path: str) -> Iterator[bytes]:
        """A large one."""

    def store(self, path: str, fill: Callable[[Callable[[bytes], Any]], Any]) -> Any:
        """Write a file by what ``fill`` hands on; what ``fill`` returns."""

    def rename(self, old: str, new: str) -> None:
        """Give a directory its name, which nothing must have."""

    def remove(self, path: str) -> None:
        """Remove a directory; one that is not there is fine."""


def parse(text: str, key: str | None = None, host_key: str | None = None) -> Place:
    """The place that is meant. Raises ``ValueError`` with what to write instead."""
    match = _URL.match(text)
    path = match.group(4) if match else text
    if (text.startswith("ssh:") and not match) or not _PATH.match(path) or ".." in path.split("/"):
        raise ValueError(
            f"{text!r} is no place for backups; write a directory such as /srv/backups, or "
            "ssh://user@host/srv/backups, of letters, digits and . _ - + = @"
        )
    if not match:
        return Directory(path)
    return Remote(match.group(1) or "root", match.group(2).strip("[]"), int(match.group(3) or 22), path, key, host_key)


class Directory:
    """A directory of this node."""

    def __init__(self, top: str) -> None:
        self._top = top

    def check(self) -> None:
        if not os.path.isdir(self._top):
            raise BackupError(_MISSING.format(self._top))

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(f"{self._top}/{path}"))
        except FileNotFoundError:
            return []

    def make(self, path: str) -> None:
        with self._telling():
            os.makedirs(f"{self._top}/{path}", mode=0o700, exist_ok=True)

    def read(self, path: str) -> bytes:
        return b"".join(self.blocks(path))

    def blocks(self, path: str) -> Iterator[bytes]:
        with open(f"{self._top}/{path}", "rb") as handle:
            while block := handle.read(_CHUNK):
                yield block

    def store(self, path: str, fill: Callable[[Callable[[bytes], Any]], Any]) -> Any:
        with self._telling(), open(f"{self._top}/{path}", "wb", buffering=0, opener=_private) as handle:
            result = fill(lambda block: _write_all(handle.fileno(), block))
            os.fsync(handle.fileno())
        return result

    def rename(self, old: str, new: str) -> None:
        with self._telling():
            files.sync([f"{self._top}/{old}"])
            os.rename(f"{self._top}/{old}", f"{self._top}/{new}")
            files.sync([os.path.dirname(f"{self._top}/{new}")])

    def remove(self, path: str) -> None:
        files.remove_tree(f"{self._top}/{path}")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Whose disk it is that is full, or cannot be written to."""
        try:
            yield
        except OSError as error:
            raise BackupError(f"{self._top}: {error.strerror or error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _write_all(fd: int, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[os.write(fd, left) :]


class Remote:
    """A directory of another machine."""

    def __init__(self, user: str, host: str, port: int, top: str, key: str | None, host_key: str | None) -> None:
        self._top, self._host, self._host_key = top, host, host_key
        self._options = [
            "-p", str(port), "-l", user, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o",
            "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o", "LogLevel=ERROR",
        ]  # fmt: skip
        if key is not None:
            self._options += ["-i", key, "-o", "IdentitiesOnly=yes"]

    def check(self) -> None:
        if not self._run(f"if [ -d {self._top} ]; then echo there; fi"):
            raise BackupError(f"{self._host}: {_MISSING.format(self._top)}")

    def names(self, path: str) -> list[str]:
        return self._run(f"if [ -d {self._path(path)} ]; then ls -1A {self._path(path)}; fi").decode().split()

    def make(self, path: str) -> None:
        self._run(f"umask 077; mkdir -p {self._path(path)}")

    def read(self, path: str) -> bytes:
        return self._run(f"cat {self._path(path)}")

    def blocks(self, path: str) -> Iterator[bytes]:
        with self._started(f"cat {self._path(path)}", stdout=subprocess.PIPE) as process:
            while block := pipe(process.stdout).read(_CHUNK):
                yield block

    def store(self, path: str, fill: Callable[[Callable[[bytes], Any]], Any]) -> Any:
        process = self._started(_STORE.format(path=self._path(path)), stdin=subprocess.PIPE)
        with process as ssh, contextlib.suppress(BrokenPipeError):  # the other side says why
            return fill(pipe(ssh.stdin).write)
        raise BackupError(f"{self._host} has closed the line")

    def rename(self, old: str, new: str) -> None:
        old, new = self._path(old), self._path(new)
        self._run(f"[ ! -e {new} ] && mv -T {old} {new} && sync {new}")

    def remove(self, path: str) -> None:
        self._run(f"rm -rf {self._path(path)}")

    def _path(self, path: str) -> str:
        full = f"{self._top}/{path}"
        if not _PATH.match(full) or ".." in full.split("/"):
            raise BackupError(f"{full!r} is no path that backups are kept under")
        return full

    def _run(self, command: str) -> bytes:
        with self._started(command, stdout=subprocess.PIPE) as process:
            return pipe(process.stdout).read()

    @contextlib.contextmanager
    def _started(self, command: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
        """ssh(1) with a command of the other machine's shell. Raises ``BackupError`` with its words."""
        import tempfile

        with tempfile.TemporaryDirectory(prefix="carve-") as own, open(f"{own}/said", "w+b") as said:
            known = []
            if self._host_key is not None:
                files.write(f"{own}/known", f"carve-backups {self._host_key}\n", mode=0o600)
                known = ["-o", f"UserKnownHostsFile={own}/known", "-o", "GlobalKnownHostsFile=/dev/null",
                         "-o", "HostKeyAlias=carve-backups"]  # fmt: skip
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **streams}
            process = subprocess.Popen(["ssh", *self._options, *known, self._host, command], stderr=said, **streams)
            try:
                yield process
            finally:
                for stream in (process.stdin, process.stdout):
                    with contextlib.suppress(BrokenPipeError):
                        if stream is not None:
                            stream.close()
                code = process.wait()
            if code:
                said.seek(0)
                words = said.read(4000).decode(errors="replace").strip() or f"ssh ended with {code}"
                raise BackupError(f"{self._host}: {words}")
