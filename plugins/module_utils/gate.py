# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The health gate: containers are asked, all side by side, until each of them is well or the time is over.

Asked are, in this order: whether it runs, what its init says, whether a command inside ends with 0, whether a TCP port
accepts. Nothing of it passes through a shell, and what a container answers is only ever compared and shown.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .engines import lxc
from .host import Box, Host
from .kernel import namespaces, syscalls

_AT_ONCE = 16  # it is waiting, mostly
_PAUSE = 0.25  # seconds between two questions to a container
_LONGEST = 20  # seconds that one answer may take, where there are more left
_MOST = 1 << 16  # bytes of what it says that are kept
_GLANCE = 200  # milliseconds between two looks at whether it has ended
_WORDS = 200  # characters of what a command says
# The environment of a fresh root login; nothing of the run's own gets in (--clear-env).
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LC_ALL": "C.UTF-8",
}


def wait(host: Host, boxes: Iterable[Box], rules: Mapping[str, Any]) -> dict[str, str]:
    """Ask until all is well or the time is over; what is wrong in the end, by container. ``rules``: ``model.GATE``."""
    deadline = time.monotonic() + rules["timeout"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = {box.name: pool.submit(_insist, host, box, rules, deadline) for box in boxes}
    found = {name: future.result() for name, future in asked.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def _insist(host: Host, box: Box, rules: Mapping[str, Any], deadline: float) -> str | None:
    while True:
        reason = _ask(host, box, rules, deadline)
        if reason is None or time.monotonic() >= deadline:
            return reason
        time.sleep(_PAUSE)


def _ask(host: Host, box: Box, rules: Mapping[str, Any], deadline: float) -> str | None:
    """What is wrong with a container this moment, or ``None``."""
    pid = lxc.init_pid(host, box.name)
    if pid is None:
        return "it does not run"
    reason = _init(host, box, pid, rules["init"], deadline)
    if reason is None and rules.get("command"):
        reason = _command(host, box, rules["command"], deadline)
    if reason is None and rules.get("port"):
        reason = _port(box, pid, rules["port"], deadline)
    return reason


def _init(host: Host, box: Box, pid: int, accepted: list[str], deadline: float) -> str | None:
    """systemd is asked for its own view of things (systemctl(1)); of any other init it is enough that it lives."""
    try:
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return "its init has ended"
    if program == "lxc-start":
        return "it is still starting"
    if program != "systemd":
        return None
    _status, words = _run(host, box, ["systemctl", "is-system-running"], deadline)
    if words in accepted:
        return None
    if words == "degraded":
        _status, units = _run(host, box, ["systemctl", "--failed", "--plain", "--no-legend", "list-units"], deadline)
        failed = ", ".join(line.split()[0] for line in units.splitlines()[:4] if line.strip())
        return f"its init is degraded: {failed} failed" if failed else "its init is degraded"
    return f"its init is {words.splitlines()[-1][:_WORDS] if words else 'silent'}, not {' or '.join(accepted)}"


def _command(host: Host, box: Box, argv: list[str], deadline: float) -> str | None:
    status, words = _run(host, box, argv, deadline)
    if status == 0:
        return None
    if status is None:
        return f"{argv[0]} did not end in time"
    said = f": {words.splitlines()[-1][:_WORDS]}" if words else " and said nothing"
    return f"{argv[0]} ended with {status}{said}"


def _run(host: Host, box: Box, argv: list[str], deadline: float) -> tuple[int | None, str]:
    """Run a program inside; its exit status, or ``None`` when there was no time left for it, and what it said."""
    command = ["lxc-attach", "-P", host.paths.containers, "-n", box.name, "--clear-env"]
    for name, value in _ENVIRONMENT.items():
        command += ["--set-var", f"{name}={value}"]
    process = subprocess.Popen(
        [*command, "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,
    )
    status, output = _hear(process, time.monotonic() + _left(deadline))
    if status is None:
        # The whole session: what was started inside is a process of its own, and would outlive lxc-attach.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status, output.decode("utf-8", "replace").strip() if status is not None else ""


def _hear(process: subprocess.Popen[bytes], until: float) -> tuple[int | None, bytes]:
    """A program's exit status, ``None`` where it had none in time, and the end of what it said.

    It is the container's: what it leaves behind may hold the pipe open for ever, and it may never stop talking.
    """
    said = b""
    if process.stdout is None:
        return None, said
    with process.stdout as pipe:
        line = select.poll()
        line.register(pipe, select.POLLIN)
        while time.monotonic() < until:
            if line.poll(_GLANCE):
                more = os.read(pipe.fileno(), _MOST)
                said = (said + more)[-_MOST:]
                if not more:
                    break
            elif process.poll() is not None:
                break
    try:
        return process.wait(max(0.0, until - time.monotonic())), said
    except subprocess.TimeoutExpired:
        return None, said


def _left(deadline: float) -> float:
    return min(_LONGEST, max(1.0, deadline - time.monotonic()))


def _port(box: Box, pid: int, port: int, deadline: float) -> str | None:
    """Whether a connection is accepted, tried inside: on the loopback addresses and on the container's own."""
    own = [item for path, value in box.record.fields.items() if path.endswith(".ip") for item in value or ()]
    addresses = ["127.0.0.1", "::1", *(item.partition("/")[0] for item in own)]

    def knock() -> str | None:
        why = "no answer"
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
                    sock.settimeout(min(2.0, _left(deadline)))
                    sock.connect((address, port))
                return None
            except OSError as error:
                why = error.strerror or "timed out"
        return f"port {port} does not accept: {why}"

    try:
        return namespaces.inside(knock, (syscalls.CLONE_NEWNET, f"/proc/{pid}/ns/net"))
    except OSError as error:
        return f"port {port} cannot be tried: {error.strerror}"
