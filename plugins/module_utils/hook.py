# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What LXC calls on the node when a container starts, reboots itself, or ends (lxc.container.conf(5), HOOKS).

* ``pre-start``: mount the root filesystem.
* ``start-host``: put in place what cannot stand in LXC's configuration. After the container rebooted itself, put back
  what was changed live since its first start; LXC goes by the configuration it read then. The monitor process is the
  same one then, which is how a reboot is told from a start.
* ``down``, when the first pair is about to be removed, or ``stop``, of a container that has none: keep what the run has
  used, before the kernel forgets it. All processes have ended then.
* ``post-stop``, unless the container reboots itself: unmount the root filesystem, and take away what the node has kept
  of its interfaces. One that was made anew from its memory (``checkpoint/``) LXC does not start again when it reboots
  itself, nor does it say that it did: one that ends by itself is started again by Carve.

It runs twice for every start and every stop, so it loads nothing that the moment does not need: where Carve starts a
container it has mounted the root filesystem already, and a first start mostly has nothing to put in place.
"""

from __future__ import annotations

import contextlib
import os
import sys

from .paths import LIBRARY, MEMORY, RESTORING, USED, Paths

# What a container's record mentions where a facet has something to put in place at every start.
LATE = ('"io_', '"ram_guarantee"', ".rate_", '"mounts"', '"devices"', '"features"', '"sysctls"')


def main(arguments: list[str]) -> int:
    """``NAME lxc HOOK`` or ``NAME net HOOK ...``, with the container's directory known from its configuration file."""
    _leave_confinement()
    name, hook = arguments[1], arguments[3]
    directory = os.path.dirname(os.environ.get("LXC_CONFIG_FILE", Paths().container(name) + "/config"))
    paths = Paths(base=os.path.dirname(os.path.dirname(directory)))
    if hook == "pre-start":
        if _is_asleep(directory) and RESTORING not in os.environ:
            sys.stderr.write(f"carve: {name} is suspended, and its memory would be lost; resume it, or stop it first\n")
            return 1
        failed = 0 if os.path.ismount(f"{directory}/root") else _mount(paths, directory)
        if not failed:
            paths.make_shown(name)
        return failed
    if hook == "start-host":
        reboot = _is_reboot(paths, name)
        return put_in_place(paths, directory, reboot) if reboot or _mentions(directory, LATE) else 0
    if hook in ("down", "stop"):
        return keep_use(paths, name, directory)
    # What reboots itself is started again at once, by this same monitor, which AppArmor may allow no mounts.
    if hook == "post-stop" and os.environ.get("LXC_TARGET") != "reboot":
        from .kernel import mounts

        mounts.detach_all(f"{directory}/root")
        mounts.detach_all(f"{directory}/disk")  # the container's own filesystem, if it has one (store.py)
        if _mentions(directory, ('"network.',)):
            _leave_network(directory)
        _take_back_guarantee()
        # Last of all, for whoever starts the container anew waits for it (``lxc.await_monitor``).
        if os.path.exists(paths.monitor(name)):
            os.unlink(paths.monitor(name))
        if os.path.exists(paths.restored(name)):
            os.unlink(paths.restored(name))
            _start_again(name)
    return 0


def _start_again(name: str) -> None:
    """Have a container started once its monitor, which waits for this hook, has ended."""
    import subprocess

    # Not among the monitor's own processes, whose control group has to be empty before the container can start.
    script = 'echo $$ >/sys/fs/cgroup/cgroup.procs; exec "$0" again "$1"'
    subprocess.Popen(
        ["/bin/sh", "-c", script, f"{LIBRARY}/boot", name], cwd="/", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _is_asleep(directory: str) -> bool:
    """``suspend.is_suspended``, which would have to be loaded."""
    return os.path.isdir(f"{directory}/{MEMORY}") and not os.path.exists(f"{directory}/{MEMORY}/{USED}")


def _leave_confinement() -> None:
    """Become as free as Carve itself is.

    AppArmor confines what LXC runs on the node as it confines lxc-start, which may mount hardly anything there; but it
    lets both of them go (change_profile in Debian's abstractions/lxc/start-container). Where there is no AppArmor, or
    no confinement, there is nothing to leave.
    """
    with contextlib.suppress(OSError), open("/proc/thread-self/attr/apparmor/current", "w", encoding="ascii") as handle:
        handle.write("changeprofile unconfined")


def _take_back_guarantee() -> None:
    """What a container was guaranteed of memory protects nobody else once it has ended."""
    from .kernel import cgroup

    cgroup.detect().sum_up("memory", "memory.min")


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
    from .facets import checkpoint, network
    from .host import Box, Host, apparmor_enabled

    found = record.load(directory)
    if found is None:
        sys.stderr.write(f"carve: {directory} holds no container of Carve's\n")
        return 1
    box = Box(found, directory)
    rootfs.mount(paths, box)
    checkpoint.prepare(Host(paths=paths, apparmor=apparmor_enabled()), box)
    network.enclose(box)
    return 0


def keep_use(paths: Paths, name: str, directory: str) -> int:
    """Nothing that goes wrong here may keep a container from ending."""
    from . import files, usage
    from .kernel import cgroup

    try:
        # Not by ``record``, which loads what takes longer than all that is done here.
        found = files.read_json(f"{directory}/carve.json")
        usage.end_of_run(paths, cgroup.detect(), usage.Subject(name, found["uuid"], found["fields"]["id"]))
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"carve: what {name} has used is not kept: {error}\n")
    return 0


def _mentions(directory: str, texts: tuple[str, ...]) -> bool:
    """Whether a container's record speaks of any of these; to read it as what it is takes longer."""
    try:
        with open(f"{directory}/carve.json", encoding="utf-8") as handle:
            content = handle.read()
    except OSError:
        return False
    return any(text in content for text in texts)


def _leave_network(directory: str) -> None:
    from . import record
    from .facets import network
    from .host import Box

    found = record.load(directory)
    if found is not None:
        network.release(Box(found, directory))


def put_in_place(paths: Paths, directory: str, reboot: bool, restored: bool = False) -> int:
    """What every start needs beyond LXC's configuration; after a ``reboot`` from inside what that has lost, and of one
    ``restored`` from its memory what CRIU does not know of."""
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
            if not reboot:
                facet.at_start(host, box)
            elif facet.live_rows or facet.name == "identity":
                (facet.after_restore if restored else facet.reapply)(host, box)
    except OSError as error:
        # LXC keeps what its hooks say to itself; and what cannot be as declared does not run.
        with open(paths.failure(found.name), "w", encoding="utf-8", errors="replace") as handle:
            handle.write(f"{error}\n")
        return 1
    return 0
