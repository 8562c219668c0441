# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of Carve's own on the node: written whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from typing import Any

from .kernel import syscalls


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file by one rename; its content is on disk before its name is."""
    directory = os.path.dirname(path)
    fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with open(fd, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fchmod(fd, mode)
            os.fdatasync(fd)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_json(path: str, data: Any, mode: int = 0o644) -> None:
    write(path, json.dumps(data, indent=1, sort_keys=True) + "\n", mode)


def read(path: str) -> str | None:
    """The text of a file, or ``None`` when it is not there."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: str) -> Any:
    """The content of a JSON file, or ``None`` when it is not there or not JSON."""
    text = read(path)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def sync_directory(path: str) -> None:
    """Put the names in a directory on disk (fsync(2))."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def exchange(one: str, other: str) -> None:
    """Let two directories change places in one step (renameat2(2), RENAME_EXCHANGE)."""
    syscalls.rename_exchange(one, other)


def remove_tree(path: str) -> None:
    """Remove a directory that nothing is mounted in; one that is not there is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_mounted_tree(path: str) -> None:
    """Remove a directory in which something may still be mounted, such as what a killed run has left."""
    with open("/proc/self/mountinfo", encoding="utf-8") as handle:
        points = [line.split()[4] for line in handle]
    for point in sorted((p for p in points if p == path or p.startswith(f"{path}/")), reverse=True):
        syscalls.umount(point, syscalls.MNT_DETACH)
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        os.unlink(path)
