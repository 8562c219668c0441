# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the destination of a move does when the source asks for it. Each is done whole or not at all, and may be asked
for again: the source does so when the line breaks before it has the answer."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import (
    abilities,
    bridges,
    builder,
    facets,
    files,
    plan_capabilities,
    power,
    removal,
    rootfs,
    slots,
    store,
    usage,
)
from ..checkpoint import fitness, look, suspend
from ..engines import lxc
from ..facets import disk, network
from ..host import Box, Host
from ..kernel import announce, netlink, probe, quota, syscalls
from ..paths import ARRIVED
from ..plan_networks import wanted_bridge
from ..record import Record, load
from ..steps import NodeSeen
from ..units import bare
from . import incoming, room, verify
from .remote import MoveError

# What is told to the source, as JSON.
Answer = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether a container can come."""

    # Everything against it.
    reasons: list[str]
    # What keeps it from being made anew here from its memory.
    live: list[str]
    # The directory of the template version that it will lie on, and whether that has to be sent first.
    template: str
    copy_template: bool
    # Whether nothing of it was sent before.
    empty: bool


def arrived(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Whether a container is here, as one of this node's; and whether it runs, or has run once it was found well."""
    final = host.paths.container(name)
    here = load(final)
    arrived_here = here is not None and here.uuid == _record(name, content).uuid
    serves = arrived_here and (os.path.exists(f"{final}/{ARRIVED}") or lxc.init_pid(host, name) is not None)
    return {"arrived": arrived_here, "serves": serves}


def judge(
    host: Host, name: str, content: Mapping[str, Any], to_come: Collection[str] = (), promised: int = 0
) -> Verdict:
    """Whether a container can come here: a look, of which nothing is left.

    It is told what the container has ``taken`` where it is (``room.py``). ``to_come``: bridges that are not here yet.
    ``promised``: bytes of memory of those that come at the same time.
    """
    record = _record(name, content)
    reasons = [*_taken(host, record), *_ids(host, record), *_addresses(host, record), *_bridges(record, to_come)]
    reasons += _limits(host, record)
    reasons += [reason for facet in facets.ALL for reason in facet.lacks(host, record.fields)]
    version, send = record.digest, False
    if record.backend == rootfs.OVERLAY:
        version, send = _template(host, record, content["build"])
        reasons += [] if send else _backend(host, record, version)
    empty = not os.path.isdir(incoming.place(host, name)) or incoming.is_of_another(host, record)
    taken = content.get("taken") or {}
    memory = memory_of(content)
    # What was sent before may be most of it.
    reasons += room.lacks_disk(host, taken["files"]) if empty and taken else []
    live = [*look.lacking(host), *fitness.unlike(content["live"], look.traits(host))] if content.get("live") else []
    if content.get("live") and record.fields.get("disk") is not None and quota.PROJECT not in host.quota:
        live.append("it would have a filesystem of its own there, for want of project quota")
    live += room.lacks_memory(memory, promised)
    live += room.lacks_disk(host, taken["files"] + memory) if memory and empty and not reasons else []
    if reasons and content.get("only_live"):
        reasons += live
    return Verdict(reasons, live, version, send, empty)


def memory_of(content: Mapping[str, Any]) -> int:
    """Bytes of memory that a container brings along, where it is asked for with it."""
    return int((content.get("taken") or {}).get("memory", 0)) if content.get("live") else 0


def examine(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Make the place that a container's files are to be sent to.

    ``template`` is the directory of the template version that it will lie on, ``copy_template`` whether that has to be
    sent first, ``live`` what keeps it from being made anew here from its memory, ``empty`` whether nothing of it was
    sent before. Raises ``MoveError`` with every reason against it.
    """
    verdict = judge(host, name, content, promised=incoming.promised(host, name))
    if verdict.reasons:
        raise MoveError("; ".join(verdict.reasons))
    record, version = _record(name, content), verdict.template
    if incoming.is_of_another(host, record):
        incoming.remove(host, name)
    sent = [f"templates/{record.fields['template']}/{version}"] if verdict.copy_template else []
    for place in (f"containers/{name}", *sent):
        os.makedirs(f"{host.paths.incoming}/{place}", mode=0o711, exist_ok=True)
    brings = memory_of(content) if "live" in content else incoming.attempt(host, name).get("memory", 0)
    incoming.begin(host, record, content["attempt"], 0 if verdict.live else brings)
    answer = {"template": version, "copy_template": verdict.copy_template, "live": verdict.live}
    return {**answer, "place": _room(host, record), "empty": verdict.empty}


def _limits(host: Host, record: Record) -> list[str]:
    """The limits that would not hold here, whatever holds them where the container is."""
    node = NodeSeen(**abilities.of(host))
    return [error.partition(": ")[2] for error in plan_capabilities.errors(record.name, record.fields, None, node)]


def _room(host: Host, record: Record) -> str:
    """Make where the container's files are to be sent to, under its limit; where that is, below its directory."""
    staged = incoming.place(host, record.name)
    project = store.free_project(record.slot) if quota.PROJECT in host.quota else None
    rootfs.lay_out(Box(record, staged), project)
    store.mount(staged)
    return f"{store.MOUNTPOINT}/" if store.image_of(staged) else ""


def _template(host: Host, record: Record, build: str) -> tuple[str, bool]:
    """The version that holds the very files that the container was made from, and whether this node lacks it."""
    name = record.fields["template"]
    if builder.build_of(host.paths, name, record.digest) == build:
        return record.digest, False
    version = f"{record.digest}-{build}"
    return version, builder.build_of(host.paths, name, version) != build


def make_bridges(host: Host, fleet: str, networks: Mapping[str, Mapping[str, Any]], needed: Collection[str]) -> None:
    """Make those bridges of the fleet that containers which are to come need; those of others are used as they are."""
    for wanted in _bridges_to_make(host, fleet, networks, needed):
        bridges.ensure(host.paths, fleet, wanted)


def bridges_to_come(
    host: Host, fleet: str, networks: Mapping[str, Mapping[str, Any]], needed: Collection[str]
) -> set[str]:
    """Those bridges that would be made for containers which are to come."""
    return {wanted["bridge"] for wanted in _bridges_to_make(host, fleet, networks, needed)}


def _bridges_to_make(
    host: Host, fleet: str, networks: Mapping[str, Mapping[str, Any]], needed: Collection[str]
) -> Iterator[dict[str, Any]]:
    found = bridges.observe(host.paths)
    for name, body in networks.items():
        if body.get("bridge") in needed:
            wanted, seen = wanted_bridge(name, body), found.get(body["bridge"])
            if seen is None or (seen.fleet == fleet and not (seen.exists and seen.recorded == wanted)):
                yield wanted


def _record(name: str, content: Mapping[str, Any]) -> Record:
    record = Record(**content["record"])
    if record.name != name:
        raise MoveError(f"{name} is sent with the record of {record.name}")
    return record


def _taken(host: Host, record: Record) -> list[str]:
    if os.path.lexists(host.paths.container(record.name)):
        return [f"there is a container {record.name} already"]
    if incoming.is_of_another(host, record) and incoming.is_under_way(host, record.name):
        return [f"a container {record.name} of another fleet is on its way there"]
    return []


def _others(host: Host, record: Record, *more: str) -> list[Record]:
    """All other containers here; of ``more`` directories, too."""
    places = [host.paths.container(name) for name in lxc.names(host) if name != record.name]
    places += [f"{top}/{name}" for top in more if os.path.isdir(top) for name in os.listdir(top) if name != record.name]
    return [found for place in places if (found := load(place)) is not None]


def _ids(host: Host, record: Record) -> list[str]:
    for other in _others(host, record, host.paths.departing):
        if other.slot == record.slot:
            return [f"its uid range {record.slot} belongs to {other.name}"]
    with contextlib.suppress(FileNotFoundError), open("/etc/subuid", encoding="utf-8") as handle:
        rows = [line.strip().split(":") for line in handle]
        mine = [(int(row[1]), int(row[2])) for row in rows if row[0] in ("root", "0")]
        first = record.base_id
        if any(start <= first and first + slots.RANGE <= start + count for start, count in mine):
            return []
    return [f"its uid range {record.slot} is not in root's line of /etc/subuid; run carve.vps.bootstrap"]


def _addresses(host: Host, record: Record) -> list[str]:
    """Who has its addresses here: another container, of whatever fleet, the node itself, or another machine."""
    found = _addresses_of_others(host, record)
    found |= {address: whose for address, whose in _neighbours(record) if address not in found}
    return _whose(found)


def _whose(found: Mapping[str, str]) -> list[str]:
    return [f"its address {address} is {whose}" for address, whose in sorted(found.items())]


def _addresses_of_others(host: Host, record: Record) -> dict[str, str]:
    mine = network.addresses_of(record)
    found = {address: f"{other.name}'s" for other in _others(host, record)
             for address in mine & network.addresses_of(other)}  # fmt: skip
    for link in netlink.links(routes=False).values():
        found |= dict.fromkeys(mine & set(map(bare, link.addresses)), f"this node's, on {link.name}")
    return found


def _neighbours(record: Record) -> Iterator[tuple[str, str]]:
    """Who else answers for its bridged addresses. It does itself, where the bridges of both nodes are one network."""
    for options in network.interfaces(record.fields).values():
        bridge = options.get("bridge", "")
        if not _is_there(bridge):
            continue
        for address, macs in probe.holders(bridge, set(map(bare, options.get("ip") or ()))).items():
            if others := sorted(macs - {options["mac"]}):
                yield address, f"{', '.join(others)}'s, on {bridge}"


def _bridges(record: Record, to_come: Collection[str]) -> list[str]:
    wanted = sorted({value for path, value in record.fields.items() if path.endswith(".bridge")} - set(to_come))
    return [f"there is no bridge {bridge}" for bridge in wanted if not _is_there(bridge)]


def _is_there(bridge: str) -> bool:
    return bool(bridge) and os.path.isdir(f"/sys/class/net/{bridge}")


def _backend(host: Host, record: Record, version: str) -> list[str]:
    source = f"{host.paths.template(record.fields['template'], version)}/rootfs"
    if os.path.isdir(host.paths.staging) and rootfs.backend_for(host.paths, source, record.slot) != rootfs.OVERLAY:
        return ["its root filesystem is an overlay, which does not work here"]
    return []


def take_template(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Make a template version that has been sent one that containers can lie on."""
    version, staged = _staged_template(host, name, content)
    if builder.build_of(host.paths, name, version) is None:
        os.chmod(staged, 0o711)
        syscalls.sync_filesystem(staged)
        builder.publish(host.paths, staged, name, version)
        _remove_if_empty(os.path.dirname(staged))
    return {}


def drop_template(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Leave nothing of a template version that could not be sent whole."""
    _version, staged = _staged_template(host, name, content)
    if os.path.isdir(staged):
        files.remove_mounted_tree(staged)
        _remove_if_empty(os.path.dirname(staged))
    return {}


def _staged_template(host: Host, name: str, content: Mapping[str, Any]) -> tuple[str, str]:
    version = str(content["version"])
    if "/" in version or version.startswith("."):
        raise MoveError(f"{version!r} is no version of a template")
    return version, f"{host.paths.incoming}/templates/{name}/{version}"


def _remove_if_empty(directory: str) -> None:
    with contextlib.suppress(OSError):  # another version may be on its way
        os.rmdir(directory)


def adopt(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Make what has been sent a container of this node, and start it if it ran. ``MoveError`` when it does not run."""
    given = _record(name, content)
    final, staged = host.paths.container(name), incoming.place(host, name)
    here = load(final)
    if here is None or here.uuid != given.uuid:
        if incoming.attempt(host, name).get("move") != content["attempt"]:
            raise MoveError("what was sent of it is not here any more, or is another move's")
        # Since it was asked whether it can come, somebody may have made others here, and it may have taken hours.
        given_away = [*_taken(host, given), *_ids(host, given), *_whose(_addresses_of_others(host, given))]
        if given_away:
            raise MoveError("; ".join(given_away))
        if not content.get("memory"):
            suspend.discard(staged)  # of an attempt before this one
        elif not suspend.is_suspended(staged):
            raise MoveError("its memory is not here")
        _furnish(host, given, str(content["template"]), staged, final)
        usage.receive(host.paths, name, given.uuid, content.get("usage"))
        incoming.end(host, name)
        # The source removes its copy when it hears that this one runs; until then only that one is safe on a disk.
        with store.mounted(staged) as place:
            syscalls.sync_filesystem(place)
        syscalls.sync_filesystem(staged)
        os.rename(staged, final)
        files.sync([host.paths.containers])
    box = Box(load(final) or given, final, lxc.init_pid(host, name))
    if not content["start"]:
        return {"pid": None}
    began = time.monotonic()
    if box.pid is None:
        if os.path.exists(f"{final}/{ARRIVED}"):
            return {"pid": None}  # it has ended since by itself
        # Made anew by a run that was killed in the middle, perhaps, and not to be made so twice.
        suspend.put_right(host, name)
        box.pid = lxc.init_pid(host, name)
    if box.pid is None:
        if content.get("memory") and not suspend.is_suspended(final):
            raise MoveError(f"{name} was made anew here, and did not last")
        power.start(host, box)
    started = time.monotonic()
    # Neighbours that are not told find out; an interface that the container has taken down is its own affair.
    with contextlib.suppress(OSError):
        announce.addresses(box.pid or 0, network.bridged(box))
    verify.is_whole(host, box)
    if content.get("memory"):
        verify.answers(box, content.get("answering") or ())
        verify.has_init(host, box)
    files.write(f"{final}/{ARRIVED}", "")
    ended = time.monotonic()
    return {"pid": box.pid, "start_s": round(started - began, 2), "verify_s": round(ended - started, 2)}


def _furnish(host: Host, given: Record, version: str, staged: str, final: str) -> None:
    """What does not come with the files: the mount point, the overlay's working directory, record and configuration."""
    digest, _sep, build = version.partition("-")
    record = Record(given.fleet, given.name, digest, given.backend, given.fields, given.uuid, build or None)
    os.chmod(staged, 0o711)
    os.makedirs(f"{staged}/root", exist_ok=True)
    os.chmod(f"{staged}/root", 0o711)
    box = Box(record, staged)
    store.unmount(staged)
    disk.establish(host, box)
    batch = files.Batch()
    lxc.write_config(host, box, batch, final)
    record.save(staged, batch)
    batch.commit()


def withdraw(host: Host, name: str, content: Mapping[str, Any]) -> Answer:
    """Leave nothing of a container that is to go on living where it came from."""
    given, final = _record(name, content), host.paths.container(name)
    here = load(final)
    if here is not None and here.uuid == given.uuid:
        removal.destroy(host, Box(here, final, lxc.init_pid(host, name)))
    elif here is None:
        usage.forget(host.paths, name)
    if not incoming.is_of_another(host, given):
        incoming.remove(host, name)
    return {}


VERBS: Mapping[str, Callable[[Host, str, Mapping[str, Any]], Answer]] = {
    "arrived": arrived,
    "examine": examine,
    "take-template": take_template,
    "drop-template": drop_template,
    "adopt": adopt,
    "withdraw": withdraw,
}
