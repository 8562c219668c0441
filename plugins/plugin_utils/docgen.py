# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what is generated from the field table: ``python -m ...docgen ROOT``, or ``--check`` to compare only."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..module_utils import argspec, kinds, model
from ..module_utils.kinds import Field
from . import schema

_HEADER = """\
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""
_GENERATED = "Generated from plugins/module_utils/model by `./dev docs`; edit that."
_TYPES = {
    "size": "size",
    "count": "number, such as 200k",
    "disk_limits": "map of ids",
    "cpus": "number",
    "cpuunits": "whole number, 8 to 100000",
    "cpulimit": "percentage",
    "ioprio": "whole number, 0 to 7",
    "cpu_set": "processors",
    "int": "whole number",
    "bool": "true or false",
    "label": "name",
    "hostname": "host name",
    "mac": "MAC address",
    "text": "text",
    "addresses": "address, or list",
    "subnets": "subnet, or list",
    "names": "name, or list",
    "lines": "text, or list",
    "choices": "list",
    "argv": "list",
    "share": "number or percentage",
    "hosts": "map",
    "rate": "rate",
    "firewall": "map",
    "build": "map, see below",
    "interfaces": "map, see below",
    "keyed": "map",
    "features": "list",
    "capabilities": "list",
    "mount_source": "path",
    "network_card": "name",
    "timezone": "name of a time zone",
    "placement": "map, see below",
    "labels": "map",
    "factor": "number, 1 or more",
}


def files() -> dict[str, str]:
    """Every generated file's path below the root of the project, and its text."""
    return {
        "plugins/doc_fragments/container.py": fragment(),
        "docs/manifest.md": manifest(),
        "docs/fleet.schema.json": schema.render(),
    }


def fragment() -> str:
    """The documentation of a container's options, for the modules that take them."""
    options = {}
    for field in model.CONTAINER:
        lines = [_sentence(field.description)]
        if field.kind == "interfaces":
            lines += [f"C({inner.name}) - {_sentence(inner.description)}" for inner in model.INTERFACE]
        lines += [f"C({inner.name}) - {_sentence(inner.description)}" for inner in field.rows]
        lines += [_limits(field)] if _limits(field) else []
        # That an option is no secret is for Ansible's code to know, and no key of its documentation.
        shown = {key: value for key, value in argspec.option(field).items() if key != "no_log"}
        options[field.name] = {"description": lines, **shown}
    text = yaml.safe_dump({"options": options}, sort_keys=False, width=116, allow_unicode=True)
    return (
        f"{_HEADER}\n# {_GENERATED}\n\nfrom __future__ import annotations\n\n\n"
        'class ModuleDocFragment:\n    """The options of a container."""\n\n'
        f'    DOCUMENTATION = r"""\n{text}"""\n'
    )


def manifest() -> str:
    """The reference of ``fleet.yml``."""
    top = schema.manifest_schema()["properties"]
    node = top["nodes"]["patternProperties"][schema.LABEL]["properties"]
    parts = [
        "# The manifest",
        f"<!-- {_GENERATED} -->",
        _INTRODUCTION,
        _table(
            ("Key", "Meaning", "Example"),
            [(f"`{key}`", _text(body["description"]), _example(key, _sample(body))) for key, body in top.items()],
        ),
        "## policy",
        _text(top["policy"]["description"]),
        _table(
            ("Option", "Default", "Meaning"),
            [
                (f"`{key}`", _code(body.get("default", [])), _text(body["description"]))
                for key, body in top["policy"]["properties"].items()
            ],
        ),
        "### rollout",
        _ROLLOUT,
        _rows(schema.ROLLOUT, reach=False),
        "What its `gate` holds:",
        _rows(model.GATE, reach=False),
        "## nodes",
        "Each node is a host that runs containers. Every `ansible_*` variable of a node may be written here.",
        _table(
            ("Option", "Meaning", "Example"),
            [(f"`{key}`", _text(node[key]["description"]), _example(key, _sample(node[key]))) for key in sorted(node)],
        ),
        "What a node's `capacity` holds:",
        _rows(schema.CAPACITY, reach=False),
        "What a node's `overcommit` holds:",
        _rows(schema.OVERCOMMIT, reach=False),
        "## containers, and defaults",
        _CONTAINERS,
        _rows((*schema.PLACEMENT, schema.COUNT, *model.CONTAINER)),
        "`labels`, a map of names and values, makes groups of the inventory: `label_KEY_VALUE`.",
        "### Placement of a container",
        _PLACEMENT,
        _rows(schema.CHOICE, reach=False),
        "### Interfaces of a container",
        "`network` is a map of interfaces by their name in the container.",
        _rows(model.INTERFACE),
        "### Mounts of a container",
        "`mounts` is a map of entries by their path in the container ([containers.md](containers.md#mounts)).",
        _rows(model.MOUNT),
        "### Devices of a container",
        "`devices` is a map of entries by their path on the node ([containers.md](containers.md#devices)).",
        _rows(model.DEVICE),
        "### Network cards of a container",
        "`network_cards` is a map of entries by their name on the node ([containers.md](containers.md#network-cards)).",
        _rows(model.CARD),
        "## flavors",
        "A flavor is a named set of any of these: "
        + ", ".join(f"`{field.name}`" for field in model.CONTAINER if field.resource)
        + ".",
        "## networks",
        _rows((*model.NETWORK, schema.POOL)),
        "## templates",
        "A template has exactly one of `build`, `archive` and `from`.",
        _rows(model.TEMPLATE, reach=False),
        "### build",
        _rows(model.BUILD, reach=False),
        _READING,
    ]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
A fleet is one YAML file. It is also the inventory: `ansible-playbook -i fleet.yml carve.vps.plan`. An unknown key is an
error, and every error is reported with its line. Values may be Jinja expressions or vaulted, but for what has to be
known before a task runs: names, `flavor`, `node`, `placement`, `pool`, `count` and `id`.

With `# yaml-language-server: $schema=PATH` as its first line, where PATH is that of
[fleet.schema.json](fleet.schema.json), editors complete the file and check it while it is written."""

_ROLLOUT = """\
With `rollout:` below `policy:`, even an empty one (`rollout: {}`), `apply` changes containers batch by batch and stops
at the first batch that fails ([fleet.md](fleet.md#rollouts)). A map `gate` says what a batch must pass; without it
containers must run, and their init must be `running` or `degraded`."""

_CONTAINERS = """\
Each container is named by its key. `defaults` takes the same options, but for `count` and `id`. What is left empty
(`ram:` with nothing after it) is not declared, whatever defaults and flavor say."""

_PLACEMENT = """\
`placement` is a map. With `node` beside it, or with one node only, it finds nothing, but `apart` still holds. What it
means is told in [fleet.md](fleet.md#placement)."""

_READING = """\
## How values are written

| Type | Written as |
| --- | --- |
| size | a number with `K`, `M`, `G` or `T`, powers of 1024: `512M`, `1.5G`; bytes without |
| number of processors | `2`, `0.5`, in steps of 0.01 |
| processors | numbers and ranges, counted from 0: `"0-3"`, `"0,2"` |
| address, subnet | IPv4 or IPv6; quote IPv6 inside `{}` and `[]` |
| name | lower-case letters, digits and dashes, at most 63 (a DNS label) |

The column *a change* says how far carrying out a change of the option reaches: `live` touches nothing that runs,
`restart` and `rebuild` are held back unless allowed (`policy.allow`, or `--allow`)."""


def _rows(fields: Iterable[Field], reach: bool = True) -> str:
    head = ("Option", "Type", "Default", *(("A change",) if reach else ()), "Meaning")
    rows = []
    for field in fields:
        meaning = _text(field.description)
        if field.example is not None:
            meaning += f" Example: {_example(field.name, field.example)}"
        default = "required" if field.required else _code(field.default) if field.default is not None else ""
        kind = " or ".join(f"`{choice}`" for choice in field.choices) or _TYPES[field.kind]
        if field.kind in ("choices", "features"):
            kind = "list of " + kind
        cells = [f"`{field.name}`", f"{kind}{_range(field)}", default, *((_reach(field),) if reach else ()), meaning]
        rows.append(cells)
    return _table(head, rows)


def _reach(field: Field) -> str:
    # What decides only where a container is and what it gets has no facet of its own.
    return field.reach if field.facet else ""


def _range(field: Field) -> str:
    if field.minimum is None:
        return ""
    show = kinds.KINDS[field.kind].show
    return f", {show(field.minimum)} or more" if field.maximum is None else f", {field.minimum} to {field.maximum}"


def _limits(field: Field) -> str:
    limits = _range(field).removeprefix(", ")
    return f"At least {limits.removesuffix(' or more')}." if limits.endswith("more") else limits and f"From {limits}."


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _sentence(description: str) -> str:
    return description if description.endswith(".") else f"{description}."


def _text(description: str) -> str:
    """A description with Ansible's markup, such as ``O(ram)`` and ``C(0)``, as Markdown."""
    return re.sub(r"\b[A-Z]\(([^()]*)\)", r"`\1`", _sentence(description))


def _sample(body: Mapping[str, Any]) -> Any:
    return body.get("const", body.get("examples", [None])[0])


def _example(name: str, value: Any) -> str:
    if value is None:
        return ""
    text = yaml.safe_dump({name: value}, default_flow_style=True, width=1000, sort_keys=False).strip()[1:-1]
    # YAML 1.1 would read a bare ``on`` as true, and quotes it; a manifest is read as people mean it.
    return _code(text.replace("'on':", "on:"))


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def main(words: list[str]) -> int:
    roots = [word for word in words if word != "--check"]
    if len(roots) != 1:
        sys.stderr.write("usage: docgen ROOT [--check]\n")
        return 2
    stale = []
    for name, text in files().items():
        path = Path(roots[0], name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in words:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    verb = "is not what the field table makes; run ./dev docs" if "--check" in words else "written"
    sys.stdout.write("".join(f"{name}: {verb}\n" for name in stale))
    return int(bool(stale) and "--check" in words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
