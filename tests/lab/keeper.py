# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one machine: starts QEMU, starts it again when the guest reboots, and ends when the machine is off.

A guest that reboots gets a new process on the same disks: one that was reset in place has been seen to panic under
emulation. Run as a module with the directory, whose machine.json says what to start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.lab import hardware
from ansible_collections.carve.vps.tests.lab.qmp import Qmp, QmpError


def keep(directory: Path, bare: Path | None) -> None:
    """Run the machine until it is off. The bare state, if given, is where it goes on from instead of booting."""
    machine = json.loads((directory / "machine.json").read_text(encoding="utf-8"))
    (directory / "keeper.pid").write_text(str(os.getpid()), encoding="ascii")
    while (why := _run(directory, machine, bare)) == "guest-reset":
        bare = None
    (directory / "ended").write_text(why or "killed", encoding="ascii")


def _run(directory: Path, machine: dict[str, Any], bare: Path | None) -> str:
    """One life of QEMU; why it ended, or nothing where it was killed."""
    command = hardware.command(directory, machine["port"])
    card = hardware.segment_card(machine["index"])
    if machine["segment"]:
        command += hardware.segment(machine["segment"])
        # The saved state knows no second card; it is plugged in after it.
        command += [] if bare else hardware.as_option(card)
    if bare:
        command += ["-incoming", "defer"]
    pid_file = directory / "qemu.pid"
    with (directory / "qemu.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    with (directory / "boots").open("a", encoding="ascii") as boots:
        boots.write("+")
    pid_file.write_text(str(process.pid), encoding="ascii")
    assert process.stdout is not None
    assert process.stdin is not None
    why = ""
    try:
        qmp = Qmp(process.stdout, process.stdin)
        if bare:
            qmp.command("migrate-incoming", uri=f"exec:zstd -qdc {bare}")
            while qmp.command("query-status")["status"] == "inmigrate":
                time.sleep(0.05)
            qmp.command("cont")  # it was paused when it was saved
            if machine["segment"]:
                qmp.command("device_add", **card)
        why = qmp.wait("SHUTDOWN")["data"]["reason"]
        qmp.wait("NEVER")
    except QmpError:
        process.wait()
    pid_file.unlink(missing_ok=True)
    return why


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
