# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time zone: ``timezone``, as /etc/localtime (localtime(5)) and Debian's /etc/timezone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from .. import files, rootfs
from ..host import Box, Host
from ..kernel import inroot
from ..steps import Change
from .base import Facet

_LOCALTIME, _TIMEZONE, _ZONES = "/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"


class Timezone(Facet):
    name = "timezone"
    file_rows = ("timezone",)

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        return {box.name: {"timezone": _found(box)} for box in boxes if "timezone" in box.record.fields}

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        for change in changes:
            with rootfs.opened(host.paths, box) as root:
                if change.after is None:
                    _restore(root, rootfs.lower(host.paths, box), box.record.base_id)
                else:
                    _write(root, change.after, box.record.base_id)

    def furnish(self, host: Host, box: Box) -> None:
        if "timezone" in box.record.fields:
            self.apply_live(host, box, [Change("timezone", None, box.record.fields["timezone"])])


def _found(box: Box) -> str | None:
    with rootfs.opened_for_reading(box) as root:
        if root is None:
            return None
        link = files.printable(inroot.read_link(root, _LOCALTIME) or "")
        named = inroot.look(root, _TIMEZONE) or ""
    zone = link.partition(f"{_ZONES[1:]}/")[2]
    # Two places name it; one that differs from what was declared is what there is to tell.
    differing = [name for name in (zone, named.strip()) if name != box.record.fields["timezone"]]
    return (differing[0] or None) if differing else zone


def _write(root: int, zone: str, owner: int) -> None:
    if not inroot.is_file(root, f"{_ZONES}/{zone}"):
        raise OSError(
            f"timezone: there is no {_ZONES}/{zone} in the container; "
            "add tzdata to the packages of its template, or write a zone that it has"
        )
    inroot.link(root, _LOCALTIME, f"{_ZONES}/{zone}", owner)
    inroot.write(root, _TIMEZONE, f"{zone}\n", owner)


def _restore(root: int, template: str, owner: int) -> None:
    """What the template has, or nothing."""
    below = os.open(template, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        link, named = inroot.read_link(below, _LOCALTIME), inroot.read(below, _TIMEZONE)
    finally:
        os.close(below)
    with contextlib.suppress(FileNotFoundError):
        if link is None:
            inroot.remove(root, _LOCALTIME)
        else:
            inroot.link(root, _LOCALTIME, link, owner)
    with contextlib.suppress(FileNotFoundError):
        if named is None:
            inroot.remove(root, _TIMEZONE)
        else:
            inroot.write(root, _TIMEZONE, named, owner)
