# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node of a test's own: this machine, but with ``/var/lib/carve``, ``/run/carve`` and ``/usr/lib/carve`` to itself.

Tests that look at everything on a node, kill runs on it or reboot it must neither meet nor harm the containers that the
machine's real node has. A mount namespace gives them these three directories; processor, kernel and network are shared.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.kernel import syscalls
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, host, remove_node, wait_for

FLEET, PREFIX, BRIDGE = "carve-x", "x-", "br-carvex"
NETWORKS = {
    "public": {"mode": "routed", "subnet": ["198.51.100.0/24", "fd00:114::/64"]},
    "lan": {
        "mode": "bridged", "bridge": BRIDGE, "subnet": ["10.214.0.0/24", "fd00:214::/64"],
        "gateway": ["10.214.0.1", "fd00:214::1"],
    },
}  # fmt: skip


@contextlib.contextmanager
def own_node() -> Iterator[None]:
    """Be on a fresh node, in a mount namespace that ends with it."""
    remove_leftovers()
    here, home = Path.cwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    store = Path(tempfile.mkdtemp(prefix="carve-tests.", dir="/var/lib"))
    syscalls.unshare(syscalls.CLONE_NEWNS)
    try:
        run("mount", "--make-rprivate", "/")
        let_go_of_mounts()
        for place in (Paths().base, Paths().run, LIBRARY):
            own = store / place.replace("/", "_")
            own.mkdir(mode=0o755)
            Path(place).mkdir(mode=0o755, parents=True, exist_ok=True)
            run("mount", "--bind", str(own), place)
        yield
    finally:
        remove_leftovers()
        syscalls.setns(home, syscalls.CLONE_NEWNS)
        os.close(home)
        os.chdir(here)
        remove_node(store)


def let_go_of_mounts() -> None:
    """The copies of the real node's mounts would keep its containers from mounting theirs again."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for point in reversed(points):
        if point.startswith(f"{Paths().base}/"):
            syscalls.umount(point, syscalls.MNT_DETACH)


@contextlib.contextmanager
def fleet_of(base_template: dict[str, Any]) -> Iterator[Fleet]:
    """An empty fleet, which is destroyed in the end; its containers' names begin with ``x-``."""
    made = Fleet(FLEET, {"base": base_template})
    made.networks = {name: dict(options) for name, options in NETWORKS.items()}
    # A fresh node has not even the programs that start containers; no test is about their coming.
    result = made.run()
    assert not result.get("failed"), result["msg"]
    try:
        yield made
    except BaseException:
        remove_leftovers()
        raise
    made.destroy()


def wipe(made: Fleet) -> None:
    """Let a fleet be empty again, between two parts of one test."""
    made.containers = {}
    result = made.run(ALL)
    assert not result.get("failed"), result["msg"]


def run(*command: str, check: bool = True) -> str:
    """What a program on the node says."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def remove_leftovers() -> None:
    """End whatever an earlier, broken run has left, which nobody can reach by LXC's programs any more."""
    group = host().cgroup
    for directory in {path for name in ("carve", "carve-monitor") for path in _of_ours(group.directories(""), name)}:
        for file in directory.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # group or process has ended by itself meanwhile
                for process in file.read_text(encoding="ascii").split():
                    os.kill(int(process), signal.SIGKILL)
        wait_for(f"{directory} to be empty", lambda directory=directory: _removed(directory))
    run("ip", "link", "del", BRIDGE, check=False)


def _of_ours(parents: list[str], name: str) -> Iterator[Path]:
    for parent in parents:
        yield from Path(parent).parent.joinpath(name).glob(f"{PREFIX}*")


def _removed(directory: Path) -> bool:
    for path, _children, _files in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    return not directory.exists()
