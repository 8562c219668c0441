# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands on a machine, over one SSH connection that is kept open."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from ansible_collections.carve.vps.tests.lab import place

# A machine made anew has another host key under the same name.
UNKNOWN_HOST = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class CommandFailed(AssertionError):
    """A command on a machine that should have succeeded."""


class Ssh:
    def __init__(self, port: int, user: str = "root") -> None:
        self.port, self.user = port, user
        # A socket's path has room for a hundred characters: a directory of its own below /tmp is short enough.
        self._control = Path(tempfile.mkdtemp(prefix="carve-lab-"))

    def __enter__(self) -> Ssh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self, *options: str) -> list[str]:
        return [
            "ssh", *UNKNOWN_HOST, *options, "-i", str(place.key()), "-o", "IdentitiesOnly=yes",
            "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-p", str(self.port), f"{self.user}@127.0.0.1",
        ]  # fmt: skip

    def run(self, command: str, check: bool = True, timeout: float = 300, stdin: str = "") -> str:
        """The output of a shell command; with check=False its exit status before it."""
        keep = ("-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={self._control}/s")
        done = subprocess.run(
            [*self.command(*keep), "--", command],
            input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        if check and done.returncode:
            raise CommandFailed(f"{command}: exit status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip() if check else f"{done.returncode} {done.stdout}{done.stderr}".strip()

    def wait(self, seconds: float) -> None:
        """Wait until the machine answers."""
        deadline = time.monotonic() + seconds
        while not (answer := self.run("true", check=False, timeout=60)).startswith("0"):
            if time.monotonic() > deadline:
                raise place.LabError(f"no SSH on port {self.port} after {seconds:g} s: {answer}")
            time.sleep(0.3)

    def close(self) -> None:
        if (self._control / "s").exists():
            end = ["ssh", "-o", f"ControlPath={self._control}/s", "-O", "exit", "none"]
            subprocess.run(end, capture_output=True, check=False)
        shutil.rmtree(self._control, ignore_errors=True)

    def interactive(self, *command: str) -> None:
        """Become SSH: does not return."""
        argv = self.command()
        os.execvp(argv[0], [*argv, *command])
