# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a value fit a JSON Schema? Yes or no, quickly, for the rules that our schema is made of and no others.

A good manifest needs no more than the yes, and jsonschema takes longer to load, and then to say so, than all else does
that is done with it. Whatever is not certainly good is jsonschema's to explain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _number,
    "null": lambda value: value is None,
}
_NOT_RULES = {"$schema", "$defs", "title", "description", "examples", "default"}


class Unknown(Exception):
    """The schema has a rule that is not known here."""


def compiled(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Check:
    """A function that says whether a value fits. Raises ``Unknown``."""
    definitions = definitions if definitions is not None else schema.get("$defs", {})
    if "$ref" in schema:
        if set(schema) != {"$ref"}:
            raise Unknown("$ref with others beside it")
        return compiled(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    checks: list[Check] = []
    kinds = schema.get("type")
    if kinds is not None:
        checks.append(_any([_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]))
    for rule, value in schema.items():
        if rule in _RULES:
            checks.append(_RULES[rule](value))
        elif rule == "anyOf":
            checks.append(_any([compiled(branch, definitions) for branch in value]))
        elif rule == "items":
            checks.append(_items(compiled(value, definitions)))
        elif rule not in _NOT_RULES | {"type", "properties", "patternProperties", "additionalProperties"}:
            raise Unknown(rule)
    if "properties" in schema or "patternProperties" in schema or "additionalProperties" in schema:
        checks.append(_members(schema, definitions))
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


def _any(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    return lambda value: any(check(value) for check in checks)


def _items(check: Check) -> Check:
    return lambda value: not isinstance(value, list) or all(map(check, value))


def _members(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Check:
    named = {name: compiled(body, definitions) for name, body in schema.get("properties", {}).items()}
    patterns = [
        (re.compile(pattern), compiled(body, definitions))
        for pattern, body in schema.get("patternProperties", {}).items()
    ]
    more = schema.get("additionalProperties", True)
    rest = compiled(more, definitions) if isinstance(more, dict) else (lambda _value: bool(more))

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name, member in value.items():
            found = named.get(name)
            if found is not None and not found(member):
                return False
            known = found is not None
            for pattern, fits in patterns:
                if pattern.search(name):
                    known = True
                    if not fits(member):
                        return False
            if not known and not rest(member):
                return False
        return True

    return check


def _enum(allowed: list[Any]) -> Check:
    if not all(isinstance(one, str) for one in allowed):
        raise Unknown("enum of other than text")
    return lambda value: isinstance(value, str) and value in allowed


def _const(wanted: Any) -> Check:
    return lambda value: bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _pattern(text: str) -> Check:
    search = re.compile(text).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _required(names: list[str]) -> Check:
    return lambda value: not isinstance(value, dict) or all(name in value for name in names)


def _least(count: int) -> Check:
    return lambda value: not isinstance(value, list) or len(value) >= count


_RULES: dict[str, Callable[[Any], Check]] = {
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "required": _required,
    "minItems": _least,
    "minimum": lambda least: lambda value: not _number(value) or value >= least,
    "maximum": lambda most: lambda value: not _number(value) or value <= most,
    "minProperties": lambda least: lambda value: not isinstance(value, dict) or len(value) >= least,
    # Of texts only; of anything else it is not certain.
    "uniqueItems": lambda _yes: (
        lambda value: (
            not isinstance(value, list)
            or (all(isinstance(item, str) for item in value) and len(set(value)) == len(value))
        )
    ),
}
