# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What LXC calls on the node when a container starts, reboots itself, or ends (lxc.container.conf(5), HOOKS).

* ``pre-start``: mount the root filesystem.
* ``start-host``: limit the rates of the interfaces, which have just been made. After the container rebooted itself, put
  back what was changed live since its first start; LXC goes by the configuration it read then. The monitor process is
  the same one then, which is how a reboot is told from a start.
* ``post-stop``: unmount the root filesystem, and take away what the node has kept of its interfaces.

With a facet's name before these, it is that facet's own hook, for what cannot stand in LXC's configuration.

It runs twice for every start, so it loads nothing that the moment does not need: where Carve starts a container it has
mounted the root filesystem already, and a first start mostly has nothing to put in place.
"""

from __future__ import annotations

import os
import sys

from .paths import Paths


def main(arguments: list[str]) -> int:
    """``[FACET] NAME lxc HOOK``, with the container's directory known from its configuration file."""
    name, hook = arguments[-3], arguments[-1]
    directory = os.path.dirname(os.environ.get("LXC_CONFIG_FILE", Paths().container(name) + "/config"))
    paths = Paths(base=os.path.dirname(os.path.dirname(directory)))
    if len(arguments) > 4:
        return _reapply(paths, directory, arguments[1])
    if hook == "pre-start":
        return 0 if os.path.ismount(f"{directory}/root") else _mount(paths, directory)
    if hook == "start-host":
        if _is_reboot(paths, name):
            return _reapply(paths, directory)
        return _slow_down(directory) if _mentions(directory, ".rate_") else 0
    if hook == "post-stop":
        from .kernel import mounts

        mounts.detach_all(f"{directory}/root")
        if os.environ.get("LXC_TARGET") != "reboot":
            if os.path.exists(paths.monitor(name)):
                os.unlink(paths.monitor(name))
            if _mentions(directory, '"network.'):
                _leave_network(directory)
        _take_back_guarantee()
    return 0


def _take_back_guarantee() -> None:
    """What a container was guaranteed of memory protects nobody else once it has ended."""
    from .kernel import cgroup

    cgroup.detect().sum_up("memory", "memory.low")


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
    from .facets import network
    from .host import Box

    found = record.load(directory)
    if found is None:
        sys.stderr.write(f"carve: {directory} holds no container of Carve's\n")
        return 1
    rootfs.mount(paths, Box(found, directory))
    network.enclose(Box(found, directory))
    return 0


def _mentions(directory: str, text: str) -> bool:
    """Whether a container's record speaks of something; to read it as what it is takes longer."""
    try:
        with open(f"{directory}/carve.json", encoding="utf-8") as handle:
            return text in handle.read()
    except OSError:
        return False


def _slow_down(directory: str) -> int:
    """Limit the rates of interfaces that have just been made, before anything runs in the container."""
    from . import record
    from .facets import network
    from .host import Box

    found = record.load(directory)
    if found is not None:
        network.limit_rates(Box(found, directory))
    return 0


def _leave_network(directory: str) -> None:
    from . import record
    from .facets import network
    from .host import Box

    found = record.load(directory)
    if found is not None:
        network.release(Box(found, directory))


def _reapply(paths: Paths, directory: str, only: str | None = None) -> int:
    from . import facets, record
    from .host import Box, Host, apparmor_enabled

    found = record.load(directory)
    if found is None:
        sys.stderr.write(f"carve: {directory} holds no container of Carve's\n")
        return 1
    box = Box(found, directory, int(os.environ["LXC_PID"]))
    host = Host(paths=paths, apparmor=apparmor_enabled())
    for facet in facets.ALL:
        if facet.name == only if only else facet.live_rows or facet.name == "identity":
            facet.reapply(host, box)
    return 0
