# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two nodes on one machine, to move containers between: each has its own ``/var/lib/carve``, ``/run/carve``,
``/usr/lib/carve`` and units of systemd in a mount namespace; processor, kernel and network are shared."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils.kernel import syscalls
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.tests.integration.own_node import let_go_of_mounts, remove_leftovers, run
from ansible_collections.carve.vps.tests.integration.support import remove_node

_CLONE_FS = 0x200


def _go(namespace: int) -> None:
    """Enter a mount namespace, though a thread that is just ending may still share this one's working directory."""
    syscalls.unshare(_CLONE_FS)
    syscalls.setns(namespace, syscalls.CLONE_NEWNS)


class Node:
    """One of them. What is done within ``here()`` is done there."""

    def __init__(self) -> None:
        self._store = Path(tempfile.mkdtemp(prefix="carve-tests.", dir="/var/lib"))
        self.namespace = 0

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        place, home = Path.cwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter()
            yield
        finally:
            _go(home)
            os.close(home)
            os.chdir(place)

    def _enter(self) -> None:
        if self.namespace:
            _go(self.namespace)
            return
        syscalls.unshare(syscalls.CLONE_NEWNS)
        run("mount", "--make-rprivate", "/")
        let_go_of_mounts()
        for place in (Paths().base, Paths().run, LIBRARY, "/etc/systemd/system"):
            own = self._store / place.replace("/", "_")
            own.mkdir(mode=0o755)
            Path(place).mkdir(mode=0o755, parents=True, exist_ok=True)
            run("mount", "--bind", str(own), place)
        self.namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def remove(self) -> None:
        os.close(self.namespace)
        remove_node(self._store)


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """Two fresh nodes, of which nothing is left in the end."""
    remove_leftovers()
    nodes = (Node(), Node())
    try:
        yield nodes
    finally:
        remove_leftovers()
        for node in nodes:
            node.remove()
