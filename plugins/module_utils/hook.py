# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What LXC calls on the node when a container starts, reboots itself, or ends (lxc.container.conf(5), HOOKS).

* ``pre-start``: mount the root filesystem.
* ``start-host``: after the container rebooted itself, put back what was changed live since its first start; LXC goes by
  the configuration it read then. The monitor process is the same one then, which is how a reboot is told from a start.
* ``post-stop``: unmount the root filesystem.

It runs for every start, so it loads nothing that the moment does not need.
"""

from __future__ import annotations

import contextlib
import os
import sys

from . import record, rootfs
from .host import Box, Host
from .paths import Paths


def main(arguments: list[str]) -> int:
    """``NAME lxc HOOK``, with the container's directory known from its configuration file."""
    name, hook = arguments[1], arguments[3]
    directory = os.path.dirname(os.environ.get("LXC_CONFIG_FILE", Paths().container(name) + "/config"))
    paths = Paths(base=os.path.dirname(os.path.dirname(directory)))
    found = record.load(directory)
    if found is None:
        print(f"carve: {directory} holds no container of Carve's", file=sys.stderr)
        return 1
    box = Box(found, directory)
    if hook == "pre-start":
        rootfs.mount(paths, box)
    elif hook == "start-host":
        _start_host(paths, box)
    elif hook == "post-stop":
        rootfs.unmount(box)
        if os.environ.get("LXC_TARGET") != "reboot":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_monitor_file(paths, name))
    return 0


def _monitor_file(paths: Paths, name: str) -> str:
    return f"{paths.run}/{name}.monitor"


def _start_host(paths: Paths, box: Box) -> None:
    monitor = str(os.getppid())
    file = _monitor_file(paths, box.name)
    try:
        with open(file, encoding="ascii") as handle:
            rebooted = handle.read() == monitor
    except OSError:
        rebooted = False
    if rebooted:
        from . import facets
        from .host import apparmor_enabled

        box.pid = int(os.environ["LXC_PID"])
        host = Host(paths=paths, apparmor=apparmor_enabled())
        for facet in facets.ALL:
            if facet.live_rows or facet.name == "identity":
                facet.reapply(host, box)
    else:
        os.makedirs(paths.run, mode=0o711, exist_ok=True)
        with open(file, "w", encoding="ascii") as handle:
            handle.write(monitor)
