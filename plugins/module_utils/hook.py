# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What LXC calls on the node when a container starts, reboots itself, or ends (lxc.container.conf(5), HOOKS).

* ``pre-start``: mount the root filesystem.
* ``start-host``: put into the container what LXC does not (a facet's ``prepare``), if the configuration says that there
  is something; after the container rebooted itself, put back what was changed live since its first start; LXC goes by
  the configuration it read then. The monitor process is the same one then, which is how a reboot is told from a start.
* ``post-stop``: unmount the root filesystem.

It runs twice for every start, so it loads nothing that the moment does not need: where Carve starts a container it has
mounted the root filesystem already, and a first start has nothing to put back.
"""

from __future__ import annotations

import os
import sys

from .paths import Paths

# The word in the configuration that says that there is something to do at a first start, too.
PREPARE = "prepare"


def main(arguments: list[str]) -> int:
    """``[prepare] NAME lxc HOOK``, with the container's directory known from its configuration file."""
    name, hook = arguments[-3], arguments[-1]
    directory = os.path.dirname(os.environ.get("LXC_CONFIG_FILE", Paths().container(name) + "/config"))
    paths = Paths(base=os.path.dirname(os.path.dirname(directory)))
    if hook == "pre-start":
        return 0 if os.path.ismount(f"{directory}/root") else _mount(paths, directory)
    if hook == "start-host":
        again = _is_reboot(paths, name)
        return _put_in(paths, directory, again) if again or PREPARE in arguments[1:-3] else 0
    if hook == "post-stop":
        from .kernel import mounts

        mounts.detach_all(f"{directory}/root")
        if os.environ.get("LXC_TARGET") != "reboot" and os.path.exists(paths.monitor(name)):
            os.unlink(paths.monitor(name))
    return 0


def _is_reboot(paths: Paths, name: str) -> bool:
    """Whether this monitor process has started the container before; it is noted for the next time."""
    monitor, file = str(os.getppid()), paths.monitor(name)
    try:
        with open(file, encoding="ascii") as handle:
            if handle.read() == monitor:
                return True
    except OSError:
        os.makedirs(paths.run, mode=0o711, exist_ok=True)
    with open(file, "w", encoding="ascii") as handle:
        handle.write(monitor)
    return False


def _mount(paths: Paths, directory: str) -> int:
    from . import record, rootfs
    from .host import Box

    found = record.load(directory)
    if found is None:
        sys.stderr.write(f"carve: {directory} holds no container of Carve's\n")
        return 1
    rootfs.mount(paths, Box(found, directory))
    return 0


def _put_in(paths: Paths, directory: str, again: bool) -> int:
    from . import facets, record
    from .host import Box, Host, apparmor_enabled

    found = record.load(directory)
    if found is None:
        sys.stderr.write(f"carve: {directory} holds no container of Carve's\n")
        return 1
    box = Box(found, directory, int(os.environ["LXC_PID"]))
    host = Host(paths=paths, apparmor=apparmor_enabled())
    try:
        for facet in facets.ALL:
            if again and (facet.live_rows or facet.name == "identity"):
                facet.reapply(host, box)
            elif not again and facet.prepares(box):
                facet.prepare(host, box)
    except OSError as error:
        # LXC keeps what its hooks say to itself.
        with open(paths.failure(found.name), "w", encoding="utf-8", errors="replace") as handle:
            handle.write(f"{error}\n")
        return 1
    return 0
