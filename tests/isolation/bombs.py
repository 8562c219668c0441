# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bombs: a container that takes without end what it has a limit of, or breaks what it runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.carve.vps.tests.integration.support import booted
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, PROCESSES, Scene

_MARK = "carve-attack-flood"


def _few_processes(scene: Scene, report: Report) -> str | None:
    forked = report.told["forked"]
    return f"it made {forked} processes" if forked > PROCESSES else None


def _nothing_in_the_nodes_log(_scene: Scene, _report: Report) -> str | None:
    found = subprocess.run(["dmesg"], check=False, capture_output=True, text=True, errors="replace").stdout
    places = [Path("/var/log/syslog"), Path("/var/log/messages"), Path("/var/log/kern.log")]
    texts = [path.read_text(errors="replace") for path in places if path.exists()]
    if Path("/run/systemd/journal").exists():
        texts.append(
            subprocess.run(["journalctl", "--since=-5min"], check=False, capture_output=True, text=True).stdout
        )
    return "its lines are in the node's log" if any(_MARK in text for text in (found, *texts)) else None


def _init_is_gone(scene: Scene, _report: Report) -> str | None:
    """systemd catches the signal and stands still for ever. The node has to be able to do without it."""
    for state in ("stopped", "running"):
        scene.fleet.declare(ATTACKER, **{**scene.fleet.containers[ATTACKER], "state": state})
        # Not ``apply``, which expects the container to be as it was when it was looked at: this one may just be ending.
        result = scene.fleet.run()
        assert not result.get("failed"), result["msg"]
    booted(ATTACKER)
    return None


ATTACKS = [
    Attack(
        name="fork bomb",
        tried="processes forked until there are no more",
        stopped_by="cgroup pids (`processes`)",
        code="""
children = []
try:
    while len(children) < 5000:
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except OSError as error:
    assert error.errno == errno.EAGAIN
tell(forked=len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
for child in children:
    os.waitpid(child, 0)
""",
        harm=_few_processes,
    ),
    Attack(
        name="zombies",
        tried="children that nobody waits for, each ended at once, until there are no more",
        stopped_by="cgroup pids (`processes`)",
        code="""
children = 0
try:
    while children < 5000:
        if not os.fork():
            os._exit(0)
        children += 1
except OSError as error:
    assert error.errno == errno.EAGAIN
tell(forked=children)
""",
        harm=_few_processes,
    ),
    Attack(
        name="a flood of log lines",
        tried="fifty thousand lines to /dev/log, the console and /dev/kmsg of the container",
        stopped_by="mount namespace (sockets and console of its own), no /dev/kmsg",
        refusals=("ENOENT", "EACCES", "EPERM"),
        code=f"""
line = b"<13>{_MARK} " + b"x" * 200
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.setblocking(False)
sent = 0
try:
    log.connect("/dev/log")
except OSError:
    log = None
for number in range(50000):
    try:
        if log:
            log.send(line)
            sent += 1
    except BlockingIOError:
        pass
tell(sent=sent)
attempt("/dev/kmsg", os.open, "/dev/kmsg", os.O_WRONLY)
with open("/dev/console", "wb", buffering=0) as console:
    for number in range(1000):
        console.write(line + b"\\r\\n")
""",
        harm=_nothing_in_the_nodes_log,
    ),
    Attack(
        name="an init that crashes",
        tried="SIGSEGV, SIGABRT and SIGILL to its process 1; then the node stops and starts the container",
        stopped_by="PID namespace; Carve kills what does not stop",
        code="""
for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL):
    os.kill(1, number)
tell(sent=True)
""",
        harm=_init_is_gone,
    ),
]
