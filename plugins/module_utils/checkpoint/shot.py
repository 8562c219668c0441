# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's memory is written to disk, and the container goes on.

CRIU has a program called when all is written and before anything runs again (``script.py``). That program asks here, by
a socket, whether it may; until it has its answer, whoever took the memory can take what belongs to it. Where nobody
answers any more, CRIU lets the container go on as if nothing had been.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from .. import files
from ..engines import lxc
from ..host import Box, Host
from . import criu, suspend

_GO_ON = b"1"
_KNOCKS = 0.5  # seconds between two looks at whether CRIU has failed


@contextlib.contextmanager
def still(host: Host, box: Box) -> Iterator[str]:
    """The directory of the images of a running container, whose processes stand still until the context ends.

    Raises ``EngineError``; the container runs on in any case. The directory is the caller's to rename or to remove.
    """
    images = f"{box.directory}/{suspend.SHOT}"
    suspend.make_place(images, box)
    try:
        with _listening(host.paths.still(box.name)) as door, ThreadPoolExecutor(1) as pool:
            dump = pool.submit(criu.dump, host, box, images, criu.GOING_ON)
            with _knock(door, dump) as line:
                yield images
                line.sendall(_GO_ON)
            dump.result()
    except BaseException:
        files.remove_tree(images)
        raise


def may_go_on(place: str) -> bool:
    """Of the program that CRIU calls: wait until the container may go on. Whether what was written counts."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(place)
            return line.recv(1) == _GO_ON
        except OSError:
            return False


@contextlib.contextmanager
def _listening(place: str) -> Iterator[socket.socket]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        try:
            os.chmod(place, 0o600)
            door.listen(1)
            door.settimeout(_KNOCKS)
            yield door
        finally:
            os.unlink(place)


def _knock(door: socket.socket, dump: Future[None]) -> socket.socket:
    """The line on which CRIU's program waits. Raises what has ended CRIU before."""
    while not dump.done():
        with contextlib.suppress(TimeoutError):
            line, _peer = door.accept()
            line.setblocking(True)
            return line
    dump.result()
    raise lxc.EngineError("CRIU ended without asking whether the container may go on")


def link(images: str, directory: str) -> None:
    """Give a container's directory the memory of a snapshot: the same files, which nobody changes.

    They count as those of a suspended container, which is made anew of them at its next start.
    """
    part = f"{directory}/{suspend.PART}"
    files.remove_tree(part)
    os.mkdir(part, 0o700)
    owner = os.stat(images)
    os.chown(part, owner.st_uid, owner.st_gid)
    for name in os.listdir(images):
        os.link(f"{images}/{name}", f"{part}/{name}")
    os.rename(part, f"{directory}/{suspend.WHOLE}")
    files.sync([directory])
