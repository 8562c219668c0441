# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Template definitions: what is declared, and the version that follows from it.

A version is the digest of the definition, so that the same text means the same root filesystem by intent on every node,
and a changed text a new version beside the old one. A template that starts ``from`` another carries that one's version
in its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import model, units
from .model import Problem

SOURCES = ("build", "archive", "from")


@dataclass(frozen=True)
class Template:
    """One template: its canonical definition and its version."""

    name: str
    definition: Mapping[str, Any]
    digest: str

    @property
    def parent(self) -> str | None:
        return self.definition.get("from")


def parse(raw: Mapping[str, Any], path: tuple[str, ...] = ("templates",)) -> tuple[dict[str, Template], list[Problem]]:
    """All templates of a fleet. One that is wrong, or starts from a wrong one, is left out and its problem told."""
    problems: list[Problem] = []
    definitions: dict[str, dict[str, Any]] = {}
    raw = {str(name): body for name, body in raw.items()}
    for name, body in raw.items():
        found = _definition(name, body, (*path, name))
        if isinstance(found, list):
            problems += found
        else:
            definitions[name] = found
    templates: dict[str, Template] = {}
    for name in definitions:
        chain = _chain(name, definitions)
        end = definitions[chain[-1]].get("from")
        if end in chain:
            problems.append(Problem((*path, name, "from"), f"starts from itself by way of {end!r}; write another one"))
        elif end is not None and end not in raw:
            known = ", ".join(sorted(raw))
            if chain[-1] == name:
                problems.append(Problem((*path, name, "from"), f"there is no template {end!r}; write one of {known}"))
        elif end is None:
            digest = ""
            for link in reversed(chain):
                digest = _digest(definitions[link], digest)
            templates[name] = Template(name, definitions[name], digest)
    return templates, problems


def _definition(name: str, body: Any, path: tuple[str, ...]) -> dict[str, Any] | list[Problem]:
    try:
        units.parse_label(name)
    except ValueError as error:
        return [Problem(path, str(error))]
    if not isinstance(body, Mapping):
        return [Problem(path, "is not a map; write build:, archive: or from: below it")]
    found, problems = model.canonical(model.TEMPLATE, body, path)
    sources = [source for source in SOURCES if body.get(source) is not None]
    if len(sources) != 1:
        have = " and ".join(sources) if sources else "none of them"
        problems.append(Problem(path, f"has {have}; write exactly one of build:, archive: (with sha256:) or from:"))
    if "build" in found:
        found["build"], more = model.canonical(
            model.BUILD, found["build"] if isinstance(found["build"], Mapping) else {}, (*path, "build")
        )
        problems += more
    deferred = {name for name in body if model.is_deferred(body[name])}
    if "archive" in found and "sha256" not in deferred and not re.match(r"^[0-9a-f]{64}\Z", found.get("sha256", "")):
        problems.append(Problem((*path, "sha256"), "is not the archive's digest; write what sha256sum prints for it"))
    if "archive" in found and not re.match(r"^(/|https?://)", found["archive"]):
        problems.append(
            Problem(
                (*path, "archive"), f"{found['archive']!r} is no path and no URL; write one such as /srv/root.tar.xz"
            )
        )
    if "sha256" in found and body.get("archive") is None:
        problems.append(Problem((*path, "sha256"), "belongs to archive: only; delete it"))
    return problems or found


def _chain(name: str, definitions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The template, what it starts from, and so on to the last known one; ends before it would repeat."""
    chain = [name]
    while True:
        parent = definitions[chain[-1]].get("from")
        if parent is None or parent in chain or parent not in definitions:
            return chain
        chain.append(parent)


def _digest(definition: Mapping[str, Any], parent: str) -> str:
    text = json.dumps([parent, definition], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
