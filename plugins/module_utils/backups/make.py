# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup is made: of a snapshot that is taken for it, and removed when the archive is whole.

Below a place, ``FLEET/CONTAINER/BACKUP`` is a backup: ``backup.json`` and ``data.tar.zst``, in which ids are as they
are seen inside. ``_templates/NAME@VERSION`` is a template version that backups lie on, once for all of them. Both are
made under a name that begins with a dot and ends with this node's, which nobody else uses, and get their own by one
rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from typing import Any

from .. import builder, files, record, rootfs, usage
from ..host import Host
from ..kernel import shift
from ..record import Record
from ..snapshots import shelf, take
from . import archive, description
from .place import Place

_WORKING_NAME = "backup"


def make(host: Host, place: Place, container: str, name: str, patience: float) -> dict[str, Any]:
    """Make a backup, whole or not at all; its description."""
    with shelf.alone(host.paths, patience):
        staged = take.make(host, container, _WORKING_NAME, None, patience)
        try:
            return _store(host, place, staged, name)
        finally:
            files.remove_tree(staged)


def _store(host: Host, place: Place, staged: str, name: str) -> dict[str, Any]:
    made, about = record.load(staged), files.read_json(f"{staged}/{shelf.ABOUT}")
    if made is None or about is None:
        raise OSError(f"{staged} cannot be read")
    layer = f"{staged}/{shelf.layer_of(made)}"
    shift.unshift(layer, made.base_id)
    top = f"{made.fleet}/{made.name}"
    _clear(place, top)
    template = None if made.backend == rootfs.COPY else _store_template(host, place, made)
    content = description.describe(made, name, about, usage.load(host.paths, made.name, made.uuid), template)
    part = f"{top}/.{name}.{_node()}.part"
    place.make(part)
    try:
        content["data"] = place.store(f"{part}/{description.DATA}", lambda sink: archive.pack(layer, sink))
        _seal(place, f"{part}/{description.FILE}", content)
        place.rename(part, f"{top}/{name}")
    except BaseException:
        with contextlib.suppress(Exception):
            place.remove(part)
        raise
    return content


def _store_template(host: Host, place: Place, made: Record) -> dict[str, Any]:
    """See to it that the template version below a container is there, too; what is known of it."""
    name, version = made.fields["template"], made.template_version
    build = builder.build_of(host.paths, name, version)
    if build is None:
        raise OSError(f"the template {name}@{version} has no mark of its build")
    final = description.template_directory(name, made.digest, build)
    top, own = os.path.split(final)
    _clear(place, top)
    if own not in place.names(top):
        part = f"{top}/.{own}.{_node()}.part"
        place.make(part)
        try:
            about = files.read_json(f"{host.paths.template(name, version)}/template.json")
            content: dict[str, Any] = {"version": description.VERSION, "about": about}
            source = f"{host.paths.template(name, version)}/rootfs"
            content["data"] = place.store(
                f"{part}/{description.TEMPLATE_DATA}", lambda sink: archive.pack(source, sink)
            )
            _seal(place, f"{part}/{description.TEMPLATE_FILE}", content)
            if own not in place.names(top):  # another node may have been quicker
                place.rename(part, final)
        finally:
            place.remove(part)
    return {"name": name, "digest": made.digest, "build": build}


def _seal(place: Place, path: str, content: Mapping[str, Any]) -> None:
    text = description.sealed(content).encode()
    place.store(path, lambda sink: sink(text))


def _clear(place: Place, directory: str) -> None:
    """Remove what killed runs of this node have left there; this one is alone on it."""
    for name in place.names(directory):
        if name.startswith(".") and name.endswith(f".{_node()}.part"):
            place.remove(f"{directory}/{name}")


def _node() -> str:
    """A word for this node that no other one has, and that says nothing of it."""
    ident = files.read("/etc/machine-id") or os.uname().nodename
    return hashlib.sha256(ident.strip().encode()).hexdigest()[:12]
