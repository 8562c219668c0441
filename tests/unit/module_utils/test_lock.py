# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One writer on a node, or any number of readers; whoever waits in vain is told who holds it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import lock
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

WHO = {"fleet": "acme", "user": "ops", "from": "192.0.2.1"}
# Holds the lock until its standard input ends, or does something else first.
PROGRAM = """
import sys
from ansible_collections.carve.vps.plugins.module_utils import lock
from ansible_collections.carve.vps.plugins.module_utils.kernel import namespaces
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

base, exclusive, then = sys.argv[1:]
with lock.held(Paths(base, base + "/run"), exclusive == "writer", {"fleet": "other", "user": "me"}, 0):
    print("held", flush=True)
    if then == "in a child's way":
        # As if the kernel took its time between the fork and what follows it.
        namespaces.os.read = lambda fd, size: sys.stdin.read()
        namespaces.userns_fd(20)
    sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path), f"{tmp_path}/run")


@contextlib.contextmanager
def holder(paths: Paths, how: str, then: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", PROGRAM, paths.base, how, then]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def attempt(paths: Paths, exclusive: bool = True, timeout: float = 0) -> str | None:
    """What somebody who wants the lock is told, or ``None`` when they get it."""
    try:
        with lock.held(paths, exclusive, WHO, timeout):
            return None
    except lock.Busy as error:
        return str(error)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_writer_keeps_others_out_and_is_named(paths: Paths, exclusive: bool) -> None:
    with holder(paths, "writer") as process:
        told = attempt(paths, exclusive)
        assert told is not None
        assert told.startswith(f"the node is locked by process {process.pid} (since 2")
        assert told.endswith("): fleet other, user me; wait for it, or end that process")
    assert attempt(paths, exclusive) is None


def test_a_killed_writer_frees_it(paths: Paths) -> None:
    with holder(paths, "writer") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert attempt(paths) is None


def test_a_writer_killed_while_it_makes_a_namespace_frees_it_too(paths: Paths) -> None:
    """The helper that holds the namespace must not outlive it, for it has inherited the lock."""
    with holder(paths, "writer", "in a child's way") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text(encoding="ascii").split():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert attempt(paths, timeout=5) is None


def test_readers_share_it_and_keep_writers_out(paths: Paths) -> None:
    with holder(paths, "reader"), holder(paths, "reader"):
        assert attempt(paths, exclusive=False) is None
        assert attempt(paths) == "the node is locked by a run that is reading it; try again"


def test_a_writer_long_gone_is_not_blamed_for_a_reader(paths: Paths) -> None:
    with holder(paths, "writer") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert attempt(paths) is None
    with holder(paths, "reader"):
        assert attempt(paths) == "the node is locked by a run that is reading it; try again"


def test_whoever_waits_long_enough_gets_it(paths: Paths) -> None:
    with holder(paths, "writer") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert attempt(paths, timeout=30) is None


def test_it_is_freed_when_the_work_fails(paths: Paths) -> None:
    with pytest.raises(RuntimeError), lock.held(paths, True, WHO, 0):
        assert attempt(paths) is not None
        raise RuntimeError
    assert attempt(paths) is None
