# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a manifest shaped as its JSON Schema says? What jsonschema finds, in words that say what to write instead."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from ..module_utils import model, units
from ..module_utils.model import Problem
from . import known_good, schema

# A jsonschema.ValidationError, whose attributes' types depend on which rule was broken.
Broken = Any

_KINDS: dict[type, str] = {dict: "a map", list: "a list", str: "text", bool: "true or false", int: "a number",
                           float: "a number", type(None): "empty"}  # fmt: skip
_COMMON = ("ansible_host", "ansible_port", "ansible_user", "ansible_connection", "ansible_become")
_WANTED = {"object": "a map", "array": "a list", "string": "text", "boolean": "true or false",
           "integer": "a whole number", "number": "a number"}  # fmt: skip


class Unavailable(Exception):
    """The library that validates is not installed."""


def check(value: Any, text: str, file: str | None) -> list[Problem]:
    """Everything about a manifest's shape that is wrong. ``text`` is the one that ``value`` was read from.

    Shape follows from the text and the schema alone, so that a file found good is not gone through again until one of
    the two changes; loading jsonschema and running it takes longer than all else here. ``file`` is ``None`` for a text
    that must leave no trace.
    """
    rules = schema.manifest_schema()
    digest = hashlib.sha256(f"{json.dumps(rules)}\0{text}".encode(errors="surrogatepass")).hexdigest()
    if file is not None and known_good.has(file, digest):
        return []
    problems = list(dict.fromkeys(_validate(value, rules)))
    if file is not None and not problems:
        known_good.add(file, digest)
    return problems


def _validate(value: Any, rules: schema.Schema) -> Iterator[Problem]:
    try:
        from jsonschema import Draft202012Validator  # here, as it is slow to load and seldom needed
    except ImportError as missing:
        raise Unavailable("jsonschema is missing on the controller; install it: pip install jsonschema") from missing
    for error in Draft202012Validator(rules).iter_errors(value):
        yield from _reword(error, error.schema)


def _reword(error: Broken, outer: schema.Schema) -> Iterator[Problem]:
    """``outer`` is the innermost schema around that describes and exemplifies what is wanted."""
    path = tuple(str(part) for part in error.absolute_path)
    value, rule = error.instance, error.validator_value
    outer = error.schema if "examples" in error.schema else outer
    if error.validator == "anyOf":
        yield from _closest(error, path, outer)
    elif error.validator == "additionalProperties":
        yield from (Problem((*path, name), _unknown(name, error.schema)) for name in _extra(value, error.schema))
    elif error.validator == "required":
        for name in rule:
            if name not in value:
                example = error.schema["properties"][name]
                yield Problem((*path, name), f"is missing; write {name}: {_example(example)}")
    elif error.validator == "const":
        yield Problem(path, f"is {_shown(value)}, which this version of Carve cannot read; write {rule}")
    elif error.validator == "enum":
        yield Problem(path, f"{_shown(value)} is not known here; write one of {', '.join(rule)}")
    elif error.validator == "uniqueItems":
        yield Problem(path, "lists something twice; write each once")
    elif error.validator == "minProperties":
        yield Problem(path, f"is empty; write at least one, such as {_flow(outer['examples'][0])}")
    else:
        yield Problem(path, f"{_is(value, error)}; write {_wanted(outer)}")


def _closest(error: Broken, path: tuple[str, ...], outer: schema.Schema) -> Iterator[Problem]:
    """Of the alternatives of an ``anyOf``, speak of the one that was meant: the first whose type fits."""
    branches: dict[Any, list[Broken]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    for index, causes in branches.items():
        expression = error.validator_value[index] == schema.EXPRESSION
        if not expression and not any(cause.validator in ("type", "enum") and not cause.path for cause in causes):
            for cause in causes:
                yield from _reword(cause, outer)
            return
    choices = [branch["enum"] for branch in error.validator_value if "enum" in branch]
    if choices and isinstance(error.instance, str):
        yield Problem(path, f"{_shown(error.instance)} is not known here; write one of {', '.join(choices[0])}")
    else:
        yield Problem(path, f"{_is(error.instance, error)}; write {_wanted(outer)}")


def _extra(value: dict[str, Any], rules: schema.Schema) -> list[str]:
    patterns = rules.get("patternProperties", {})
    return [
        name
        for name in value
        if name not in rules.get("properties", {}) and not any(re.search(pattern, name) for pattern in patterns)
    ]


def _unknown(name: str, rules: schema.Schema) -> str:
    patterns = rules.get("patternProperties", {})
    if schema.LABEL in patterns:
        try:
            units.parse_label(name)
        except ValueError as error:
            return str(error)
    if schema.INTERFACE in patterns:
        return f"{name!r} cannot be an interface's name; write one such as eth0"
    if schema.TAG in patterns:
        return f"{name!r} cannot be a label's name; write letters, digits, dots, dashes and underscores"
    return f"unknown option; {model.nearest(name, [*rules['properties'], *(_COMMON if patterns else ())])}"


def _is(value: Any, error: Broken) -> str:
    """What was written, and if it is of the right type after all, what about it is wrong."""
    if value is None:
        return "is empty"
    if model.is_deferred(value) and isinstance(value, str):
        return "is an expression, but is needed before there are any variables"
    if error.validator in ("minimum", "maximum"):
        return f"{_shown(value)} is out of range"
    if error.validator == "pattern":
        return f"{_shown(value)} does not fit"
    return f"{_shown(value)} is {_KINDS.get(type(value), 'text')}"


def _wanted(rules: schema.Schema) -> str:
    example = next(iter(rules.get("examples", ())), rules.get("default"))
    fits: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    # Of several types, the one that the example shows.
    names = [name for name in _types(rules) if name in fits and (example is None or isinstance(example, fits[name]))]
    wanted = _WANTED[names[0]] if names else "a value"
    if "boolean" in names:
        return _WANTED["boolean"]
    if example is not None:
        wanted += f" such as {_flow(example)}"
    return wanted


def _types(rules: schema.Schema) -> list[str]:
    """The types of what is written out; expressions are not what somebody who wrote something else wants."""
    found = rules.get("type", [])
    result = [found] if isinstance(found, str) else list(found)
    for branch in rules.get("anyOf", ()):
        result += _types(branch)
    return result


def _example(rules: schema.Schema) -> str:
    return _flow(rules["const"] if "const" in rules else next(iter(rules.get("examples", ())), "..."))


def _flow(value: Any) -> str:
    """A value as YAML's flow style writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f'"{text}"' if isinstance(value, str) and re.search(r": |^[\d:]+$|::|[{}\[\],#]", text) else text


def _shown(value: Any) -> str:
    text = _flow(value) if isinstance(value, (dict, list)) else repr(value)
    if isinstance(value, bool):
        text = "true" if value else "false"
    return text if len(text) <= 60 else f"{text[:57]}..."
