# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line from the node that a container leaves to the one that it goes to: rsync(1) and a few words, over ssh(1).

The key is made for one move and lies in ``/run``; it opens nothing but ``arrive`` (``arrive.py``) on the other side.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .. import files

# Overlayfs notes there which file of which file system a copy came from. At the destination these are others, and the
# kernel would refuse the mount (overlayfs.rst, "Sharing and copying layers"); opaque marks and whiteouts have to come.
_FOREIGN = ("origin", "nlink", "uuid")
# rsync(1), EXIT VALUES: files vanished while they were read, which is nothing unusual of a container that runs.
_VANISHED = 24
# Not all was transferred. What rsync says then of files that were other ones, or shorter, than they were when it looked
# at them; of the other side, such as a disk that is full there, it says other things.
_PARTIAL = 23
_OF_CHANGES = re.compile(
    r"rsync: \[sender\]|(ERROR|WARNING): .* failed verification|file has vanished:|rsync error: .*\(code 23\)"
)
_CODES = {11: ": a file could not be written or read, as on a full disk", 12: ": the connection broke"}
# Seconds by which the times of files may be behind the clock; it is no harm to look at a file once too often.
_CLOCK = 2.0
# For memory, of which `./dev bench line` has measured it; the figures are in docs/live-migration.md.
_COMPRESS = ("-z", "--compress-choice=zstd", "--compress-level=1")
_OPENING = 10.0  # seconds after which nobody waits for a connection to be there
_ASKING_AGAIN = 60.0  # seconds in which a line that broke may come back


class MoveError(Exception):
    """A container cannot be moved, or was not; the message says why."""


class LineBroken(MoveError):
    """The other node does not answer, so that what it did last is not known."""


class NotBegun(LineBroken):
    """The other node is busy with something else, and has done nothing of what it was asked for this time."""


class Remote:
    """The destination, as the source speaks to it."""

    def __init__(self, directory: str, node: str, address: str, port: int, host_key: str) -> None:
        # Its name in the inventory.
        self.node = node
        self._address = address
        self._directory, self._lines = directory, itertools.count()
        # Containers of one template move side by side; their template goes once.
        self.sending_templates = threading.Lock()
        # The destination does it one after another; that they wait for each other is no reason to come back.
        self.adopting = threading.Lock()
        self._host_part = f"[{address}]" if ":" in address else address
        known = f"{directory}/known_hosts"
        files.write(known, f"carve-destination {host_key}\n", mode=0o600)
        self._ssh = [
            "ssh", "-F", "none", "-i", f"{directory}/key", "-p", str(port), "-o", "IdentitiesOnly=yes",
            "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null",
            "-o", "HostKeyAlias=carve-destination", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10",
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4", "-o", "LogLevel=ERROR", "-l", "root",
        ]  # fmt: skip

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[Remote]:
        """The same, over one connection for all that is asked and sent meanwhile (ssh_config(5), ControlMaster).

        Keys are exchanged once then, before a container stands still. Where there is no such connection, or it breaks,
        each call makes one of its own.
        """
        socket = f"{self._directory}/{next(self._lines)}"
        # It ends with the thread that has it, whatever becomes of the program (prctl(2), PR_SET_PDEATHSIG).
        command = ["/usr/bin/setpriv", "--pdeathsig", "TERM", *self._ssh, "-M", "-S", socket, "-N", self._address]
        nothing = subprocess.DEVNULL
        master = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
        line = copy.copy(self)
        line._ssh = [*self._ssh, "-S", socket]
        try:
            deadline = time.monotonic() + _OPENING
            while not os.path.exists(socket) and master.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            yield line
        finally:
            master.terminate()
            master.wait()

    def ask(self, verb: str, name: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the destination answers. Raises ``MoveError`` with its words, ``LineBroken`` where there are none,
        ``NotBegun`` where it had no time for it."""
        result = subprocess.run(
            [*self._ssh, self._address, "carve", verb, name],
            input=json.dumps(dict(content or {})), capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            answer = json.loads(result.stdout)
        except ValueError:
            said = result.stderr.strip() or f"ssh ended with {result.returncode}"
            raise LineBroken(f"the destination {self._address} does not answer: {said}") from None
        if answer.get("busy"):
            kind = LineBroken if answer.get("begun", True) else NotBegun
            raise kind(f"the destination {self._address} is busy: {answer['error']}")
        if "error" in answer:
            raise MoveError(str(answer["error"]))
        return dict(answer)

    def ask_until_answered(self, verb: str, name: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """``ask``, again and again for a while when the line is broken."""
        deadline = time.monotonic() + _ASKING_AGAIN
        while True:
            try:
                return self.ask(verb, name, content)
            except LineBroken:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def copy(
        self, source: str, destination: str, since: float | None = None, compress: bool = False, running: bool = False
    ) -> int:
        """Make ``destination``, below the other node's ``incoming/``, what ``source`` is; the bytes that went there.

        ``compress`` it on its way. ``since``: of a second pass, when the first began. What was written to after
        that is not judged by its size and time, which may be as they were: of a mapped page that is written twice, only
        the first time counts. ``running``: somebody changes it meanwhile, and it is copied again.
        """
        sent = 0
        written = b"" if since is None else b"\0".join(_written(source, since))
        if written:
            # Content alone, and first: for the directories above a listed file, rsync forgets the filters below.
            # What else the files and their directories are, the pass over everything puts right.
            how = ["-aHS", "--force", "--ignore-times", "--from0", "--files-from=-", "--ignore-missing-args"]
            sent = self._rsync(how, source, destination, written, running)
        how = ["-aHAXS", *(_COMPRESS if compress else ()), "--delete"]
        how += [f"--filter=-x trusted.overlay.{name}" for name in _FOREIGN]
        return sent + self._rsync(how, source, destination, running=running)

    def _rsync(self, how: list[str], source: str, destination: str, names: bytes = b"", running: bool = False) -> int:
        command = ["rsync", *how, "--numeric-ids", "--modify-window=-1", "--stats", "--no-human-readable"]
        command += ["-e", " ".join(self._ssh), f"{source}/", f"{self._host_part}:{destination}/"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        result = subprocess.run(command, input=names, capture_output=True, check=False, env=environment)
        said = result.stderr.decode("utf-8", "replace").strip().splitlines()
        changed = running and result.returncode == _PARTIAL and only_of_changes(said)
        if result.returncode not in (0, _VANISHED) and not changed:
            # The other side's words may be lost when it ends in the middle of something.
            code = f"rsync ended with {result.returncode}{_CODES.get(result.returncode, '')}"
            raise MoveError(f"copying to {self._address} failed: {'; '.join(said[:4]) or code}")
        for line in result.stdout.decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                if line.startswith("Total bytes sent:"):
                    return int(line.rpartition(":")[2])
        return 0


def only_of_changes(said: list[str]) -> bool:
    """Whether rsync complains of nothing but files that changed while it read them."""
    return all(_OF_CHANGES.match(line) for line in said if line)


def _written(top: str, since: float) -> Iterator[bytes]:
    """The regular files below a directory whose inodes have changed since then, by their names below it."""
    start = os.fsencode(top)
    for directory, _directories, names in files.walk(start):
        for name in names:
            path = os.path.join(directory, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue  # of a container that runs
            if stat.S_ISREG(found.st_mode) and found.st_ctime >= since - _CLOCK:
                # Of a list, rsync takes what begins with # or ; for comments.
                yield os.path.join(b".", os.path.relpath(path, start))
