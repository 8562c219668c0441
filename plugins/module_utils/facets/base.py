# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doors of a facet, and what stands behind those that a facet does not need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..steps import Change


class Facet:
    """One aspect of a container. ``name`` is the facet's name in the field table (``model``)."""

    name = ""
    # Rows whose values the kernel knows while the container runs, and rows whose values are files, known always.
    live_rows: tuple[str, ...] = ()
    file_rows: tuple[str, ...] = ()
    # Whether its live rows cannot stand in LXC's configuration, and are put in place at every start. What a record
    # mentions of such rows, ``hook.py`` has to know.
    late = False

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        """What is found of each container's rows, by container: flat paths and canonical values."""
        return {}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        """The LXC configuration that makes the recorded options hold from the next start on."""
        return []

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        """Carry changes out; on the running container, or (``box.pid`` is ``None``) on its files only.

        Doing it again changes nothing. Raises ``OSError``. The record is written by the caller afterwards.
        """

    def at_start(self, host: Host, box: Box) -> None:
        """Put in place what cannot stand in LXC's configuration, once the container is made and before it runs."""
        if self.late and any(row in box.record.fields for row in self.live_rows):
            self.reapply(host, box)

    def reapply(self, host: Host, box: Box) -> None:
        """Put back what a container loses when it reboots itself.

        LXC then makes cgroup and network namespace anew from the configuration of the first start, which is older than
        what was changed live since; an option that is no longer declared must be undone again, too.
        """
        self.apply_live(host, box, [Change(row, None, box.record.fields.get(row)) for row in self.live_rows])

    def after_restore(self, host: Host, box: Box) -> None:
        """Put in place what CRIU does not bring back. What the container has done itself since its start stays."""
        self.reapply(host, box)

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        """Why what is declared cannot be on this node, a sentence each: nothing is begun then.

        ``box`` is the container, if the node has it already.
        """
        return []

    def furnish(self, host: Host, box: Box) -> None:
        """Write what a new root filesystem needs, which is not shown to anybody yet."""


class OneOption(Facet):
    """A facet of one live option, which is looked at only in containers that have it."""

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        (row,) = self.live_rows
        return {box.name: {row: self.found(box)} for box in boxes if box.pid and row in box.record.fields}

    def found(self, box: Box) -> Any:
        """What a running container has of it; nothing of one that ends meanwhile."""
        raise NotImplementedError
