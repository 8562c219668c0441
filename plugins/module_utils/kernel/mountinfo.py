# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's table of mounts (proc_pid_mountinfo(5)).

Whoever is root in a container names mount points and sources as he likes. The kernel escapes blanks, tabs, newlines and
backslashes; all other bytes stand there as they are, those at which Python would break a line among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A row of the table. Bytes of ``place``, ``root`` and ``source`` that are no UTF-8 are surrogates (PEP 383)."""

    ident: str
    # The filesystem's device, as major:minor.
    device: str
    # Which directory of the filesystem is mounted, and where.
    root: str
    place: str
    options: frozenset[str]
    # Of its propagation, such as ``master:7``.
    tags: tuple[str, ...]
    kind: str
    source: str
    # Options of the filesystem itself.
    of_filesystem: tuple[str, ...]


def of(pid: int | str = "self") -> Iterator[Mount]:
    """The mounts that a process sees, the earliest first. Raises ``OSError`` when it has ended."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as handle:
        yield from rows(handle)


def seen_by(pid: int) -> list[Mount]:
    """``of``, and no mounts of a process that has ended."""
    try:
        return list(of(pid))
    except OSError:
        return []


def rows(lines: Iterable[str]) -> Iterator[Mount]:
    """Those of a table's lines."""
    for line in lines:
        head, _sep, tail = line.rstrip("\n").partition(" - ")
        ident, _parent, device, root, place, options, *tags = head.split(" ")
        kind, source, of_filesystem = tail.split(" ", 2)
        yield Mount(
            ident, device, _unescaped(root), _unescaped(place), frozenset(options.split(",")), tuple(tags),
            _unescaped(kind), _unescaped(source), tuple(of_filesystem.split(",")),
        )  # fmt: skip


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)
