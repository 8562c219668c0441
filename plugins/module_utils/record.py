# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a container on its node: whose it is, what it was made from, and what was declared last.

It is kept beside the container, so that the node alone says what a container is. It is how a fleet knows its own (the
mark), how a guard outlives its declaration, and how an option that is no longer declared is told from one that never
was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import files, slots

FILE = "carve.json"
VERSION = 1


@dataclass(frozen=True)
class Record:
    """``fields`` is flat and canonical (``desired.py``)."""

    fleet: str
    name: str
    digest: str
    backend: str
    fields: Mapping[str, Any]
    uuid: str = field(default_factory=lambda: os.urandom(16).hex())
    # Which build of the template lies below it, where that is not the one that this node has made of the definition:
    # two builds of one definition are not the same files, and a container that came from another node brings its own.
    build: str | None = None
    version: int = VERSION

    @property
    def template_version(self) -> str:
        """The directory of the template version that the container was made from."""
        return f"{self.digest}-{self.build}" if self.build else self.digest

    @property
    def slot(self) -> int:
        return int(self.fields["id"])

    @property
    def base_id(self) -> int:
        """The host id of the container's root."""
        return slots.base_id(self.slot)

    def with_fields(self, changes: Mapping[str, Any]) -> Record:
        """The record after changes; an option that becomes ``None`` is no longer declared."""
        merged = {**self.fields, **changes}
        return replace(self, fields={path: value for path, value in merged.items() if value is not None})

    def save(self, directory: str, batch: files.Batch) -> None:
        batch.write(f"{directory}/{FILE}", files.as_json(asdict(self)), mode=0o600)


def load(directory: str) -> Record | None:
    """The record in a container's directory, or ``None`` when there is none that this version can read."""
    data = files.read_json(f"{directory}/{FILE}")
    try:
        record = Record(**data)
        return record if record.version == VERSION and record.slot > 0 else None
    except (TypeError, KeyError, ValueError):
        return None
