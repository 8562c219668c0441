# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees of files as archives: tar(1) and zstd(1), with a digest of what comes out of them or goes in."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from typing import IO, Any

from .. import files
from ..paths import SEARCH
from .description import BackupError

_CHUNK = 1 << 20
_ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C.UTF-8"}
# Without a process's number in it, the same tree is the same archive (but for files with holes).
_PAX = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
# Attributes as the kernel has them: access control lists and capabilities are among them, overlayfs' marks, too.
_ALIKE = ["--numeric-owner", "--xattrs", "--xattrs-include=*"]
_PACK = [
    "tar",
    "--create",
    "--format=posix",
    _PAX,
    "--sort=name",
    "--sparse",
    *_ALIKE,
]
_UNPACK = ["tar", "--extract", "--preserve-permissions", "--same-owner", *_ALIKE]
# What changed little between two backups is little different in the archives, for whoever keeps many of them.
_COMPRESS = ["zstd", "-q", "-3", "-T1", "--rsyncable"]


def pack(directory: str, sink: Callable[[bytes], Any]) -> dict[str, Any]:
    """Hand the archive of a tree on; its ``sha256`` and ``bytes``. Raises ``BackupError``."""
    digest, size = hashlib.sha256(), 0
    with _Said() as said:
        tar = _start([*_PACK, "--directory", directory, "."], said, stdout=subprocess.PIPE)
        zstd = _start(_COMPRESS, said, stdin=tar.stdout, stdout=subprocess.PIPE)
        made, packed = pipe(tar.stdout), pipe(zstd.stdout)
        made.close()
        try:
            while block := packed.read(_CHUNK):
                digest.update(block)
                size += len(block)
                sink(block)
        finally:
            packed.close()
            codes = zstd.wait(), tar.wait()
        if any(codes):
            raise BackupError(f"the archive cannot be made: {said.words()}")
    return {"sha256": digest.hexdigest(), "bytes": size}


def unpack(blocks: Iterable[bytes], directory: int, expected: str, where: str) -> None:
    """Make a tree of an archive in a directory, a descriptor. Raises ``BackupError`` where it is not the one expected:
    what has been made of it by then is to be thrown away."""
    digest = hashlib.sha256()
    with _Said() as said:
        zstd = _start(["zstd", "-q", "-d"], said, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        place = ["--directory", f"/proc/self/fd/{directory}"]
        tar = _start([*_UNPACK, *place], said, stdin=zstd.stdout, pass_fds=(directory,))
        feed = pipe(zstd.stdin)
        pipe(zstd.stdout).close()
        try:
            for block in blocks:
                digest.update(block)
                with contextlib.suppress(BrokenPipeError):  # what was wrong with it is told below
                    feed.write(block)
        finally:
            with contextlib.suppress(BrokenPipeError):
                feed.close()
            codes = zstd.wait(), tar.wait()
        if digest.hexdigest() != expected:
            raise BackupError(f"{where} is damaged: its SHA-256 is {digest.hexdigest()}, and was {expected}")
        if any(codes):
            raise BackupError(f"{where} cannot be unpacked: {said.words()}")


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """Our end of a pipe to a program that was started with one."""
    if end is None:
        raise OSError("the program was started without a pipe")
    return end


class _Said:
    """What programs say on stderr, however much it is."""

    def __enter__(self) -> _Said:
        self.file = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_why: object) -> None:
        self.file.close()

    def words(self) -> str:
        self.file.seek(0)
        lines = self.file.read(100_000).decode(errors="replace").strip().splitlines()
        full = next((line for line in lines if files.FULL in line), None)
        return full or "; ".join(lines[:3]) or "it ended without a word"


def _start(command: list[str], said: _Said, **options: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stderr=said.file, env=_ENVIRONMENT, cwd="/", **options)
    except FileNotFoundError:
        raise BackupError(f"{command[0]} is not installed; run carve.vps.bootstrap on this node") from None
