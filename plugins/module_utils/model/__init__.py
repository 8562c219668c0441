# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""THE field table: every option of a container, an interface, a network and a template, once.

A row says how an option is written, what it becomes inside, which facet honours it, and how far a change of it reaches.
Module argument specs and the manifest's JSON Schema are made from these rows when they are imported; the option
documentation is generated from them. Adding an option means one row in one of the files beside this one, and one facet
that honours it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..kinds import KINDS, NESTED, Field
from .container import CONTAINER
from .gate import GATE
from .given import CARD, DEVICE, MOUNT, SCHEDULE
from .network import INTERFACE, NETWORK, RESOLVED_INTERFACE
from .template import BUILD, TEMPLATE

__all__ = (
    "ALLOWABLE", "BUILD", "CARD", "CONTAINER", "DEVICE", "GATE", "INTERFACE", "MOUNT", "NETWORK", "REACHES",
    "RESOLVED_INTERFACE", "SCHEDULE", "TEMPLATE", "Problem", "canonical", "is_deferred", "knows", "meanings", "nearest",
    "row", "show",
)  # fmt: skip

# How far carrying out a change reaches, mildest first.
REACHES = ("live", "create", "restart", "rebuild", "move", "destroy")
# What an operator can allow; the milder ones need no leave.
ALLOWABLE = ("restart", "rebuild", "destroy")


class Problem(NamedTuple):
    """One thing wrong with what was written: where, and a sentence with the remedy."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}"


_ROWS = {field.name: field for field in CONTAINER}
_INTERFACE_ROWS = {field.name: field for field in RESOLVED_INTERFACE}
# Pseudo-rows: differences that plans name though nobody declares them.
_OTHER = {
    "config": Field("config", "text", "boot", "live", "The container's LXC configuration file."),
}


def row(path: str) -> Field:
    """The row of a flat path such as ``ram`` or ``network.eth0.ip``. Raises ``KeyError`` for an unknown one."""
    if path.startswith("network."):
        return _INTERFACE_ROWS[path.rsplit(".", 1)[1]]
    return _ROWS.get(path) or _OTHER[path]


def row_name(path: str) -> str:
    """The row's own path: of an interface's option, ``network.ip``, whichever the interface."""
    parts = path.split(".")
    return f"{parts[0]}.{parts[-1]}" if len(parts) == 3 else path


def knows(path: str) -> bool:
    """Whether a flat path is of this version: the record of a container may be a newer one's."""
    return path.rsplit(".", 1)[1] in _INTERFACE_ROWS if path.startswith("network.") else path in _ROWS


def show(path: str, value: Any) -> str | None:
    """A canonical value as people write it; ``None`` (not declared, no limit) stays ``None``."""
    return None if value is None else KINDS[row(path).kind].show(value)


def is_deferred(value: Any) -> bool:
    """Whether a value is or holds a Jinja expression, which only the task that uses it can fill in."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(is_deferred(item) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(is_deferred(item) for item in value)


def canonical(
    table: tuple[Field, ...], raw: Mapping[str, Any], path: tuple[str, ...] = (), extra: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """The declared options of ``raw`` in canonical form, with defaults, and everything that is wrong with them.

    Options that are absent or ``None`` are not declared. Jinja expressions are left out: their task brings them again.
    """
    rows = {field.name: field for field in table}
    # Which word for an option is written; the first one, of several.
    words: dict[str, str] = {}
    problems = [
        Problem((*path, str(name)), f"unknown option; {nearest(str(name), [*rows, *extra])}")
        for name in raw
        if name not in rows and name not in extra
    ]
    result: dict[str, Any] = {}
    for name, field in rows.items():
        value = raw.get(name)
        if value is None:
            if field.required:
                problems.append(Problem((*path, name), f"is missing; write {name}: {_example(field)}"))
            elif field.default is not None:
                result[name] = field.default
            continue
        other = next((words[meant] for meant in meanings(field) if meant in words), None)
        if other is not None:
            problems.append(Problem((*path, name), f"says again what {other} says beside it; delete one of the two"))
            continue
        words.update(dict.fromkeys(meanings(field), name))
        if field.keys is not None and isinstance(value, Mapping):
            result[name], found = _keyed(field, value, (*path, name))
            problems += found
        elif not is_deferred(None if field.kind in NESTED and isinstance(value, Mapping) else value):
            try:
                result.update(dict.fromkeys(meanings(field), KINDS[field.kind].parse(value, field)))
            except ValueError as error:
                problems.append(Problem((*path, name), str(error)))
    return result, problems


def _keyed(field: Field, raw: Mapping[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], list[Problem]]:
    """A keyed map's canonical form: its entries by canonical key. Entries left empty are those of their defaults."""
    result: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in raw.items():
        here = (*path, str(key))
        try:
            name = field.keys(key) if field.keys else key
            if name in result:
                raise ValueError(f"is written twice, as {name}; write it once")
            if field.rows and value is not None and not isinstance(value, Mapping):
                raise ValueError(f"is not a map; write {_entry_example(field)}")
            if field.rows:
                result[name], found = canonical(field.rows, value or {}, here)
                problems += found
            elif value is not None and not is_deferred(value):
                result[name] = field.values(name, value) if field.values else value
        except ValueError as error:
            problems.append(Problem(here, str(error)))
    return dict(sorted(result.items())), problems


def _entry_example(field: Field) -> str:
    key, entry = next(iter(field.example.items()))
    return f"{key}: {{{', '.join(f'{name}: {str(item).lower()}' for name, item in entry.items())}}}"


def meanings(field: Field) -> tuple[str, ...]:
    """The options that a row sets: those that it is another word for, or itself."""
    return field.spelling or (field.name,)


def _example(field: Field) -> str:
    if field.choices:
        return " or ".join(field.choices)
    return str(field.example) if field.example is not None else "a value"


# More than these are no help in a message.
_MANY = 15


def nearest(name: str, known: list[str]) -> str:
    """What to write instead of a name that is not known."""
    import difflib  # here, for only mistakes pay for it

    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]}?"
    if len(known) > _MANY:
        return "write one that docs/manifest.md lists"
    return f"write {'one of ' if len(known) > 1 else ''}{', '.join(sorted(known))}"
