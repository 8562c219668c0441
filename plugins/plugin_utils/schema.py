# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON Schema of a manifest, made from the field table.

Editors complete and check by it (``docs/fleet.schema.json`` is its text), and ``structure`` validates by it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..module_utils import kinds, model
from ..module_utils.kinds import Field
from .placement import SPREAD, STRATEGIES

Schema = dict[str, Any]

PLUGIN = "carve.vps.fleet"
VERSION = 1
# The same rule as ``units.parse_label``, in the regular expressions that editors know too.
LABEL = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
INTERFACE = "^[a-z][a-z0-9]{0,7}$"
TAG = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"

# What only a manifest says of a container, since it decides where and as what a container appears in the inventory.
PLACEMENT: tuple[Field, ...] = (
    Field("flavor", "label", "", "live", "The flavor that sets what the container does not set itself.",
          example="small"),
    Field("node", "label", "", "live", "The node that the container runs on. Without it O(placement) finds one.",
          example="node1"),
    Field("placement", "placement", "", "live", "How a container without O(node) finds its node. What runs stays where "
          "it runs.", example={"match": {"zone": "a"}, "apart": "web"}),
)  # fmt: skip
# What ``placement`` holds.
CHOICE: tuple[Field, ...] = (
    Field("match", "labels", "", "live", "Labels that the node must have.", example={"zone": "a"}),
    Field("strategy", "choice", "", "live", "C(spread) takes the node with the fewest containers of the same entry, "
          "of these the one that has promised the smallest share; C(pack) the fullest that has room. "
          "The policy's unless given.", choices=STRATEGIES),
    Field("apart", "label", "", "live", "A group of containers of which no two run on the same node.", example="web"),
)  # fmt: skip
COUNT = Field("count", "int", "", "live", "Makes this many containers, named C(NAME-1) and so on.", minimum=0,
              maximum=32752, example=2)  # fmt: skip
CAPACITY: tuple[Field, ...] = (
    Field("ram", "size", "", "live", "Memory that may be promised to containers.", minimum=4 << 20, example="64G"),
    Field("cpus", "cpus", "", "live", "Processors that may be promised to containers.", example=16),
)
OVERCOMMIT: tuple[Field, ...] = (
    Field("ram", "factor", "", "live", "How many times its memory the node may promise.", 1, example=1.5),
    Field("cpus", "factor", "", "live", "How many times its processors the node may promise.", 1, example=4),
)
POOL = Field("pool", "lines", "", "live", "Ranges of addresses for interfaces with C(ip: auto); unless given, all "
             "addresses of the subnets that no gateway, node or container has by declaration.",
             example=["203.0.113.100-199"])  # fmt: skip
# How changes are spread over containers; ``model.GATE`` is the part of it that nodes hear of.
ROLLOUT: tuple[Field, ...] = (
    Field("canary", "int", "", "live", "How many containers go first, as a batch of their own; 0 for none.", 1,
          minimum=0, maximum=32752),
    Field("batch", "share", "", "live",
          "How many containers go together, as a number or as a percentage of those that have something to do.", "25%",
          example=5),
    Field("order", "lines", "", "live", "Labels by whose values containers are put in order, the first one first: "
          "the container's own, or else its node's.", example=["zone", "stage"]),
)  # fmt: skip

# What text of a kind looks like, roughly: for editors. ``units`` has the last word, and the better one.
_PATTERNS = {
    "size": r"^\s*\d+(\.\d+)?\s*[KMGTPkmgtp]?([iI]?[bB])?\s*$",
    "cpus": r"^\s*\d*\.?\d+\s*$",
    "rate": r"^\s*\d+(\.\d+)?\s*[kmgKMG]?[bB][iI][tT]\s*$",
    "cpulimit": r"^\s*\d+(\.\d+)?\s*%?\s*$",
    "cpu_set": r"^[\d\s,-]+$",
    "label": LABEL,
    "share": r"^\s*\d+\s*%?\s*$",
    "mac": "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$",
}
EXPRESSION = {"$ref": "#/$defs/expression"}
# Needed while the manifest is read, when there are no variables yet.
_STATIC = ("id", "flavor", "node", "count", "placement", "pool")


def render() -> str:
    """The text of ``docs/fleet.schema.json``."""
    return json.dumps(manifest_schema(), indent=2) + "\n"


def manifest_schema() -> Schema:
    """The schema, draft 2020-12."""
    options = (*PLACEMENT, *model.CONTAINER)
    flavor = tuple(field for field in model.CONTAINER if field.resource)
    default = tuple(field for field in options if field.name != "id")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Carve fleet",
        "description": "Nodes and the system containers that run on them.",
        "type": "object",
        "additionalProperties": False,
        "required": ["plugin", "version", "fleet", "nodes"],
        "properties": {
            "plugin": {"const": PLUGIN, "description": "Tells Ansible that this is a fleet."},
            "version": {"const": VERSION, "description": "The version of this format."},
            "fleet": {
                **_text(LABEL),
                "description": "The fleet's name, the mark that its containers bear.",
                "examples": ["acme"],
            },
            "policy": _policy(),
            "defaults": {
                **_object(default, empty=False),
                "description": "Options of every container that neither its flavor nor the container itself sets.",
                "examples": [{"template": "debian-13", "flavor": "small"}],
            },
            "flavors": _named(
                _object(flavor, empty=False),
                "The portfolio: named sets of resources.",
                {"small": {"cpus": 1, "ram": "512M"}},
            ),
            "templates": _named(
                _object(model.TEMPLATE, empty=False),
                "Root filesystems that containers are cloned from.",
                {"debian-13": {"build": {"suite": "trixie"}}},
            ),
            "networks": _named(
                _object((*model.NETWORK, POOL), empty=False),
                "Networks that containers have interfaces on.",
                {"public": {"mode": "routed", "subnet": "203.0.113.0/24"}},
            ),
            "nodes": {
                **_named(_node(), "Hosts that run containers.", {"node1": {"ansible_host": "192.0.2.11"}}, ["null"]),
                "type": "object",
                "minProperties": 1,
            },
            "containers": _named(
                _object(options, empty=True, more={"count": _option(COUNT)}),
                "The containers.",
                {"web": {"count": 2, "template": "web"}},
                ["null"],
            ),
        },
        "$defs": {
            "expression": {"type": "string", "pattern": r"\{[{%]", "description": "A Jinja expression."},
        },
    }


def _policy() -> Schema:
    flag: Schema = {"type": "boolean", "default": True}
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "What runs may do by themselves.",
        "examples": [{"allow": ["restart"]}],
        "properties": {
            "allow": {
                "type": "array",
                "items": {"enum": list(model.ALLOWABLE)},
                "uniqueItems": True,
                "description": "What may be carried out beside creating and changing live.",
                "examples": [["restart"]],
            },
            "overcommit": {
                **flag,
                "description": "Whether containers of a node may be promised more than its capacity; "
                "true only warns of it.",
            },
            "placement": {
                "enum": list(STRATEGIES),
                "default": SPREAD,
                "description": "The strategy of containers whose placement says none.",
                "examples": ["pack"],
            },
            "prune": {
                **flag,
                "description": "Whether containers of this fleet that are no longer declared are to be destroyed.",
            },
            "rollout": _rollout(),
        },
    }


def _rollout() -> Schema:
    gate = {
        **_object(model.GATE, empty=False, expressions=False),
        "description": "What must hold of a batch's containers before the next batch begins.",
        "examples": [{"port": 80, "timeout": 60}],
    }
    return {
        **_object(ROLLOUT, empty=False, expressions=False, more={"gate": gate}),
        "description": "How apply rolls changes out: batch by batch, stopping at the first that fails. Without it, "
        "all nodes are done at once.",
        "examples": [{"canary": 1, "batch": "25%"}],
    }


# Variables of the bootstrap roles and of moves, which a node may bear. The roles' argument specs say more.
VARIABLES: dict[str, Schema] = {
    "carve_move_address": {
        "type": "string",
        "description": "Where other nodes reach this one when containers move; ansible_host unless given.",
        "examples": ["10.0.0.11"],
    },
    "carve_move_port": {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "description": "The port for it; a free one from 8622 to 8641 unless given.",
        "examples": [8622],
    },
    "carve_node_allow_reboot": {
        "type": "boolean",
        "default": False,
        "description": "Whether bootstrap may reboot the node once, into a kernel that has what the running one lacks.",
        "examples": [True],
    },
    "carve_storage_device": {
        "type": "string",
        "pattern": "^/dev/.",
        "description": "An empty block device that bootstrap makes the containers' filesystem on, with quota.",
        "examples": ["/dev/disk/by-id/nvme-eui.0025388b710116a1"],
    },
    "carve_storage_filesystem": {
        "enum": ["ext4", "xfs"],
        "default": "ext4",
        "description": "The filesystem to make on it.",
        "examples": ["xfs"],
    },
}


def _node() -> Schema:
    capacity = _object(CAPACITY, empty=False, expressions=False)
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "A node, with any Ansible connection variable.",
        "examples": [{"ansible_host": "192.0.2.11"}],
        "properties": {
            "labels": _labels(),
            "capacity": {
                **capacity,
                "description": "What the node has to give.",
                "examples": [{"ram": "64G"}],
            },
            "overcommit": {
                **_object(OVERCOMMIT, empty=False, expressions=False),
                "description": "How many times its capacity the node may promise.",
                "examples": [{"ram": 1.5, "cpus": 4}],
            },
            "cordon": {
                "type": "boolean",
                "default": False,
                "description": "Keeps away new containers that are not pinned to the node.",
                "examples": [True],
            },
            **VARIABLES,
        },
        "patternProperties": {"^ansible_": {"description": "An Ansible variable of the node."}},
    }


def _labels() -> Schema:
    return {
        "type": "object",
        "description": "Labels; each makes a group label_KEY_VALUE in the inventory.",
        "examples": [{"zone": "a"}],
        "patternProperties": {
            TAG: {
                "type": ["string", "integer", "boolean"],
                "pattern": TAG,
                "description": "A label's value.",
                "examples": ["a"],
            }
        },
        "additionalProperties": False,
    }


def _named(body: Schema, description: str, example: Schema, more: list[str] | None = None) -> Schema:
    """A keyed map, whose keys are DNS labels."""
    body = {**body, "type": ["object", *more]} if more else body
    return {
        "type": ["object", "null"],
        "description": description,
        "examples": [example],
        "patternProperties": {LABEL: body},
        "additionalProperties": False,
    }


def _object(
    rows: tuple[Field, ...], *, empty: bool, expressions: bool = True, more: dict[str, Schema] | None = None
) -> Schema:
    """A map of options. ``empty`` says whether an option may be left empty, to undo what defaults and flavor say."""
    properties = {row.name: _option(row, empty=empty, expressions=expressions) for row in rows} | (more or {})
    if any(row is PLACEMENT[0] for row in rows):
        properties["labels"] = _labels()
    result: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required := [row.name for row in rows if row.required]:
        result["required"] = required
    return result


def _option(row: Field, *, empty: bool = False, expressions: bool = True) -> Schema:
    result: Schema = {"description": plain(row.description)}
    if row.default is not None:
        result["default"] = row.default
    if row.example is not None:
        result["examples"] = [row.example]
    elif row.choices:
        result["examples"] = [row.default if row.kind == "choices" else row.choices[0]]
    written = _kind(row, empty=empty)
    branches: list[Schema] = list(written.get("anyOf", [written]))
    if expressions and row.name not in _STATIC and {"type": "string"} not in branches:
        branches.append(EXPRESSION)
    if empty:
        branches.append({"type": "null"})
    return {**result, **branches[0]} if len(branches) == 1 else {**result, "anyOf": branches}


def _kind(row: Field, *, empty: bool) -> Schema:
    """What a value of the row's kind looks like when it is written out."""
    if row.kind == "placement":
        return _object(CHOICE, empty=empty, expressions=False)
    if row.kind == "labels":
        return {key: value for key, value in _labels().items() if key not in ("description", "examples")}
    if row.kind == "build":
        return _object(model.BUILD, empty=False)
    if row.kind == "interfaces":
        # What one must have is known only once defaults are merged in.
        interface = {**_object(model.INTERFACE, empty=empty), "type": ["object", "null"] if empty else "object"}
        interface.pop("required")
        return {"type": "object", "patternProperties": {INTERFACE: interface}, "additionalProperties": False}
    result = dict(kinds.KINDS[row.kind].schema)
    if row.kind == "hosts":
        result["additionalProperties"] = {"type": ["string", "null"] if empty else "string", "examples": ["10.20.0.5"]}
    if row.kind == "firewall":
        # For editors to offer; what is wrong with it is better said by the kind itself, and once.
        between, node = {"examples": ["allow", "deny"]}, {"examples": ["allow", "deny", ["tcp/53", "udp/53"]]}
        return {"type": "object", "properties": {"between": between, "node": node}}
    if row.kind == "choices":
        result = {"type": "array", "items": {"enum": list(row.choices)}, "minItems": 1, "uniqueItems": True}
    elif row.kind == "keyed":
        result["additionalProperties"] = _entry(row, empty=empty)
    elif row.choices and row.kind != "features":
        result = {"enum": list(row.choices)}
    if row.kind in _PATTERNS:
        result["pattern"] = _PATTERNS[row.kind]
    if row.kind == "int":
        limits = {"minimum": row.minimum, "maximum": row.maximum}
        result |= {key: limit for key, limit in limits.items() if limit is not None}
    return result


def _entry(row: Field, *, empty: bool) -> Schema:
    """What stands below a key of a keyed map. Which keys there can be, the table's own parser says, and why not."""
    example = next(iter(row.example.values()))
    if not row.rows:
        return {"type": ["string", "integer", "null"] if empty else ["string", "integer"], "examples": [example]}
    # What one must have is known only once defaults are merged in.
    entry = {**_object(row.rows, empty=empty), "type": ["object", "null"] if empty else "object", "examples": [example]}
    entry.pop("required", None)
    return entry


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def plain(description: str) -> str:
    """A description without Ansible's markup, such as ``O(ram)`` and ``C(0)``."""
    return re.sub(r"\b[A-Z]\(([^()]*)\)", r"\1", description)
