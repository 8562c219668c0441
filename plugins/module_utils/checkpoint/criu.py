# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CRIU (criu(8)): the dump called directly, the restore by LXC, which makes a monitor for what comes of it.

The dump has the arguments that LXC gives it. lxc-checkpoint does not dump a container that was itself restored.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable

from .. import files
from ..engines import lxc
from ..host import Box, Host
from ..kernel import cgroup
from ..paths import LIBRARY, RESTORING, SEARCH
from . import look, sharing

SCRIPT = f"{LIBRARY}/checkpoint"
WHOLE, AHEAD, GOING_ON = "whole", "ahead", "going on"
_DUMP_LOG, _RESTORE_LOG = "dump.log", "restore.log"  # LXC's name for the second one
# Of a file that is open and has no name any more, such as a library that was replaced or a database's temporary file,
# the content goes into the images; CRIU's own limit for that is a megabyte.
_GHOSTS = "256M"
_COLLECTING = 60  # seconds that freezing all processes may take
_RESTORING = 300.0  # seconds after which a restore hangs, and
_SLOWEST = 5 << 20  # bytes a second by which its memory is read
_ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C.UTF-8"}
_WORDS = re.compile(r"^(?:\([^)]*\))?\s*(?:\d+:\s+)?Error \([^)]*\): (.*)$")


def dump_arguments(
    pid: int,
    name: str,
    images: str,
    controllers: Iterable[str],
    binds: Iterable[str],
    kind: str = WHOLE,
    before: str | None = None,
) -> list[str]:
    """``binds`` are the places, below the container's root, where LXC has bound something of the node's.

    A dump ``AHEAD`` writes memory alone and lets the container run; the one after it writes what has changed since the
    one ``before``, which lies beside it. One ``GOING_ON`` writes everything, and the container goes on as well.
    """
    group = f"{cgroup.PARENT}/{name}"
    arguments = [
        "criu", "pre-dump" if kind == AHEAD else "dump", "--tcp-established", "--file-locks", "--link-remap",
        "--manage-cgroups=full",
        "--ext-mount-map", "auto", "--enable-external-sharing", "--enable-external-masters",
        "--enable-fs", "hugetlbfs", "--enable-fs", "tracefs", "--force-irmap",
        "--ghost-limit", _GHOSTS, "--timeout", str(_COLLECTING), "-D", images, "-o", f"{images}/{_DUMP_LOG}", "-v3",
        "--cgroup-root", f"{','.join(controllers)}:{group}", "-t", str(pid),
        "--freeze-cgroup", f"{cgroup.ROOT}/{group}",
    ]  # fmt: skip
    arguments += ["--track-mem"] if kind == AHEAD else ["--skip-in-flight", "--action-script", SCRIPT]
    arguments += ["--leave-running"] if kind == GOING_ON else []
    if before:
        arguments += ["--track-mem", "--prev-images-dir", f"../{before}"]
    for place in binds:
        arguments += ["--ext-mount-map", f"/{place}:{place}"]
    return arguments


def bound_places(configuration: str) -> list[str]:
    """Where LXC binds what, by the lines of a container's configuration and by what LXC's own files add to them."""
    places = ["sys/fs/fuse/connections"]
    for line in configuration.splitlines():
        key, _sep, value = line.partition(" = ")
        if key == "lxc.mount.entry":
            _source, place, _kind, options, *_rest = value.split()
            if {"bind", "rbind"} & set(options.split(",")):
                places.append(place)
    return places


def can_track_memory() -> bool:
    """Whether the kernel can say what of its memory a process has written to since it was last asked."""
    command = ["criu", "check", "--feature", "mem_dirty_track"]
    return subprocess.run(command, check=False, capture_output=True, env=_ENVIRONMENT).returncode == 0


def dump(host: Host, box: Box, images: str, kind: str = WHOLE, before: str | None = None) -> None:
    """Write a running container's processes and memory to a new directory; a ``WHOLE`` dump is the end of them.

    Raises ``EngineError``; the container goes on running then. CRIU holds a lock on the directory for as long as it is
    at work there, also when whoever called it has ended.
    """
    controllers = (files.read(f"{cgroup.ROOT}/cgroup.controllers") or "").split()
    binds = bound_places(files.read(lxc.config_path(box)) or "")
    sharing.separate(look.namespaces_of(host, box))
    command = dump_arguments(box.pid or 0, box.name, images, controllers, binds, kind, before)
    lock = os.open(images, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, errors="replace",
            env=_ENVIRONMENT, cwd="/", pass_fds=(lock,), start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(lock)
    if result.returncode:
        said = words(files.read(f"{images}/{_DUMP_LOG}") or "") or result.stderr.strip() or str(result.returncode)
        raise lxc.EngineError(f"CRIU does not checkpoint it: {said}")


def is_at_work(images: str) -> bool:
    """Whether CRIU still writes there, or still makes a container anew of what is there."""
    fd = os.open(images, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def has_ended_well(images: str) -> bool:
    return "Dumping finished successfully" in (files.read(f"{images}/{_DUMP_LOG}") or "")


def restore(host: Host, box: Box, images: str) -> int:
    """Make a container anew from its images; its init's process id. Raises ``EngineError`` with CRIU's words.

    The images are locked as in ``dump``; what becomes the container's monitor keeps that lock, long after they are
    gone.
    """
    log = f"{host.paths.run}/{box.name}.log"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    command = ["lxc-checkpoint", "-r", "-P", host.paths.containers, "-n", box.name, "-D", images, "-A", SCRIPT]
    patience = _RESTORING + sum(map(_bytes, (images, f"{images}.ahead"))) / _SLOWEST
    lock = os.open(images, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(BlockingIOError):  # what the attempt before this one has left is still ending
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The monitor keeps its descriptors open; and LXC waits for ever where CRIU hangs.
        process = subprocess.Popen(
            [*command, "-o", log, "-l", "INFO"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**_ENVIRONMENT, RESTORING: "1"}, cwd="/", pass_fds=(lock,),
            start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(lock)
    try:
        status = process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status = None
    pid = lxc.init_pid(host, box.name) if status == 0 else None
    if pid is None:
        kill(host, box.name)
        said = words(files.read(f"{images}/{_RESTORE_LOG}") or "")
        hung = f"it was not done after {patience:.0f} s" if status is None else ""
        raise lxc.EngineError(said or hung or lxc.why(log) or "LXC does not say why")
    return pid


def _bytes(images: str) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(images)) if os.path.isdir(images) else 0


def kill(host: Host, name: str) -> None:
    """End all that a failed restore has left: processes, and whatever watches over them."""
    deadline = time.monotonic() + 10
    for top in (*host.cgroup.directories(name), *host.cgroup.directories(name, cgroup.MONITORS)):
        while os.path.exists(f"{top}/cgroup.kill") and time.monotonic() < deadline:
            files_left = files.read(f"{top}/cgroup.events") or ""
            if "populated 1" not in files_left:
                break
            with open(f"{top}/cgroup.kill", "w", encoding="ascii") as handle:
                handle.write("1")
            time.sleep(0.02)
    host.cgroup.remove_leftovers(name)


def words(log: str) -> str:
    """What CRIU says went wrong: the first of its errors, of which the later ones follow."""
    found = [match.group(1).strip() for line in log.splitlines() if (match := _WORDS.match(line))]
    return "; ".join(list(dict.fromkeys(found))[:3])
