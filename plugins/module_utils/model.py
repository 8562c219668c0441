# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""THE field table: every option of a container, an interface, a network and a template, once.

A row says how an option is written, what it becomes inside, which facet honours it, and how far a change of it reaches.
Module argument specs and the manifest's JSON Schema are made from these rows when they are imported; the option
documentation is generated from them. Adding an option means one row here and one facet that honours it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import units

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
    return size


_TEXT = {"type": "string"}
_LIST = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

KINDS: dict[str, Kind] = {
    "size": Kind(_size, units.show_size, {"type": "str"}, {"type": ["string", "integer"]}),
    "cpus": Kind(lambda v, f: units.parse_cpus(v), units.show_cpus, {"type": "float"}, {"type": ["number", "string"]}),
    "factor": Kind(lambda v, f: units.parse_factor(v), units.show_cpus, {"type": "float"}, {"type": "number"}),
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
    "build": Kind(lambda v, f: v, str, {"type": "dict"}, {"type": "object"}),
    "interfaces": Kind(lambda v, f: v, str, {"type": "dict"}, {"type": "object"}),
}


# Kinds whose options have rows of their own: one that is deferred does not defer the others.
NESTED = ("build", "interfaces")


CONTAINER: tuple[Field, ...] = (
    Field(
        "state",
        "choice",
        "power",
        "live",
        "What should be: C(running), C(stopped), C(absent) (destroyed), or C(keep), which leaves power as it is found.",
        "running",
        choices=("running", "stopped", "absent", "keep"),
    ),
    Field(
        "template", "label", "rootfs", "rebuild", "The template that the container is cloned from.", example="debian-13"
    ),
    Field(
        "template_policy",
        "choice",
        "policy",
        "live",
        "What happens when the definition of the template changes "
        "after the container was made from it: C(pin) keeps the container as it is, C(warn) also says so, "
        "C(rebuild) makes its root filesystem anew, where rebuilding is allowed.",
        "warn",
        choices=("pin", "warn", "rebuild"),
    ),
    Field(
        "protect",
        "bool",
        "policy",
        "live",
        "Guards the container against being destroyed or rebuilt. The guard is "
        "kept on the node, so deleting the container from the manifest does not delete it.",
        False,
    ),
    Field(
        "id",
        "int",
        "users",
        "rebuild",
        "The container's range of 65536 host user ids, as the number of the range: "
        "20 means host ids from 1310720 up. Worked out from the name unless given.",
        minimum=16,
        maximum=32767,
        example=4242,
    ),
    Field(
        "cpus",
        "cpus",
        "cpu",
        "live",
        "How much processor time the container may use, in processors.",
        capacity=True,
        resource=True,
        example=1.5,
    ),
    Field(
        "cpu_weight",
        "int",
        "cpu",
        "live",
        "The container's share of busy processors, against the others; 100 is what a container without a weight has.",
        minimum=1,
        maximum=10000,
        resource=True,
        example=200,
    ),
    Field(
        "cpu_set",
        "cpu_set",
        "cpu",
        "live",
        "The processors that the container may run on.",
        resource=True,
        example="0-3",
    ),
    Field(
        "ram",
        "size",
        "memory",
        "live",
        "Memory, page cache included. Lowering it below what is in use is refused.",
        minimum=4 << 20,
        capacity=True,
        resource=True,
        example="512M",
    ),
    Field(
        "swap",
        "size",
        "memory",
        "live",
        "Swap space on top of C(ram); C(0) for none.",
        minimum=0,
        capacity=True,
        resource=True,
        example="256M",
    ),
    Field(
        "processes",
        "int",
        "processes",
        "live",
        "How many processes and threads may exist at once.",
        minimum=8,
        maximum=4194304,
        capacity=True,
        resource=True,
        example=400,
    ),
    Field(
        "network",
        "interfaces",
        "network",
        "restart",
        "Network interfaces by their name inside the container.",
        example={"eth0": {"on": "public", "ip": "203.0.113.10"}},
    ),
    Field(
        "hostname",
        "hostname",
        "identity",
        "live",
        "The host name; the container's own name unless given.",
        example="web-1.example.net",
    ),
    Field(
        "nameservers",
        "addresses",
        "identity",
        "live",
        "DNS servers, written to C(/etc/resolv.conf). Without them that file belongs to the container.",
        example=["192.0.2.53", "2001:db8::53"],
    ),
    Field(
        "search_domains",
        "names",
        "identity",
        "live",
        "DNS search domains, written with O(nameservers).",
        example=["example.net"],
    ),
    Field(
        "hosts",
        "hosts",
        "identity",
        "live",
        "More names for the container's C(/etc/hosts), in a block of Carve's.",
        example={"db.internal": "10.20.0.5"},
    ),
    Field(
        "ssh_keys",
        "lines",
        "identity",
        "live",
        "Public keys that may log in as root, in a block of Carve's in "
        "C(/root/.ssh/authorized_keys); keys outside the block are left alone.",
        public=True,
        example=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2 ops@example.net"],
    ),
    Field("autostart", "bool", "boot", "live", "Whether the container starts when the node does.", True),
    Field(
        "start_order",
        "int",
        "boot",
        "live",
        "Containers with a lower number start earlier; equal ones start together.",
        100,
        minimum=0,
        maximum=100000,
    ),
    Field(
        "start_delay",
        "int",
        "boot",
        "live",
        "Seconds to wait after this container was started before those of the next order are.",
        0,
        minimum=0,
        maximum=3600,
    ),
    Field(
        "stop_timeout",
        "int",
        "boot",
        "live",
        "Seconds that the container gets to shut down cleanly before it is killed.",
        60,
        minimum=0,
        maximum=86400,
    ),
)

INTERFACE: tuple[Field, ...] = (
    Field(
        "on", "label", "network", "restart", "The network, by its name in C(networks).", required=True, example="public"
    ),
    Field(
        "ip",
        "addresses",
        "network",
        "live",
        "IPv4 and IPv6 addresses, inside the network's subnets. In the "
        "manifest, a container with C(count) may write a range such as C(203.0.113.10-12), one address each, and "
        "C(auto) is one address of each of the network's subnets, from its pool.",
        owned=True,
        example=["10.20.0.5", "fd00:20::5"],
    ),
    Field(
        "mac",
        "mac",
        "network",
        "restart",
        "The MAC address; worked out from fleet, container and interface unless given.",
        example="02:00:00:aa:bb:cc",
    ),
)

NETWORK: tuple[Field, ...] = (
    Field(
        "mode",
        "choice",
        "network",
        "restart",
        "C(bridged): interfaces are ports of a bridge that Carve makes; "
        "C(routed): each address is a route on the node, with no bridge and no MAC of the container's to trust.",
        required=True,
        choices=("bridged", "routed"),
    ),
    Field(
        "subnet",
        "subnets",
        "network",
        "restart",
        "The subnets that addresses come from, IPv4 and IPv6.",
        required=True,
        example=["10.20.0.0/24", "fd00:20::/64"],
    ),
    Field(
        "bridge",
        "text",
        "network",
        "restart",
        "The bridge's name on the node, at most 15 characters; for C(bridged).",
        example="br-lan",
    ),
    Field(
        "gateway",
        "addresses",
        "network",
        "live",
        "The default gateway of containers on a C(bridged) network. The "
        "node itself holds it on the bridge, unless the network has an C(uplink).",
        example="10.20.0.1",
    ),
    Field(
        "uplink",
        "text",
        "network",
        "live",
        "A network card of the node that becomes a port of the bridge, so that "
        "the network reaches beyond the node. It must have no address of its own.",
        example="eth1",
    ),
    Field("mtu", "int", "network", "restart", "The largest packet, in bytes.", minimum=1280, maximum=65535),
)

# What an interface is once its network is known: the rows that are recorded and compared.
RESOLVED_INTERFACE: tuple[Field, ...] = (
    Field("mode", "choice", "network", "restart", "", choices=("bridged", "routed")),
    Field("mac", "mac", "network", "restart", ""),
    Field("mtu", "int", "network", "restart", "", minimum=1280, maximum=65535),
    Field("bridge", "text", "network", "live", ""),
    Field("ip", "lines", "network", "live", "", owned=True),
    Field("gateway", "addresses", "network", "live", "", owned=True),
)

BUILD: tuple[Field, ...] = (
    Field(
        "suite",
        "text",
        "templates",
        "rebuild",
        "The release to build, such as C(trixie).",
        required=True,
        example="trixie",
    ),
    Field("packages", "lines", "templates", "rebuild", "Packages beside the minimal system with its init."),
    Field("mirror", "text", "templates", "rebuild", "The package mirror; mmdebstrap's own choice unless given."),
    Field("components", "lines", "templates", "rebuild", "The archive's components; C(main) unless given."),
)

TEMPLATE: tuple[Field, ...] = (
    Field(
        "build",
        "build",
        "templates",
        "rebuild",
        "Build a Debian or Ubuntu root filesystem on the node with "
        "mmdebstrap: C(suite), and optionally C(packages), C(mirror), C(components).",
        example={"suite": "trixie"},
    ),
    Field(
        "archive", "text", "templates", "rebuild", "Unpack a tar archive: a path on the node or a URL. Needs C(sha256)."
    ),
    Field("sha256", "text", "templates", "rebuild", "The archive's SHA-256 digest, 64 hex digits."),
    Field("from", "label", "templates", "rebuild", "Start from another template of the fleet."),
    Field("packages", "lines", "templates", "rebuild", "Debian packages to add."),
    Field(
        "commands",
        "lines",
        "templates",
        "rebuild",
        "Shell commands to run inside the new root filesystem, in order; one that fails fails the build.",
    ),
)

# What is asked of the containers of a rollout's batch before the next one begins.
GATE: tuple[Field, ...] = (
    Field(
        "init",
        "choices",
        "",
        "live",
        "The states of the container's systemd that will do (C(systemctl is-system-running)). "
        "Of any other init it is enough that it runs.",
        ["running", "degraded"],
        choices=("running", "degraded"),
    ),
    Field(
        "command",
        "argv",
        "",
        "live",
        "A program with its arguments, run inside the container as root with no shell between; it must end with 0.",
        example=["test", "-e", "/run/ready"],
    ),
    Field(
        "port",
        "int",
        "",
        "live",
        "A TCP port on which the container must accept connections, on any of its own addresses.",
        minimum=1,
        maximum=65535,
        example=80,
    ),
    Field(
        "timeout",
        "int",
        "",
        "live",
        "Seconds that the containers of a batch have, all together, until all of this is so.",
        60,
        minimum=1,
        maximum=3600,
    ),
)

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
        elif not is_deferred(None if field.kind in NESTED and isinstance(value, Mapping) else value):
            try:
                result[name] = KINDS[field.kind].parse(value, field)
            except ValueError as error:
                problems.append(Problem((*path, name), str(error)))
    return result, problems


def _example(field: Field) -> str:
    if field.choices:
        return " or ".join(field.choices)
    return str(field.example) if field.example is not None else "a value"


def nearest(name: str, known: list[str]) -> str:
    """What to write instead of a name that is not known."""
    import difflib  # here, for only mistakes pay for it

    close = difflib.get_close_matches(name, known, 1)
    return (
        f"did you mean {close[0]}?"
        if close
        else f"write {'one of ' if len(known) > 1 else ''}{', '.join(sorted(known))}"
    )
