# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a container one that CRIU can checkpoint: ``live_migration``.

Two things hinder it in a Debian that runs systemd, and both are given up here. systemd attaches BPF programs, which
nothing can save: its system call gets an error. And it gives services namespaces and mounts of their own, some of
kinds that CRIU does not save: a drop-in for all services does without those. AppArmor's profile has to be one that is
there before the container is made anew, where LXC's own is generated for each start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import rootfs
from ..host import Box, Host
from ..kernel import apparmor, inroot
from ..paths import LIBRARY
from ..steps import Change
from .base import Facet

ROW = "live_migration"
DROP_IN = "/etc/systemd/system/service.d/50-carve-live-migration.conf"
SECCOMP_FILE = "live.seccomp"
# LXC's own rules (common.seccomp), and one more: bpf(2) is not permitted.
SECCOMP = """2
denylist
reject_force_umount
[all]
kexec_load errno 1
open_by_handle_at errno 1
init_module errno 1
finit_module errno 1
delete_module errno 1
bpf errno 1
"""
# systemd.exec(5), systemd.resource-control(5). NotifyAccess, since systemd knows its services' processes by numbers of
# the kernel's that are others after a restore, and would take none of their messages, the watchdog's among them.
SERVICES = """# Written by Carve: live_migration is declared, and CRIU cannot save what is turned off here.
[Service]
ProtectHostname=no
PrivateNetwork=no
PrivateIPC=no
PrivateUsers=no
ProtectControlGroups=no
MemoryPressureWatch=off
NotifyAccess=all
ImportCredential=
LoadCredential=
LoadCredentialEncrypted=
SetCredential=
SetCredentialEncrypted=
"""


class Checkpoint(Facet):
    name = "checkpoint"
    file_rows = (ROW,)

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        return {box.name: {ROW: _found(box)} for box in boxes if ROW in box.record.fields}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        if not is_declared(box):
            return []
        # Of a key that is there twice, LXC goes by the last.
        lines = [("lxc.seccomp.profile", f"{LIBRARY}/current/{SECCOMP_FILE}")]
        return [*lines, ("lxc.apparmor.profile", apparmor.NAME)] if host.apparmor else lines

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        """Only of a container that does not run: of another it takes a start, which calls ``prepare``."""
        for change in changes:
            with rootfs.opened(host.paths, box) as root:
                _write(root, box, bool(change.after))

    def furnish(self, host: Host, box: Box) -> None:
        if is_declared(box):
            with rootfs.opened(host.paths, box) as root:
                _write(root, box, True)


def is_declared(box: Box) -> bool:
    return bool(box.record.fields.get(ROW))


def prepare(host: Host, box: Box) -> None:
    """Make ready for a start, with the root filesystem mounted: what is declared now is what its services get."""
    with rootfs.opened(host.paths, box) as root:
        _write(root, box, is_declared(box))
    if is_declared(box) and host.apparmor:
        apparmor.load(host.paths)


def _write(root: int, box: Box, declared: bool) -> None:
    present = inroot.read(root, DROP_IN)
    if declared and present != SERVICES:
        inroot.write(root, DROP_IN, SERVICES, box.record.base_id)
    elif not declared and present is not None:
        inroot.remove(root, DROP_IN)


def _found(box: Box) -> bool:
    """Whether the drop-in is there. The lines of LXC's configuration are compared with all the others."""
    with rootfs.opened_for_reading(box) as root:
        try:
            return root is not None and inroot.read(root, DROP_IN) == SERVICES
        except OSError:
            return False
