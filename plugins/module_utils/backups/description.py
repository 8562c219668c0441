# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backup says of itself: ``backup.json`` beside the data. Pure.

It holds a digest of each file of the backup, and one of itself. It is written last, so a backup that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from .. import units
from ..record import Record

FILE, DATA = "backup.json", "data.tar.zst"
TEMPLATE_FILE, TEMPLATE_DATA = "template.json", "rootfs.tar.zst"
VERSION = 1


class BackupError(Exception):
    """A backup cannot be made or used; the message says why."""


def sealed(content: Mapping[str, Any]) -> str:
    """The text of a description, with its own digest in it."""
    return json.dumps({**content, "sha256": _digest(content)}, indent=1, sort_keys=True) + "\n"


def opened(text: str | bytes, where: str) -> dict[str, Any]:
    """A description that is as it was written. Raises ``BackupError``."""
    try:
        content = dict(json.loads(text))
        said = content.pop("sha256")
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"{where} is damaged: it is no description of a backup") from None
    if said != _digest(content):
        raise BackupError(f"{where} is damaged: it is not as it was written")
    if content.get("version") != VERSION:
        raise BackupError(f"{where} was made by another version of Carve; restore it with that one")
    return content


def require_plain(content: Mapping[str, Any], where: str) -> None:
    """Refuse what would be taken for something else where it is used: its digest says that a description is whole, and
    not that it was Carve that wrote it. Raises ``BackupError``."""
    try:
        record = content["record"]
        units.parse_label(record["name"])
        units.parse_label(record["fields"]["template"])
        plain = [record["digest"], *([record["build"]] if record["build"] else [])]
        if content["template"] is not None:
            units.parse_label(content["template"]["name"])
            plain += [content["template"]["digest"], content["template"]["build"]]
        wrong = [one for one in plain if not re.fullmatch("[0-9a-f]+", one)]
        wrong += [text for text in _texts(record["fields"]) if not text.isprintable()]
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{where} is no description of a backup: {error}") from None
    if wrong:
        raise BackupError(f"{where} has {wrong[0]!r} in it, which Carve does not write")


def template_directory(name: str, digest: str, build: str) -> str:
    """Where at a place a template version is. No fleet can have the name of the directory above."""
    return f"_templates/{name}@{digest}-{build}"


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (*_texts(key), *_texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe(
    record: Record, name: str, about: Mapping[str, Any], usage: Mapping[str, Any], template: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All of a backup but its data; ``about`` is that of the snapshot it was made from."""
    return {
        "version": VERSION,
        "container": record.name,
        "fleet": record.fleet,
        "name": name,
        "taken": about["taken"],
        "frozen_s": about["frozen_s"],
        "content_bytes": about["bytes"],
        "files": about["files"],
        "record": asdict(record),
        "usage": dict(usage),
        "template": template,
    }


def record_for(content: Mapping[str, Any], name: str, slot: int) -> Record:
    """The record of a container that is restored: stopped, with its own ids.

    Under its own name it is the same container. Under another one it is one of its own, and what two of them cannot
    both have is left out: the identity, the addresses, the host name that followed from the name.
    """
    old = Record(**content["record"])
    fields = {**old.fields, "id": slot, "state": "stopped"}
    if name == old.name:
        return Record(old.fleet, name, old.digest, old.backend, fields, old.uuid, old.build)
    fields = {path: value for path, value in fields.items() if not path.startswith("network.")}
    if fields.get("hostname") == old.name:
        fields["hostname"] = name
    return Record(old.fleet, name, old.digest, old.backend, fields, build=old.build)
