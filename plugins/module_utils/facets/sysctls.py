# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel parameters of a container's own namespaces: ``sysctls``.

They are written by the node's root, who has entered the container's network and IPC namespaces: /proc/sys shows the
parameters of the thread that looks. Kernel: Documentation/admin-guide/sysctl, network_namespaces(7),
ipc_namespaces(7).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..host import Box, Host
from ..kernel import namespaces, syscalls
from ..steps import Change
from .base import OneOption

_INTERFACES = ("net.ipv4.conf.", "net.ipv6.conf.", "net.ipv4.neigh.", "net.ipv6.neigh.")


class Sysctls(OneOption):
    name = "sysctls"
    live_rows = ("sysctls",)
    late = True

    def found(self, box: Box) -> Any:
        return _found(box)

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        names = tuple(wanted.get("sysctls") or {})
        return [reason for name, new in _of_new_ones(names).items() if (reason := _missing(name, *new))]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        if not box.pid:
            return
        for change in changes:
            after = change.after or {}
            before = {**(box.record.fields.get("sysctls") or {}), **(change.before or {})}
            undone = _of_new_ones(tuple(sorted(set(before) - set(after))))
            values = {**{name: value for name, (value, _can) in undone.items() if value is not None}, **after}
            _inside(box, functools.partial(_write_all, values, box.record.base_id))


def _inside(box: Box, work: Callable[[], Any]) -> Any:
    net = (syscalls.CLONE_NEWNET, f"/proc/{box.pid}/ns/net")
    return namespaces.inside(work, net, (syscalls.CLONE_NEWIPC, f"/proc/{box.pid}/ns/ipc"))


def _found(box: Box) -> dict[str, str]:
    names = box.record.fields["sysctls"]
    try:
        return _inside(box, lambda: {name: value for name in names if (value := _read(name)) is not None})
    except OSError:
        # The container ended while it was looked at.
        return {}


def _file(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _read(name: str) -> str | None:
    try:
        with open(_file(name), encoding="ascii", errors="replace") as handle:
            return " ".join(handle.read().split())
    except OSError:
        return None


def _write_all(values: Mapping[str, str], owner: int) -> None:
    """Some are for the namespace's own root to write (host id ``owner``) since Linux 6.9, and for the node's before."""
    for name, value in values.items():
        try:
            try:
                _write(name, value)
            except PermissionError:
                syscalls.set_effective_user(owner)
                try:
                    _write(name, value)
                finally:
                    syscalls.set_effective_user(0)
        except OSError as error:
            raise OSError(error.errno, f"sysctls: {name} cannot be set to {value}: {error.strerror}") from error


def _write(name: str, value: str) -> None:
    with open(_file(name), "w", encoding="ascii") as handle:
        handle.write(value)


def _missing(name: str, value: str | None, can_write: bool) -> str | None:
    if value is not None and can_write:
        return None
    if os.path.exists(_file(name)):
        return f"sysctls: {name} belongs to the whole node with this kernel; set it there, or delete it"
    return f"sysctls: this node's kernel has no {name}; look for the name below /proc/sys, or delete it"


@functools.cache
def _of_new_ones(names: tuple[str, ...]) -> dict[str, tuple[str | None, bool]]:
    """The values in namespaces just made, and whether they can be changed there."""

    def look() -> dict[str, tuple[str | None, bool]]:
        syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC)
        return {name: (_read(_general(name)), os.access(_file(_general(name)), os.W_OK)) for name in names}

    return namespaces.inside(look) if names else {}


def _general(name: str) -> str:
    """Of an interface's parameter that of ``default``: there is no interface yet, and a new one has its values."""
    for start in _INTERFACES:
        if name.startswith(start):
            return f"{start}default.{name[len(start) :].partition('.')[2]}"
    return name
