# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and stopping containers, several at once and in their order."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from . import files, rootfs
from .checkpoint import suspend
from .engines import lxc
from .facets import checkpoint, network
from .host import Box, Host
from .moves import note as departing
from .paths import RETURNING

# More at once does not start them sooner, it only makes their inits compete.
AT_ONCE = 4


def start(host: Host, box: Box) -> None:
    """Start one container, a suspended one from its memory.

    Raises ``lxc.EngineError`` or ``OSError``, and notes why for whoever asks later.
    """
    note = host.paths.failure(box.name)
    try:
        lxc.await_monitor(host, box.name)
        suspend.put_right(host, box.name)  # another's, where this fails: nothing of it may be touched then
        _bring_up(host, box)
    except (lxc.EngineError, OSError) as error:
        with contextlib.suppress(OSError):
            files.write(note, f"{error}\n")
        raise
    with contextlib.suppress(FileNotFoundError):
        os.unlink(note)
    # Killed runs that were to start it again need nobody to do that any more.
    departing.remove(box.directory)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{box.directory}/{RETURNING}")
    network.complete(box)


def start_anyhow(host: Host, box: Box) -> str | None:
    """Start one container, and a suspended one without its memory where it cannot be made anew of that: as after a
    power cut. Why it has lost it, if so. Raises as ``start`` does where it does not run in the end."""
    from_memory = suspend.is_suspended(box.directory)
    try:
        start(host, box)
    except lxc.EngineError as error:
        if not from_memory:
            raise
        suspend.discard(box.directory)
        start(host, box)
        return str(error)
    return None


def _bring_up(host: Host, box: Box) -> None:
    try:
        network.clear(box)
        network.enclose(box)
        rootfs.mount(host.paths, box)
        checkpoint.prepare(host, box)
        if suspend.is_suspended(box.directory):
            suspend.resume(host, box)
        else:
            box.pid = lxc.start(host, box)
    except (lxc.EngineError, OSError):
        rootfs.unmount(box.directory)
        raise


def stop(host: Host, box: Box, timeout: int | None = None) -> None:
    """Stop one container, by its own ``stop_timeout`` unless told otherwise. A suspended one loses its memory."""
    suspend.put_right(host, box.name)
    if box.pid:
        lxc.stop(host, box, box.record.fields["stop_timeout"] if timeout is None else timeout)
    suspend.discard(box.directory)
    rootfs.unmount(box.directory)
    box.pid = None


def each(work: Callable[[Box], None], boxes: Iterable[Box]) -> dict[str, Exception]:
    """Do something to several containers at once; what went wrong, by name. One failure does not stop the others."""
    failures: dict[str, Exception] = {}

    def attempt(box: Box) -> None:
        try:
            work(box)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to this container's report
            failures[box.name] = error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(attempt, boxes))
    return failures


def start_in_order(host: Host, boxes: Iterable[Box]) -> dict[str, Exception]:
    """Start containers, those of a lower ``start_order`` first, with the delays that they ask for."""
    failures: dict[str, Exception] = {}
    queue = sorted(boxes, key=lambda box: (box.record.fields["start_order"], box.name))
    for _order, group in groupby(queue, key=lambda box: box.record.fields["start_order"]):
        batch = list(group)
        failures.update(each(lambda box: start(host, box), batch))
        delay = max(box.record.fields["start_delay"] for box in batch)
        if delay and batch[-1] is not queue[-1]:
            time.sleep(delay)
    return failures


def stop_in_order(host: Host, boxes: Iterable[Box]) -> dict[str, Exception]:
    """Stop containers in the reverse of their starting order."""
    failures: dict[str, Exception] = {}
    queue = sorted(boxes, key=lambda box: (-box.record.fields["start_order"], box.name))
    for _order, group in groupby(queue, key=lambda box: box.record.fields["start_order"]):
        failures.update(each(lambda box: stop(host, box), list(group)))
    return failures
