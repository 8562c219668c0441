# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of options: how each is read, shown, and called by Ansible and JSON Schema; and what a row of them is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import slots, units, words


@dataclass(frozen=True)
class Field:
    """One row. ``facet`` names the room in ``facets/`` that honours the option."""

    name: str
    kind: str
    facet: str
    reach: str
    description: str
    default: Any = None
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    example: Any = None
    # A share of the node: a smaller value is given back before any larger one is taken.
    capacity: bool = False
    # A set of which only the members that were ever declared are ours; others are left alone.
    owned: bool = False
    # Only a container that is sold as a unit has these; a flavor may set them.
    resource: bool = False
    # Named like a secret and none: Ansible wants to be told.
    public: bool = False
    # Of a set, the members whose coming and going needs a restart though the rest is live.
    anew: tuple[str, ...] = ()
    # Of a keyed map: how a key is read, and either the rows below each key or how a key's value is read.
    keys: Callable[[Any], str] | None = None
    rows: tuple[Field, ...] = ()
    values: Callable[[str, Any], Any] | None = None
    # The options that this one is another word for: its value becomes theirs, and is never seen again.
    spelling: tuple[str, ...] = ()


class Kind(NamedTuple):
    """A type of option: how it is read and shown, and what Ansible and JSON Schema call it."""

    parse: Callable[[Any, Field], Any]
    show: Callable[[Any], str]
    ansible: dict[str, Any]
    schema: dict[str, Any]


def _each(parse: Callable[[Any], Any]) -> Callable[[Any, Field], list[Any]]:
    def parse_list(value: Any, _field: Field) -> list[Any]:
        items = value if isinstance(value, (list, tuple)) else [value]
        result = [parse(item) for item in items]
        for item in result:
            if result.count(item) > 1:
                raise ValueError(f"{item!r} is listed twice; write it once")
        return result

    return parse_list


def _parse_choice(value: Any, field: Field) -> str:
    if value not in field.choices:
        raise ValueError(f"{value!r} is not known here; write one of {', '.join(field.choices)}")
    return str(value)


def _parse_choices(value: Any, field: Field) -> list[str]:
    return _each(lambda item: _parse_choice(item, field))(value, field)


def _parse_features(value: Any, field: Field) -> list[str]:
    return sorted(_each(lambda item: words.feature(item, field.choices))(value, field))


def _parse_keyed(_value: Any, field: Field) -> Any:
    """Maps are read by ``model.canonical``; this is something else."""
    raise ValueError(f"is not a map; write {field.name}: with {next(iter(field.example))}: below it")


def _parse_argv(value: Any, _field: Field) -> list[str]:
    """A program and its arguments, each by itself: no shell takes them apart."""
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(
            f"{value!r} is no list of a program and its arguments; write one such as [test, -e, /run/ready]"
        )
    return [_parse_text(item) for item in value]


def _parse_text(value: Any) -> str:
    if not isinstance(value, str) or any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError(f"{value!r} is not one line of text; write a string without control characters")
    return str(value.strip())


def _parse_name(value: Any) -> str:
    return units.parse_hostname(value)


def _parse_map(value: Any, _field: Field) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("is not a map; write names with an address each, such as db.internal: 10.20.0.5")
    hosts = {units.parse_hostname(name): units.parse_address(address) for name, address in value.items()}
    return dict(sorted(hosts.items()))


def _show_list(value: Any) -> str:
    return ", ".join(str(item) for item in value) if value else "none"


def _show_map(value: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(value.items())) if value else "none"


def _show_bool(value: Any) -> str:
    return "true" if value else "false"


def _size(value: Any, field: Field) -> int:
    size = units.parse_size(value)
    if field.minimum is not None and size < field.minimum:
        raise ValueError(
            f"{value!r} is less than {units.show_size(field.minimum)}, the least that can be given; "
            "write a size with its unit such as 512M"
        )
    if 0 < size < units.PAGE:
        raise ValueError(f"{value!r} is less than a page of memory (4K), and would be none; write 0, or 4K or more")
    return size


def _show_keyed(value: Any) -> str:
    """A keyed map in YAML's flow style: ``/srv/data {source: /data/web, read_only: true}``, or ``nofile 1024:4096``."""
    return ", ".join(f"{key} {_show_entry(entry)}" for key, entry in sorted(value.items())) if value else "none"


def _show_entry(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    shown = (f"{key}: {_show_bool(item) if isinstance(item, bool) else item}" for key, item in entry.items())
    return "{" + ", ".join(shown) + "}"


def _rate(value: Any, field: Field) -> int:
    rate = units.parse_rate(value)
    if not (field.minimum or 0) <= rate <= (field.maximum or rate):
        low, high = units.show_rate(field.minimum or 0), units.show_rate(field.maximum or 0)
        raise ValueError(f"{value!r} is out of range; write a rate from {low} to {high}")
    return rate


def _parse_firewall(value: Any, _field: Field) -> dict[str, Any]:
    """Who may speak to whom; what is not written is as without a firewall block."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a map; write between: or node: below it, such as {between: deny}")
    strange = sorted(str(key) for key in value if key not in FIREWALL)
    if strange:
        raise ValueError(f"has no option {strange[0]!r}; write between: or node:")
    given = {**FIREWALL, **{key: entry for key, entry in value.items() if entry is not None}}
    if given["between"] not in ("allow", "deny"):
        raise ValueError(f"between: {given['between']!r} is not known here; write allow or deny")
    node = given["node"]
    if isinstance(node, str) and "/" not in node:
        if node not in ("allow", "deny"):
            raise ValueError(f"node: {node!r} is not known here; write allow, deny, or ports such as [tcp/53, udp/53]")
        return given
    try:
        ports = _each(units.parse_port)(node, _field)
    except ValueError as error:
        raise ValueError(f"node: {error}") from None
    return {**given, "node": sorted(ports) or "deny"}


def _show_firewall(value: Any) -> str:
    node = value["node"] if isinstance(value["node"], str) else "+".join(value["node"])
    where = f" ({'+'.join(value['subnet'])})" if value.get("subnet") else ""
    return f"between={value['between']}{where}, node={node}"


# A network's firewall where nothing else is written.
FIREWALL = {"between": "allow", "node": "deny"}


def _count(value: Any, field: Field) -> int:
    number = units.parse_count(value)
    if field.minimum is not None and number < field.minimum:
        raise ValueError(f"{value!r} is less than {field.minimum}, the least that can be given; write one such as 200k")
    if number >= 1 << 32:
        raise ValueError(f"{value!r} is more than any filesystem has; write a number such as 200k")
    return number


_ID = re.compile(r"^(0|[1-9]\d{0,4})\Z", re.ASCII)
_LEAST_OF_ID = 64 << 10


def _parse_disk_limits(value: Any, _field: Field) -> dict[str, dict[str, int]]:
    """What ids inside a container may have, by id."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a map; write ids with their limits, such as 1000: {disk: 1G, inodes: 10k}")
    result: dict[str, dict[str, int]] = {}
    for ident, limits in value.items():
        if isinstance(ident, bool) or not _ID.match(str(ident)) or int(ident) >= slots.RANGE:
            raise ValueError(f"{ident!r} is no id in a container; write a number from 0 to {slots.RANGE - 1}")
        if str(ident) in result:
            raise ValueError(f"{ident} is there twice; write it once")
        if not isinstance(limits, Mapping) or not limits or not limits.keys() <= {"disk", "inodes"}:
            raise ValueError(f"{ident} has no limits that are known; write such as {ident}: {{disk: 1G, inodes: 10k}}")
        one: dict[str, int] = {}
        try:
            if limits.get("disk") is not None:
                one["disk"] = units.parse_size(limits["disk"])
                if one["disk"] < _LEAST_OF_ID:
                    raise ValueError(f"{limits['disk']!r} is less than 64K, the least that can be given; write more")
            if limits.get("inodes") is not None:
                one["inodes"] = _count(limits["inodes"], Field("", "", "", "", "", minimum=1))
        except ValueError as error:
            raise ValueError(f"{ident}: {error}") from None
        if not one:
            raise ValueError(f"{ident} has no limits that are known; write such as {ident}: {{disk: 1G, inodes: 10k}}")
        result[str(ident)] = one
    return dict(sorted(result.items(), key=lambda item: int(item[0])))


def _show_disk_limits(value: Mapping[str, Mapping[str, int]]) -> str:
    shown = []
    for ident, limits in sorted(value.items(), key=lambda item: int(item[0])):
        words = [f"disk {units.show_size(limits['disk'])}"] if "disk" in limits else []
        words += [f"inodes {units.show_count(limits['inodes'])}"] if "inodes" in limits else []
        shown.append(f"{ident}: {' and '.join(words)}")
    return ", ".join(shown) or "none"


_TEXT = {"type": "string"}
_LIST = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

KINDS: dict[str, Kind] = {
    "size": Kind(_size, units.show_size, {"type": "str"}, {"type": ["string", "integer"]}),
    "count": Kind(_count, units.show_count, {"type": "str"}, {"type": ["string", "integer"]}),
    "disk_limits": Kind(_parse_disk_limits, _show_disk_limits, {"type": "dict"}, {"type": "object"}),
    "cpus": Kind(lambda v, f: units.parse_cpus(v), units.show_cpus, {"type": "float"}, {"type": ["number", "string"]}),
    "factor": Kind(lambda v, f: units.parse_factor(v), units.show_cpus, {"type": "float"}, {"type": "number"}),
    "cpuunits": Kind(lambda v, f: units.parse_cpuunits(v), str, {"type": "int"}, {"type": "integer"}),
    "cpulimit": Kind(lambda v, f: units.parse_cpulimit(v), str, {"type": "str"}, {"type": ["number", "string"]}),
    "ioprio": Kind(lambda v, f: units.parse_ioprio(v), str, {"type": "int"}, {"type": "integer"}),
    "cpu_set": Kind(lambda v, f: units.parse_cpu_set(v), str, {"type": "str"}, {"type": ["string", "integer"]}),
    "int": Kind(lambda v, f: units.parse_int(v, f.minimum, f.maximum), str, {"type": "int"}, {"type": "integer"}),
    "bool": Kind(lambda v, f: units.parse_bool(v), _show_bool, {"type": "bool"}, {"type": "boolean"}),
    "choice": Kind(_parse_choice, str, {"type": "str"}, _TEXT),
    "label": Kind(lambda v, f: units.parse_label(v), str, {"type": "str"}, _TEXT),
    "hostname": Kind(lambda v, f: units.parse_hostname(v), str, {"type": "str"}, _TEXT),
    "mac": Kind(lambda v, f: units.parse_mac(v), str, {"type": "str"}, _TEXT),
    "text": Kind(lambda v, f: _parse_text(v), str, {"type": "str"}, _TEXT),
    "addresses": Kind(_each(units.parse_address), _show_list, {"type": "list", "elements": "str"}, _LIST),
    "subnets": Kind(_each(units.parse_subnet), _show_list, {"type": "list", "elements": "str"}, _LIST),
    "choices": Kind(_parse_choices, _show_list, {"type": "list", "elements": "str"}, _LIST),
    "argv": Kind(
        _parse_argv,
        " ".join,
        {"type": "list", "elements": "str"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ),
    "share": Kind(lambda v, f: units.parse_share(v), str, {"type": "str"}, {"type": ["integer", "string"]}),
    "names": Kind(_each(_parse_name), _show_list, {"type": "list", "elements": "str"}, _LIST),
    "lines": Kind(_each(_parse_text), _show_list, {"type": "list", "elements": "str"}, _LIST),
    "hosts": Kind(_parse_map, _show_map, {"type": "dict"}, {"type": "object"}),
    "rate": Kind(_rate, units.show_rate, {"type": "str"}, _TEXT),
    "period": Kind(lambda v, f: units.parse_period(v), str, {"type": "str"}, _TEXT),
    "firewall": Kind(_parse_firewall, _show_firewall, {"type": "dict"}, {"type": "object"}),
    "build": Kind(lambda v, f: v, str, {"type": "dict"}, {"type": "object"}),
    "interfaces": Kind(lambda v, f: v, str, {"type": "dict"}, {"type": "object"}),
    "mount_source": Kind(lambda v, f: words.mount_source(v), str, {"type": "str"}, _TEXT),
    "network_card": Kind(lambda v, f: words.network_card(v), str, {"type": "str"}, _TEXT),
    "timezone": Kind(lambda v, f: words.timezone(v), str, {"type": "str"}, _TEXT),
    "capabilities": Kind(
        lambda v, f: sorted(_each(words.capability)(v, f)), _show_list, {"type": "list", "elements": "str"}, _LIST
    ),
    "features": Kind(_parse_features, _show_list, {"type": "list", "elements": "str"}, _LIST),
    "keyed": Kind(_parse_keyed, _show_keyed, {"type": "dict"}, {"type": "object"}),
}


# Kinds whose options have rows of their own: one that is deferred does not defer the others.
NESTED = ("build", "interfaces", "keyed")
