# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the processes that are measured, and those that prepare for them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# How long an interrupted process may take to put its own things away.
GRACE_SECONDS = 20


class CommandFailed(Exception):
    """A process ended with an error; the message carries the end of what it said."""


@dataclass(frozen=True)
class Command:
    """One process: the unit that is measured, so everything it needs is prepared beforehand."""

    argv: Sequence[str]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def run(command: Command | Sequence[str], log: Path) -> float:
    """Run a process to its end, keep what it says in `log`, and return its wall time in seconds."""
    if not isinstance(command, Command):
        command = Command(command)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {' '.join(command.argv)}\n")
        sink.flush()
        began = time.monotonic()
        # A session of its own: Ctrl-C then reaches this program alone, which passes it on and waits, so that nothing
        # is still making containers while they are being cleared away.
        with subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.env},
            text=True,
            start_new_session=True,
        ) as process:
            try:
                process.communicate(command.stdin)
            except KeyboardInterrupt:
                _interrupt(process)
                raise
        seconds = time.monotonic() - began
        sink.write(f"# ended with {process.returncode} after {seconds:.2f} s\n")
    if process.returncode:
        raise CommandFailed(f"{' '.join(command.argv)} ended with {process.returncode} ({log}):\n{_tail(log)}")
    return seconds


def said(log: Path) -> str:
    """What the last command in this log printed."""
    return log.read_text(encoding="utf-8", errors="replace").rpartition("\n$ ")[2].partition("\n")[2]


def output(command: Command | Sequence[str]) -> str:
    """What a process prints; for looking at things, never for measuring."""
    if not isinstance(command, Command):
        command = Command(command)
    done = subprocess.run(
        command.argv,
        input=command.stdin,
        env={**os.environ, **command.env},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command.argv)} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def _interrupt(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(GRACE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
