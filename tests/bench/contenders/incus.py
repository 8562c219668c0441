# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Incus: its own daemon, away from one that the host may have, and the `incus` command once per container."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import machine
import packages
from commands import Command, CommandFailed, output, run
from contenders.base import Bench, Contender
from observe import Limits

DAEMON = "/usr/libexec/incus/incusd"
IMAGE = POOL = "bench"
PREFIX = "bench-"
FIRST = f"{PREFIX}first"
# Sparse; a systemd container takes 20 MB or so of it.
POOL_SIZE = "16GiB"
READY_SECONDS = 60
# The range that Incus's own packages give root where it has none.
SUBORDINATE_IDS = "root:1000000:1000000000"
UNITS = ("incus.socket", "incus.service", "incus-startup.service")


class Incus(Contender):
    """One `incus` command per container, some of them at a time."""

    def __init__(self, bench: Bench, daemon: Daemon, at_once: int) -> None:
        self.bench = bench
        self.daemon = daemon
        self.at_once = at_once
        self.name = "incus, a loop" if at_once == 1 else f"incus, {at_once} at once"
        self.note = (
            f"Incus {daemon.version()}, copy-on-write clones on a btrfs loop pool, no network; "
            f"`xargs -P{at_once}` of launch, config set and delete -f; nothing to do = one list with their state; "
            "Debian's lxcfs package adds half a second to each stop, by a hook that Incus takes over and cannot drop"
        )

    def create(self) -> Command:
        return self._each("launch", IMAGE, "{}", *(f"--config={item}" for item in _config(self.bench.before)))

    def noop(self) -> Command:
        return Command(("incus", "list", "--format=json"), env=self.daemon.env)

    def change(self) -> Command:
        return self._each("config", "set", "{}", *_config(self.bench.after))

    def destroy(self) -> Command:
        return self._each("delete", "--force", "{}")

    def changed(self, said: str) -> str:
        # Asked of `noop` alone, and a list changes nothing.
        return ""

    def pids(self) -> dict[str, int]:
        listed = output(Command(("incus", "list", "--format=csv", "--columns=ns,p"), env=self.daemon.env))
        rows = [line.split(",") for line in listed.splitlines()]
        return {name: int(pid) for name, state, pid in rows if state == "RUNNING"}

    def wipe(self) -> None:
        self.daemon.remove_instances()

    def _each(self, *arguments: str) -> Command:
        argv = ("xargs", f"-P{self.at_once}", "-I{}", "incus", *arguments)
        names = "".join(f"{PREFIX}{number}\n" for number in range(1, self.bench.count + 1))
        return Command(argv, stdin=names, env=self.daemon.env)


def _config(limits: Limits) -> Sequence[str]:
    return (f"limits.memory={limits.ram}B", f"limits.cpu.allowance={limits.cpus * 100:.0f}ms/100ms")


@contextmanager
def contest(bench: Bench) -> Iterator[list[Contender]]:
    log = bench.log("incus")
    with machine.roomy_kernel(), machine.subordinate_ids_restored(SUBORDINATE_IDS):
        _install(log)
        machine.one_subordinate_range(SUBORDINATE_IDS)
        daemon = Daemon(bench.state / "incus", log)
        daemon.remove()
        try:
            daemon.start()
            daemon.fill(bench.rootfs.archive)
            yield [Incus(bench, daemon, at_once) for at_once in (1, 4)]
        finally:
            daemon.remove()
            machine.forget_cgroups(PREFIX)


def _install(log: Path) -> None:
    new = packages.ensure(("incus-base", "incus-client", "btrfs-progs"), log)
    if "incus-base" in new and Path("/run/systemd/system").exists():
        # The package starts a daemon of its own on a host with systemd; the bench brings it, so the bench stops it.
        run(("systemctl", "disable", "--now", *UNITS), log)


class Daemon:
    """An incusd whose state is all in one directory, so that removing it leaves nothing."""

    def __init__(self, directory: Path, log: Path) -> None:
        self.directory = directory
        self.log = log
        self.env = {"INCUS_DIR": str(directory), "INCUS_CONF": str(directory / "client")}
        self._pidfile = directory / "incusd.pid"

    def start(self) -> None:
        # Containers' root is another user of the host: it must be able to pass through.
        for path in (self.directory.parent, self.directory):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o711)
        with self.log.open("a", encoding="utf-8") as sink:
            process = subprocess.Popen(
                (DAEMON, "--group", "root"),
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pidfile.write_text(str(process.pid), encoding="utf-8")
        run(self._incus("admin", "waitready", f"--timeout={READY_SECONDS}"), self.log)

    def fill(self, rootfs: Path) -> None:
        """Make the pool and the image; one container is made and removed, so that the image lies in the pool."""
        preseed = {
            "storage_pools": [{"name": POOL, "driver": "btrfs", "config": {"size": POOL_SIZE}}],
            "profiles": [{"name": "default", "devices": {"root": {"type": "disk", "path": "/", "pool": POOL}}}],
        }
        run(self._incus("admin", "init", "--preseed", stdin=json.dumps(preseed)), self.log)
        metadata = self.directory / "metadata.yaml"
        about = {"architecture": platform.machine(), "creation_date": 1, "properties": {"description": IMAGE}}
        metadata.write_text(json.dumps(about), encoding="utf-8")
        packed = self.directory / "metadata.tar"
        with tarfile.open(packed, "w") as archive:
            archive.add(metadata, "metadata.yaml")
        run(self._incus("image", "import", str(packed), str(rootfs), "--alias", IMAGE), self.log)
        run(self._incus("launch", IMAGE, FIRST), self.log)
        run(self._incus("delete", "--force", FIRST), self.log)

    def remove_instances(self) -> None:
        names = output(self._incus("list", "--format=csv", "--columns=n")).split()
        if names:
            run(self._incus("delete", "--force", *names), self.log)

    def remove(self) -> None:
        """Remove the daemon and all it made; also what a killed run left, whose daemon may be dead."""
        if (self.directory / "database").exists():
            if not self._pid():
                self.start()
            self._empty()
        if pid := self._pid():
            _end(pid)
        for mount in reversed(_mounts_below(self.directory)):
            run(("umount", "--lazy", mount), self.log)
        for loop in _loops_below(self.directory):
            run(("losetup", "--detach", loop), self.log)
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        return output(self._incus("--version")).strip()

    def _empty(self) -> None:
        self.remove_instances()
        for fingerprint in output(self._incus("image", "list", "--format=csv", "--columns=F")).split():
            run(self._incus("image", "delete", fingerprint), self.log)
        if POOL in output(self._incus("storage", "list", "--format=csv", "--columns=n")).split():
            if "root" in output(self._incus("profile", "device", "list", "default")).split():
                run(self._incus("profile", "device", "remove", "default", "root"), self.log)
            run(self._incus("storage", "delete", POOL), self.log)

    def _incus(self, *arguments: str, stdin: str = "") -> Command:
        return Command(("incus", *arguments), stdin=stdin, env=self.env)

    def _pid(self) -> int:
        """The daemon's pid, or 0. A pid file can outlive its process, so the process must be an incusd."""
        try:
            pid = int(self._pidfile.read_text(encoding="utf-8"))
            return pid if str(Path(f"/proc/{pid}/exe").readlink()).startswith(DAEMON) and not _zombie(pid) else 0
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0


def _end(pid: int) -> None:
    """SIGTERM, which leaves instances alone (none is left), and SIGKILL for one that does not listen."""
    for number, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # A child of this run must be reaped, or it stays a zombie; that of a killed run is no child.
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)
    raise CommandFailed(f"incusd (pid {pid}) does not end")


def _zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


def _mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    return [where for where in (line.split()[1] for line in lines) if where.startswith(f"{directory}/")]


def _loops_below(directory: Path) -> list[str]:
    listed = output(("losetup", "--list", "--noheadings", "--output=NAME,BACK-FILE")).splitlines()
    pairs = [line.partition(" ") for line in listed]
    return [loop for loop, _unused, file in pairs if file.strip().startswith(f"{directory}/")]
