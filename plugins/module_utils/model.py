# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""THE field table: every option of a container, an interface, a network and a template, once.

A row says how an option is written, what it becomes inside, which facet honours it, and how far a change of it reaches.
Module argument specs and the manifest's JSON Schema are made from these rows when they are imported; the option
documentation is generated from them. Adding an option means one row here and one facet that honours it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import words
from .kinds import FIREWALL, KINDS, NESTED, Field

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


MOUNT: tuple[Field, ...] = (
    Field(
        "source",
        "mount_source",
        "mounts",
        "live",
        "The file or directory of the node, by its path without symbolic links.",
        required=True,
        example="/data/web",
    ),
    Field("read_only", "bool", "mounts", "live", "Whether nothing can be written through the mount.", False),
    Field(
        "idmap",
        "bool",
        "mounts",
        "live",
        "Whether files keep the ids that they have inside: what the container's root writes belongs to the node's "
        "root. Without it they belong to the container's own host ids.",
        False,
    ),
    Field(
        "create",
        "bool",
        "mounts",
        "live",
        "Whether a missing C(source) is made: a directory of the container's root.",
        False,
    ),
)

DEVICE: tuple[Field, ...] = (
    Field(
        "mode",
        "choice",
        "devices",
        "live",
        "C(rw), or C(r) for reading only.",
        "rw",
        choices=("r", "rw"),
    ),
    Field(
        "group",
        "int",
        "devices",
        "live",
        "The group inside, by number, that may open the device; root always may.",
        0,
        minimum=0,
        maximum=65535,
    ),
)

CARD: tuple[Field, ...] = (
    Field(
        "name",
        "network_card",
        "cards",
        "restart",
        "The card's name inside; its name on the node unless given.",
        example="wan0",
    ),
)

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
        "cpuunits",
        "cpuunits",
        "cpu",
        "live",
        "OpenVZ's word for O(cpu_weight), where 1000 is the middle: 1000 units are a weight of 100.",
        resource=True,
        spelling=("cpu_weight",),
        example=1000,
    ),
    Field(
        "cpulimit",
        "cpulimit",
        "cpu",
        "live",
        "OpenVZ's word for O(cpus), as a percentage of one processor: C(150%) is 1.5 processors.",
        resource=True,
        spelling=("cpus",),
        example="150%",
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
        "ram_guarantee",
        "size",
        "memory",
        "live",
        "Memory that is left to the container when the node runs short; others give back theirs first. At most O(ram).",
        minimum=1 << 20,
        resource=True,
        example="256M",
    ),
    Field(
        "io_weight",
        "int",
        "io",
        "live",
        "The container's share of a busy disk, against the others; 100 is what a container without a weight has. "
        "The disk needs a scheduler that knows weights.",
        minimum=1,
        maximum=1000,
        resource=True,
        example=200,
    ),
    Field(
        "ioprio",
        "ioprio",
        "io",
        "live",
        "OpenVZ's word for O(io_weight), from 0, the lowest, to 7; 4 is a weight of 100.",
        resource=True,
        spelling=("io_weight",),
        example=4,
    ),
    Field(
        "io_read",
        "size",
        "io",
        "live",
        "Bytes per second that the container may read from the disk of the node's containers.",
        minimum=64 << 10,
        resource=True,
        example="20M",
    ),
    Field(
        "io_write",
        "size",
        "io",
        "live",
        "Bytes per second that it may write there.",
        minimum=64 << 10,
        resource=True,
        example="20M",
    ),
    Field(
        "iolimit",
        "size",
        "io",
        "live",
        "OpenVZ's word for O(io_read) and O(io_write), each of which gets the whole of it.",
        minimum=64 << 10,
        resource=True,
        spelling=("io_read", "io_write"),
        example="20M",
    ),
    Field(
        "io_read_ops",
        "int",
        "io",
        "live",
        "Operations per second that the container may read from the disk with.",
        minimum=10,
        maximum=4294967294,
        resource=True,
        example=500,
    ),
    Field(
        "io_write_ops",
        "int",
        "io",
        "live",
        "Operations per second that it may write to the disk with.",
        minimum=10,
        maximum=4294967294,
        resource=True,
        example=500,
    ),
    Field(
        "iopslimit",
        "int",
        "io",
        "live",
        "OpenVZ's word for O(io_read_ops) and O(io_write_ops), each of which gets the whole of it.",
        minimum=10,
        maximum=4294967294,
        resource=True,
        spelling=("io_read_ops", "io_write_ops"),
        example=500,
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
        "disk",
        "size",
        "disk",
        "live",
        "Disk space for what the container has written; its template, which is shared, does not count. "
        "Lowering it below what is in use is refused.",
        minimum=16 << 20,
        capacity=True,
        resource=True,
        example="5G",
    ),
    Field(
        "inodes",
        "count",
        "disk",
        "live",
        "How many files and directories the container may have made; C(200k) is 200000.",
        minimum=1000,
        capacity=True,
        resource=True,
        example="200k",
    ),
    Field(
        "disk_users",
        "disk_limits",
        "disk",
        "live",
        "Limits of users inside the container, by their number there: C(disk), C(inodes), or both. They hold "
        "together with those of the container.",
        example={"1000": {"disk": "1G", "inodes": "10k"}},
    ),
    Field(
        "disk_groups",
        "disk_limits",
        "disk",
        "live",
        "The same of groups inside the container.",
        example={"100": {"disk": "2G"}},
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
    Field(
        "mounts",
        "keyed",
        "mounts",
        "live",
        "Files and directories of the node, by the path inside at which the container sees them.",
        keys=words.mount_point,
        rows=MOUNT,
        example={"/srv/data": {"source": "/data/web", "read_only": True}},
    ),
    Field(
        "devices",
        "keyed",
        "devices",
        "live",
        "Character and block devices of the node, by their path there, which is their path inside, too.",
        keys=words.device,
        rows=DEVICE,
        example={"/dev/sdb1": {"mode": "rw"}},
    ),
    Field(
        "network_cards",
        "keyed",
        "cards",
        "restart",
        "Network cards of the node that are the container's alone while it runs, by their name there.",
        keys=words.network_card,
        rows=CARD,
        example={"eth2": {"name": "wan0"}},
    ),
    Field(
        "features",
        "features",
        "features",
        "live",
        "What the container may do beside what every container may: C(fuse), C(tun) and C(ppp) give it the device that "
        "such software opens; C(nesting) lets it run containers of its own, and needs a restart.",
        choices=("fuse", "nesting", "ppp", "tun"),
        anew=("nesting",),
        example=["fuse", "tun"],
    ),
    Field(
        "sysctls",
        "keyed",
        "sysctls",
        "live",
        "Kernel parameters of the container's own namespaces: C(net.*), C(fs.mqueue.*), and those of System V IPC.",
        keys=words.sysctl,
        values=words.sysctl_value,
        example={"net.ipv4.ip_forward": 1},
    ),
    Field(
        "rlimits",
        "keyed",
        "rlimits",
        "restart",
        "Resource limits (getrlimit(2)) that the container's init starts with, and no process inside can raise: "
        "C(SOFT:HARD), or one value for both.",
        keys=words.rlimit,
        values=words.rlimit_value,
        example={"nofile": "1024:65536", "memlock": "64M"},
    ),
    Field(
        "drop_capabilities",
        "capabilities",
        "security",
        "restart",
        "Capabilities that no process inside can ever have (capabilities(7)).",
        example=["sys_ptrace", "net_raw"],
    ),
    Field(
        "timezone",
        "timezone",
        "timezone",
        "live",
        "The time zone, as C(/etc/localtime) and C(/etc/timezone).",
        example="Europe/Berlin",
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

_SLOWEST, _FASTEST = 64 * 10**3, 32 * 10**9

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
    Field(
        "rate_in",
        "rate",
        "network",
        "live",
        "The most that the container receives in a second, such as C(10mbit) or C(1gbit).",
        minimum=_SLOWEST,
        maximum=_FASTEST,
        example="100mbit",
    ),
    Field(
        "rate_out",
        "rate",
        "network",
        "live",
        "The most that the container sends in a second.",
        minimum=_SLOWEST,
        maximum=_FASTEST,
        example="20mbit",
    ),
    Field(
        "trusted",
        "bool",
        "network",
        "live",
        "Whether the container may send from any address, as a router does. Otherwise what does not come from its own "
        "IP and MAC addresses is dropped.",
        False,
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
    Field(
        "firewall",
        "firewall",
        "network",
        "live",
        "Who may speak to whom. C(between) is C(allow) or C(deny): whether containers of this network reach each "
        "other. C(node) is C(allow), C(deny), or the ports of the node's own that they reach, such as "
        "C([tcp/53, udp/53]).",
        FIREWALL,
        example={"between": "deny", "node": ["tcp/53", "udp/53"]},
    ),
)

# What an interface is once its network is known: the rows that are recorded and compared.
RESOLVED_INTERFACE: tuple[Field, ...] = (
    Field("mode", "choice", "network", "restart", "", choices=("bridged", "routed")),
    Field("mac", "mac", "network", "restart", ""),
    Field("mtu", "int", "network", "restart", "", minimum=1280, maximum=65535),
    Field("bridge", "text", "network", "live", ""),
    Field("ip", "lines", "network", "live", "", owned=True),
    Field("gateway", "addresses", "network", "live", "", owned=True),
    Field("rate_in", "rate", "network", "live", ""),
    Field("rate_out", "rate", "network", "live", ""),
    Field("trusted", "bool", "network", "live", ""),
    Field("firewall", "firewall", "network", "live", ""),
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
