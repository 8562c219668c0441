# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things lie on a node."""

from __future__ import annotations

import os

LIBRARY = "/usr/lib/carve"
# Where the node's own programs are looked for, whatever the caller's PATH.
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
_FROZEN = ".frozen"
# In a container's directory: the images of one that is suspended (``checkpoint/suspend.py``); and in their directory,
# once their processes have run again since, and may have changed files (``checkpoint/script.py``).
MEMORY, USED = "memory", "used"
# In the environment of what makes a container anew of them: no start, and LXC's hooks are the same.
RESTORING = "CARVE_RESTORING"
# In the directory of a container that has gone back to earlier files and is still to be started.
RETURNING = "returning.json"
# In the directory of a container that has come here by a move, and was found to run as it did.
ARRIVED = "arrived"


class Paths:
    """All state of a node lies below ``base``; ``run`` holds what a reboot may take away."""

    # No dataclass: LXC's hook waits for this module at every start, and dataclasses take longer to load than it runs.
    def __init__(self, base: str = "/var/lib/carve", run: str = "/run/carve") -> None:
        self.base = base
        self.run = run

    @property
    def containers(self) -> str:
        """LXC's own container path (``lxc-ls -P``): a directory each, and a container is what is listed here."""
        return f"{self.base}/containers"

    @property
    def templates(self) -> str:
        return f"{self.base}/templates"

    @property
    def staging(self) -> str:
        """What is being made or removed. Nothing in here is anything yet, or any more."""
        return f"{self.base}/staging"

    @property
    def incoming(self) -> str:
        """What another node is sending: containers and templates that are not here yet."""
        return f"{self.base}/incoming"

    @property
    def departing(self) -> str:
        """Containers that are set aside while they move to another node, until they are known to run there."""
        return f"{self.base}/departing"

    @property
    def kept(self) -> str:
        """The old root filesystems of containers whose rebuild has not yet passed its gate (``trial.py``)."""
        return f"{self.base}/kept"

    @property
    def snapshots(self) -> str:
        """Earlier states of containers' files (``snapshots/``), a directory for each container that has any."""
        return f"{self.base}/snapshots"

    @property
    def taking(self) -> str:
        """Snapshots that are being taken or removed. No container has this name."""
        return f"{self.snapshots}/.taking"

    @property
    def snapshots_lock(self) -> str:
        """Who copies a container's files without the node's lock holds this; it is taken before that."""
        return f"{self.run}/snapshots.lock"

    @property
    def usages(self) -> str:
        """What containers have used in runs that are over (``usage.py``)."""
        return f"{self.base}/usage"

    @property
    def networks(self) -> str:
        return f"{self.base}/networks.json"

    @property
    def lock(self) -> str:
        return f"{self.run}/lock"

    def container(self, name: str) -> str:
        return f"{self.containers}/{name}"

    def template(self, name: str, version: str) -> str:
        return f"{self.templates}/{name}/{version}"

    def move(self, ident: str) -> str:
        """Where a node keeps what it needs to speak with another during a move: keys, above all."""
        return f"{self.run}/moves/{ident}"

    def monitor(self, name: str) -> str:
        """Where the hook notes which monitor process has a container, for as long as it has it."""
        return f"{self.run}/{name}.monitor"

    def failure(self, name: str) -> str:
        """Where it is noted why a container did not start, until it does."""
        return f"{self.run}/{name}.failed"

    def restored(self, name: str) -> str:
        """Noted of a container that was made anew from its memory: LXC does not start it again when it reboots."""
        return f"{self.run}/{name}.restored"

    def still(self, name: str) -> str:
        """Where the container is waited for that stands still while a snapshot is taken of it, and of its memory."""
        return f"{self.run}/{name}.still"

    def snapshot(self, container: str, name: str) -> str:
        return f"{self.snapshots}/{container}/{name}"

    def frozen(self, name: str) -> str:
        """Where it is noted that a container is frozen, for as long as it is."""
        return f"{self.run}/{name}{_FROZEN}"

    def frozen_notes(self) -> list[str]:
        try:
            return [f"{self.run}/{name}" for name in os.listdir(self.run) if name.endswith(_FROZEN)]
        except FileNotFoundError:
            return []

    @staticmethod
    def of_frozen_note(note: str) -> str:
        return os.path.basename(note)[: -len(_FROZEN)]

    def usage(self, name: str) -> str:
        return f"{self.usages}/{name}.json"

    @property
    def usage_lock(self) -> str:
        """Who reads what the kernel counts and adds it to what was counted before holds this."""
        return f"{self.run}/usage.lock"

    def shown(self, name: str) -> str:
        """A directory of the node's that a container sees, read-only: what it is told of itself."""
        return f"{self.run}/shown/{name}"

    def make_shown(self, name: str) -> None:
        """Make the directory that a container sees. The container must get there, and the umask may be anybody's."""
        for path, mode in ((self.run, 0o711), (os.path.dirname(self.shown(name)), 0o711), (self.shown(name), 0o755)):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, mode)

    def make(self) -> None:
        """Make the directories. 0711: an unprivileged container must pass through, nobody need list.

        Here and later modes are what they are meant to be, whatever umask this process was given.
        """
        os.umask(0o022)
        places = (self.containers, self.templates, self.staging, self.incoming, self.departing, self.kept, self.usages)
        for path in (self.base, *places, self.run):
            os.makedirs(path, mode=0o711, exist_ok=True)
        # No container has to get there, and nobody else has anything to seek in what customers had.
        os.makedirs(self.snapshots, mode=0o700, exist_ok=True)
