# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LXC: configuration, start, stop and state of containers, by liblxc's own programs and command socket."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import struct
import subprocess
import time

from .. import facets, files, record
from ..facets import network
from ..host import Box, Host
from ..kernel import cgroup
from ..paths import LIBRARY, SEARCH

CONFIG = "config"
_INCLUDES = ("/usr/share/lxc/config/common.conf", "/usr/share/lxc/config/userns.conf")
_HEADER = (
    "# Written by Carve from the fleet's manifest. What is changed here by hand is named by the next plan\n"
    "# and undone by the next apply; declare it in the manifest instead.\n"
)
_GET_INIT_PID = 4  # lxc_cmd_t in src/lxc/commands.h, unchanged from LXC 2 to 6
_SETTLING = 10  # seconds that a dying container's monitor may take to clear up
# Seconds that a monitor may take to answer: it writes its log in between, and waits for the disk where that is busy.
_ANSWERING = 60
_HOOK = f"{LIBRARY}/hook"
# What lxcfs shows a container of itself instead of the node (lxcfs(1)).
_LXCFS = "/var/lib/lxcfs"
_VIEWS = (
    *(f"proc/{name}" for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime")),
    "sys/devices/system/cpu/online",
)
# Where a container finds what it is told of itself. /dev is there before init, and no init mounts over it.
SHOWN = "dev/carve"
# The kernel counts these on the node's root as well, who owns the containers' user namespaces, and holds each namespace
# to what its maker might have had: by the usual numbers one container could take what all of them need.
_COUNTED_TOGETHER = (resource.RLIMIT_SIGPENDING, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_MEMLOCK)


class EngineError(Exception):
    """LXC did not do what it was asked to; the message holds its own words."""


def config_path(box: Box) -> str:
    return f"{box.directory}/{CONFIG}"


def render(host: Host, box: Box, directory: str | None = None) -> str:
    """The whole configuration file of a container. ``directory`` is where it will lie, for one that is still staged."""
    place = directory or box.directory
    lines = [("lxc.include", path) for path in _INCLUDES]
    lines += [
        # The lxcfs package's hook here is a pause of half a second at every stop.
        ("lxc.hook.post-stop", ""),
        # And this one hands out all of /sys/devices/system/cpu, where lxcfs before version 6 writes as the node's root
        # what the container's root tells it to, and all of itself to a container that has made a place for it.
        ("lxc.hook.mount", ""),
        *(("lxc.mount.entry", f"{_LXCFS}/{file} {file} none bind,optional 0 0") for file in _VIEWS),
        ("lxc.hook.pre-start", _HOOK),
        ("lxc.hook.start-host", _HOOK),
        ("lxc.hook.post-stop", _HOOK),
        ("lxc.rootfs.path", f"dir:{place}/root"),
        ("lxc.cgroup.dir.container", f"{cgroup.PARENT}/{box.name}"),
        ("lxc.cgroup.dir.monitor", f"{cgroup.MONITORS}/{box.name}"),
        ("lxc.cgroup.dir.monitor.pivot", "carve-pivot"),
    ]
    for facet in facets.ALL:
        lines += facet.boot_config(host, box)
    # What a run has used is kept when it ends. LXC removes the pairs, calls hook.stop, and removes the control groups.
    last_look = "lxc.net.0.script.down" if network.interfaces(box.record.fields) else "lxc.hook.stop"
    lines.append((last_look, _HOOK))
    lines.append(("lxc.mount.entry", f"{host.paths.shown(box.name)} {SHOWN} none bind,ro,create=dir 0 0"))
    for key, value in lines:
        # A line more is a hook that runs as the node's root.
        if "\n" in value or "\r" in value or "\0" in value:
            raise OSError(f"{box.name}: {key} would have more than one line: {value!r}")
    return _HEADER + "".join(f"{key} = {value}".rstrip() + "\n" for key, value in lines)


def write_config(host: Host, box: Box, batch: files.Batch, directory: str | None = None) -> None:
    batch.write(config_path(box), render(host, box, directory), mode=0o600)


def strange_lines(host: Host, box: Box) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """How the file differs from what Carve would write: the lines only it has, and those it lacks; or ``None``."""
    text, expected = files.read(config_path(box)), render(host, box)
    if text == expected:
        return None
    have, want = (text or "").splitlines(), expected.splitlines()
    extra = tuple(line for line in have if line.strip() and line not in want)
    missing = tuple(line for line in want if line not in have)
    # Only order, repetition or blank lines: name the first line that stands wrong.
    return (extra, missing) if extra or missing else (("lines in another order, repeated or blank",), ())


def containers(host: Host, unclear: dict[str, Exception] | None = None) -> list[Box]:
    """Every container of Carve's on the node, of whatever fleet, with its init's process id if it runs.

    Those of which nobody can tell whether they run are left out and put into ``unclear``, with the reason. Where that
    is not given the first of them raises ``TimeoutError``.
    """
    boxes = []
    for name in names(host):
        directory = host.paths.container(name)
        found = record.load(directory)
        if found is None or found.name != name:
            continue
        try:
            boxes.append(Box(found, directory, _settled_pid(host, name)))
        except TimeoutError as error:
            if unclear is None:
                raise
            unclear[name] = error
    return boxes


def _settled_pid(host: Host, name: str) -> int | None:
    """``init_pid``, of a container that is not starting, ending or rebooting this moment: those are waited for."""
    deadline = time.monotonic() + _SETTLING
    while True:
        pid = _ask_for_init(host, name)
        if pid is None or (is_alive(pid) and not _is_starting(pid)):
            return pid
        if time.monotonic() > deadline:
            return pid or None
        time.sleep(0.02)


def _is_starting(pid: int) -> bool:
    """Whether what is to become a container's init is still LXC setting the container up.

    By the very file: an init inside may have that name, too.
    """
    try:
        return os.path.samefile(f"/proc/{pid}/exe", shutil.which("lxc-start", path=SEARCH) or "/")
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process still has its namespaces: the first that it loses when it ends, long before its number."""
    try:
        os.readlink(f"/proc/{pid}/ns/uts")
        return True
    except OSError:
        return False


def names(host: Host) -> list[str]:
    """What is listed as a container, Carve's or not."""
    try:
        return sorted(os.listdir(host.paths.containers))
    except FileNotFoundError:
        return []


def init_pid(host: Host, name: str) -> int | None:
    """The process id of a running container's init, asked of its monitor; ``None`` when it does not run.

    Raises ``TimeoutError`` where the monitor lives and does not answer: to take that for a container that is stopped
    would be to start it twice, or to move its files away from under it.
    """
    return _ask_for_init(host, name) or None


def _ask_for_init(host: Host, name: str) -> int | None:
    """``None`` when there is no monitor to ask or it ends meanwhile, 0 when there is, but no init yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(_ANSWERING)
        try:
            sock.connect(f"\0{host.paths.containers}/{name}/command")
            credentials = struct.pack("=iii", os.getpid(), os.getuid(), os.getgid())
            message = struct.pack("@iiP", _GET_INIT_PID, 0, 0)
            sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])
            answer = sock.recv(64)
        except (TimeoutError, BlockingIOError) as error:  # the latter where too many wait for it already
            raise TimeoutError(
                f"LXC's monitor of container {name} does not answer, so whether it runs is not known; "
                f"look for the process named [lxc monitor] {host.paths.containers} {name}"
            ) from error
        except ConnectionError:
            return None
    if len(answer) < 16:
        return None
    # struct lxc_cmd_rsp: int ret, int datalen, void *data; the pid travels in the pointer.
    result, _length, pid = struct.unpack("@iiP", answer[:16])
    return int(pid) if result == 0 and 0 < pid < 1 << 31 else 0


def await_monitor(host: Host, name: str) -> None:
    """Wait for the end of a stopped container's monitor: its last deed, after it has told that the container has
    stopped, is to call the hook that unmounts the root filesystem, be it mounted anew by then."""
    deadline = time.monotonic() + _SETTLING
    while _has_monitor(host, name) and time.monotonic() < deadline:
        time.sleep(0.02)


def _has_monitor(host: Host, name: str) -> bool:
    try:
        with open(f"/proc/{int(files.read(host.paths.monitor(name)) or 0)}/cmdline", encoding="utf-8") as handle:
            return name in handle.read()  # [lxc monitor] LXCPATH NAME
    except (OSError, ValueError):
        return False


def start(host: Host, box: Box) -> int:
    """Start a container and return its init's process id. Raises ``EngineError``."""
    host.cgroup.remove_leftovers(box.name)
    _lift_what_is_counted_together()
    log, note = _log(host, box.name), host.paths.failure(box.name)
    for file in (log, note, host.paths.restored(box.name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)
    command = ["lxc-start", "-P", host.paths.containers, "-n", box.name, "-d", "-o", log, "-l", "INFO"]
    result = _run(command)
    pid = init_pid(host, box.name) if result.returncode == 0 else None
    if pid is None:
        said = (files.read(note) or "").strip() or why(log) or result.stderr.strip() or "its init ended at once"
        raise EngineError(f"{box.name} does not start: {said}")
    return pid


def _lift_what_is_counted_together() -> None:
    """Give this process, and what it starts, no limits there, or the highest that it may have: ``ram`` bounds them."""
    for kind in _COUNTED_TOGETHER:
        _soft, hard = resource.getrlimit(kind)
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):  # a node that is a container itself
            resource.setrlimit(kind, (hard, hard))


def forget(host: Host, name: str) -> None:
    """Remove what LXC keeps of a container outside its directory."""
    host.cgroup.remove_leftovers(name)
    for file in (_log(host, name), host.paths.failure(name), host.paths.restored(name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)


def _log(host: Host, name: str) -> str:
    return f"{host.paths.run}/{name}.log"


def why(log: str) -> str:
    """The lines of LXC's log that say what went wrong."""
    lines = (files.read(log) or "").splitlines()
    for level in (" ERROR ", " WARN "):
        telling = [line.partition(level)[2].strip() for line in lines if level in line]
        if telling:
            return "; ".join(list(dict.fromkeys(telling))[:4])
    return ""


def stop(host: Host, box: Box, timeout: int) -> None:
    """Shut a container down cleanly, or kill it after ``timeout`` seconds; 0 kills it at once."""
    with contextlib.suppress(FileNotFoundError):  # or the hook takes its end for a reboot
        os.unlink(host.paths.restored(box.name))
    how = ["-t", str(timeout)] if timeout else ["-k"]
    result = _run(["lxc-stop", "-P", host.paths.containers, "-n", box.name, *how])
    await_end(host, box.name, result.stderr.strip())


def await_end(host: Host, name: str, said: str = "") -> None:
    """Wait for the end of a container that has been told to end, and of its monitor. Raises ``EngineError``."""
    deadline = time.monotonic() + _SETTLING
    while init_pid(host, name) is not None:
        if time.monotonic() > deadline:
            raise EngineError(f"{name} does not stop: {said or 'its init lives on'}")
        time.sleep(0.02)
    await_monitor(host, name)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": SEARCH, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd="/", stdin=subprocess.DEVNULL
    )
