# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""community.general.lxc_container: a playbook that loops over the containers, as its documentation shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import machine
import packages
from commands import Command, CommandFailed, output, run
from contenders.base import NODE_PYTHON, Bench, Contender
from observe import Limits

# The release of the PyPI package `ansible` that goes with the ansible-core 2.19 that Carve is measured on.
PEERS = "ansible>=12,<13"
MODULE = "community.general.lxc_container"
# The module ignores `lxc_path` in half of what it does, so the containers lie with the host's own, under these names.
LXC = Path("/var/lib/lxc")
PREFIX = "carve-bench-"
BASE = f"{PREFIX}base"
INVENTORY = f"localhost ansible_connection=local ansible_python_interpreter={NODE_PYTHON}\n"

Task = Mapping[str, Any]


class LxcContainer(Contender):
    """One module call per container, one after the other."""

    name = "lxc_container"

    def __init__(self, bench: Bench, playbook: Path) -> None:
        self.bench = bench
        self.directory = bench.state / "lxc_container"
        self.playbook = playbook
        self.names = [f"{PREFIX}{number}" for number in range(1, bench.count + 1)]
        self.note = (
            f"{MODULE} in a loop, LXC {output(('lxc-start', '--version')).strip()}, privileged containers, no network, "
            "overlayfs snapshots of a base that already holds the limits (else each would be restarted once more), "
            "lxcfs's half-second stop hook off, pipelining on; nothing to do = the start task alone, with the limits"
        )

    def create(self) -> Command:
        clone = {"name": BASE, "clone_name": "{{ item }}", "clone_snapshot": True, "backing_store": "overlayfs"}
        return self._play({MODULE: {**clone, "state": "stopped"}}, {MODULE: {"name": "{{ item }}", "state": "started"}})

    def noop(self) -> Command:
        return self._play(self._limited(self.bench.before))

    def change(self) -> Command:
        return self._play(self._limited(self.bench.after))

    def destroy(self) -> Command:
        return self._play({MODULE: {"name": "{{ item }}", "state": "absent"}})

    def changed(self, said: str) -> str:
        return "\n".join(line for line in said.splitlines() if line.startswith("changed:"))

    def pids(self) -> dict[str, int]:
        running = [name for name in output(("lxc-ls", "-1", "--running")).split() if name in self.names]
        return {name: int(output(("lxc-info", "-pH", "-n", name))) for name in running}

    def wipe(self) -> None:
        remove_all(self.bench.log(self.name), keep=(BASE,))

    def _limited(self, limits: Limits) -> Task:
        return {MODULE: {"name": "{{ item }}", "state": "started", "container_config": _config(limits)}}

    def _play(self, *tasks: Task) -> Command:
        looped = [{"name": f"Task {number}", **task, "loop": self.names} for number, task in enumerate(tasks, 1)]
        play = [{"name": "Bench", "hosts": "localhost", "gather_facts": False, "tasks": looped}]
        self.directory.mkdir(parents=True, exist_ok=True)
        inventory, playbook = self.directory / "hosts", self.directory / "play.yml"
        inventory.write_text(INVENTORY, encoding="utf-8")
        # YAML 1.2 includes JSON, and a file of JSON is no playbook for linters to look up absent modules in.
        playbook.write_text(json.dumps(play), encoding="utf-8")
        return Command((str(self.playbook), "-i", str(inventory), str(playbook)), env={"ANSIBLE_PIPELINING": "1"})


def _config(limits: Limits) -> Sequence[str]:
    if machine.unified_cgroups():
        return (f"lxc.cgroup2.memory.max={limits.ram}", f"lxc.cgroup2.cpu.max={limits.cpus * 100000:.0f} 100000")
    return (
        f"lxc.cgroup.memory.limit_in_bytes={limits.ram}",
        f"lxc.cgroup.cpu.cfs_quota_us={limits.cpus * 100000:.0f}",
    )


@contextmanager
def contest(bench: Bench) -> Iterator[list[Contender]]:
    log = bench.log("lxc_container")
    packages.ensure(("lxc", "python3-lxc"), log)
    playbook = _peer_playbook(bench.cache, log)
    with machine.roomy_kernel():
        remove_all(log)
        try:
            _make_base(bench, log)
            yield [LxcContainer(bench, playbook)]
        finally:
            remove_all(log)
            machine.forget_cgroups(PREFIX)
            shutil.rmtree(bench.state / "lxc_container", ignore_errors=True)


def _peer_playbook(cache: Path, log: Path) -> Path:
    """The peers' ansible-playbook: a virtual environment of its own, as Carve's has no collections in it."""
    directory = cache / "peers"
    complete = directory / "complete"
    if not complete.exists() or complete.read_text(encoding="utf-8") != PEERS:
        print(f"  installing {PEERS} into its own virtual environment", flush=True)
        run((sys.executable, "-m", "venv", "--clear", str(directory)), log)
        run((str(directory / "bin/pip"), "install", "--quiet", PEERS), log)
        complete.write_text(PEERS, encoding="utf-8")
    return directory / "bin/ansible-playbook"


def _make_base(bench: Bench, log: Path) -> None:
    rootfs = LXC / BASE / "rootfs"
    rootfs.mkdir(parents=True)
    run(("tar", "-C", str(rootfs), "--numeric-owner", "-xpf", str(bench.rootfs.archive)), log)
    lines = [
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.hook.post-stop =",
        f"lxc.rootfs.path = dir:{rootfs}",
        f"lxc.uts.name = {BASE}",
        "lxc.net.0.type = empty",
        "lxc.apparmor.profile = unconfined",
        *(line.replace("=", " = ", 1) for line in _config(bench.before)),
    ]
    (LXC / BASE / "config").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def remove_all(log: Path, keep: Sequence[str] = (), tries: int = 5) -> None:
    """Remove every container of the bench, the base last, since clones hold on to it."""
    for _unused in range(tries):
        left = [path.name for path in LXC.glob(f"{PREFIX}*") if path.name not in keep]
        if not left:
            return
        for name in sorted(left, key=lambda each: each == BASE):
            _remove(name, log)
        # A module that was interrupted may have been starting one just now.
        time.sleep(1)
    raise CommandFailed(f"LXC containers of the bench that cannot be removed: {' '.join(sorted(left))} ({log})")


def _remove(name: str, log: Path) -> None:
    """Whether each step is needed depends on where the container got to, so only what is left in the end counts."""
    with log.open("a", encoding="utf-8") as sink:
        for argv in (("lxc-stop", "-k", "-n", name), ("lxc-destroy", "-n", name)):
            subprocess.run(argv, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, check=False)
    directory = LXC / name
    if directory.exists() and not (directory / "config").exists():
        # Half made: LXC does not call this a container and would never remove it.
        assert not os.path.ismount(directory / "rootfs")
        shutil.rmtree(directory)
