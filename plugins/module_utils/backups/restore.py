# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container is made of a backup: on any node, under its own name or another one, stopped.

It is made in ``staging/`` as every container is, and nothing of it is left where the archive turns out to be damaged.
What the manifest declares of it comes with the next apply.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .. import builder, files, plan_disk, plan_ids, remake, rootfs, usage
from ..desired import Desired
from ..host import Host
from ..kernel import shift, syscalls
from ..observe import observe
from ..record import Record
from ..snapshots import schedule
from ..steps import NodeSeen
from . import archive, description
from .description import BackupError
from .place import Place


def find(place: Place, fleet: str, container: str, name: str | None) -> str:
    """The backup that is meant: of that name, or the newest of those that are called by their time."""
    have = [one for one in place.names(f"{fleet}/{container}") if not one.startswith(".")]
    if name is not None:
        if name not in have:
            raise BackupError(f"there is no backup {name} of {container}; {_told(have)}")
        return name
    timed = [one for one in have if schedule.is_stamp(one)]
    if not timed:
        raise BackupError(f"there is no backup of {container} that is called by its time; {_told(have)}")
    return max(timed)


def _told(have: list[str]) -> str:
    return f"there is {', '.join(have)}" if have else "there is none at all"


def describe(place: Place, fleet: str, container: str, name: str) -> dict[str, Any]:
    """What a backup says of itself, if that is as it was written."""
    path = f"{fleet}/{container}/{name}"
    content = description.opened(place.read(f"{path}/{description.FILE}"), path)
    description.require_plain(content, path)
    if (content["record"]["fleet"], content["record"]["name"]) != (fleet, container):
        raise BackupError(f"{path} is a backup of another container")
    return {**content, "path": path}


def why_not(host: Host, content: Mapping[str, Any], name: str, node: NodeSeen) -> list[str]:
    """What keeps a backup from being restored on this node under a name."""
    if name in node.containers or name in node.aside or os.path.lexists(host.paths.container(name)):
        return [f"there is a container {name} on this node already; destroy it, or restore under another name"]
    fields = Record(**content["record"]).fields
    return plan_disk.errors(name, fields, None, NodeSeen(quota=node.quota, makers=node.makers))


def restore(host: Host, place: Place, content: Mapping[str, Any], name: str) -> Record:
    """Make the container. The caller has the node's lock. Raises ``BackupError`` or ``OSError``."""
    node = observe(host).node
    wrong = [*why_not(host, content, name, node)]
    slot = _slot(content, name, node, wrong)
    if slot is None or wrong:
        raise BackupError("; ".join(wrong))
    made = description.record_for(content, name, slot)
    if made.backend == rootfs.OVERLAY:
        made = _on_template(host, place, content, made)
    box = remake.stage(host, made, lambda layer: _fill(place, content, layer, made.base_id))
    if made.uuid == content["record"]["uuid"]:
        usage.receive(host.paths, name, made.uuid, content["usage"])
    os.rename(box.directory, host.paths.container(name))
    files.sync([host.paths.containers])
    return made


def _fill(place: Place, content: Mapping[str, Any], layer: int, base: int) -> None:
    data = f"{content['path']}/{description.DATA}"
    archive.unpack(place.blocks(data), layer, content["data"]["sha256"], data)
    shift.shift(f"/proc/{os.getpid()}/fd/{layer}", base)


def _slot(content: Mapping[str, Any], name: str, node: NodeSeen, errors: list[str]) -> int | None:
    """The ids that it had, if they are free and it is to be the same container; others else."""
    old = Record(**content["record"])
    wanted = old.slot if name == old.name else None
    return plan_ids.Ids(Desired(old.fleet, {}), node, [], errors).take(name, wanted)


def _on_template(host: Host, place: Place, content: Mapping[str, Any], made: Record) -> Record:
    """The container's record with the very template version that it lay on, which is brought if it is not here."""
    template = content["template"]
    name, digest, build = (str(template[key]) for key in ("name", "digest", "build"))
    if builder.build_of(host.paths, name, digest) == build:
        version = digest
    else:
        version = f"{digest}-{build}"
        if builder.build_of(host.paths, name, version) != build:
            _bring_template(host, place, name, version, digest, build)
    source = f"{host.paths.template(name, version)}/rootfs"
    if rootfs.backend_for(host.paths, source, made.slot) != rootfs.OVERLAY:
        raise BackupError("its root filesystem is an overlay, which does not work here")
    return Record(made.fleet, made.name, digest, made.backend, made.fields, made.uuid,
                  None if version == digest else build)  # fmt: skip


def _bring_template(host: Host, place: Place, name: str, version: str, digest: str, build: str) -> None:
    directory = description.template_directory(name, digest, build)
    content = description.opened(place.read(f"{directory}/{description.TEMPLATE_FILE}"), directory)
    if content["about"].get("build") != build:
        raise BackupError(f"{directory} is another build of the template than its name says")
    staged, data = f"{host.paths.staging}/template.{name}.{version}", f"{directory}/{description.TEMPLATE_DATA}"
    files.remove_tree(staged)
    os.mkdir(staged, 0o700)
    os.mkdir(f"{staged}/rootfs", 0o711)
    try:
        rootfs_fd = os.open(f"{staged}/rootfs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            archive.unpack(place.blocks(data), rootfs_fd, content["data"]["sha256"], data)
            syscalls.sync_filesystem(rootfs_fd)
        finally:
            os.close(rootfs_fd)
        files.write_json(f"{staged}/template.json", content["about"])
        builder.publish(host.paths, staged, name, version)
    except BaseException:
        files.remove_tree(staged)
        raise
