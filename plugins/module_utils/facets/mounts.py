# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and directories of the node in a container: ``mounts``.

They are put there by Carve's own hands, before init starts and while it runs, in the same way (``kernel/graft.py``).
Kernel: open_tree(2), mount_setattr(2), move_mount(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..kernel import graft, inroot, namespaces, syscalls
from ..steps import Change
from .base import OneOption

_NO_LINKS = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
Rows = Mapping[str, Mapping[str, Any]]


class Mounts(OneOption):
    name = "mounts"
    live_rows = ("mounts",)
    late = True

    def found(self, box: Box) -> Any:
        return _found(box.pid or 0, box.record.fields["mounts"])

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        rows = wanted.get("mounts") or {}
        return [reason for path, row in rows.items() if (reason := _missing(path, row))]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if not box.pid:
            return
        for change in changes:
            before = {**(box.record.fields.get("mounts") or {}), **(change.before or {})}
            _bring(box, before, change.after or {})


def _missing(path: str, row: Mapping[str, Any]) -> str | None:
    source, here = row["source"], f"mounts: {path}"
    real = os.path.realpath(source)
    if real != source:
        return f"{here}: source {source} leads over a symbolic link to {real}; write that path"
    if not os.path.lexists(source) and not row["create"]:
        return f"{here}: there is no {source} on this node; make it, or write create: true"
    if os.path.lexists(source) and not (os.path.isdir(source) or os.path.isfile(source)):
        return f"{here}: {source} is neither a file nor a directory; write devices: for a device"
    return None


def _found(pid: int, rows: Rows) -> dict[str, dict[str, Any]]:
    """The mounts at the places of ``rows``, in the same form. What is no mount of that source has none."""
    try:
        mounted = graft.found(pid, rows)
    except OSError:
        return {}
    seen = {}
    for path, mount in mounted.items():
        row = rows[path]
        same = _is_same(row["source"], mount.status)
        seen[path] = {
            "source": row["source"] if same else "something else",
            "read_only": mount.read_only,
            "idmap": mount.idmapped,
            "create": row["create"],
        }
    return seen


def _is_same(source: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(source, follow_symlinks=False), status)
    except OSError:
        return False


def _bring(box: Box, before: Rows, after: Rows) -> None:
    """Bring a running container's mounts to what is declared. Outer ones are mounted first and unmounted last."""
    pid = box.pid or 0
    now = _found(pid, {**before, **after})
    wrong = {path for path, row in now.items() if row != after.get(path)}
    # What lies below a place that is unmounted goes with it.
    wrong |= {path for path in now for outer in wrong if path.startswith(f"{outer}/")}
    for path in sorted(wrong, reverse=True):
        graft.detach(pid, path)
    for path in sorted(path for path in after if path in wrong or path not in now):
        _attach(box, path, after[path])


def _attach(box: Box, path: str, row: Mapping[str, Any]) -> None:
    base = box.record.base_id
    if row["create"]:
        _create(row["source"], 0 if row["idmap"] else base)
    userns = namespaces.userns_fd(box.record.slot) if row["idmap"] else None
    try:
        tree = graft.of_tree(row["source"], row["read_only"], userns)
    except OSError as error:
        what = "shared with id mapping" if row["idmap"] else "shared"
        raise OSError(error.errno, f"{row['source']} cannot be {what} at {path}: {error.strerror or error}") from error
    finally:
        if userns is not None:
            os.close(userns)
    graft.attach(box.pid or 0, tree, path, base)


def _create(source: str, owner: int) -> None:
    """Make a missing directory of the node, without following links; those above it are root's."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not os.path.lexists(source):
            parent, _sep, _name = source.rpartition("/")
            os.close(inroot.directory(root, parent, 0, resolve=_NO_LINKS))
            os.close(inroot.directory(root, source, owner, resolve=_NO_LINKS))
    finally:
        os.close(root)
