# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines of the lab. What one is, is in its directory; a keeper runs it, whatever becomes of who asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.lab import hardware, place
from ansible_collections.carve.vps.tests.lab.image import BOOT_TIMEOUT, image
from ansible_collections.carve.vps.tests.lab.ssh import UNKNOWN_HOST, Ssh, free_port

SEGMENT = "10.77.0", "fd00:77:"  # the private segment's addresses end in the machine's index
_OURS = "ansible_collections.carve.vps.tests.lab.keeper"


class Machine:
    """A Debian host under emulation. It is bare at its first boot, and from then on as it was left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = place.MACHINES / name
        if not (self.directory / "machine.json").exists():
            raise place.LabError(f"there is no machine {name}")
        facts = json.loads((self.directory / "machine.json").read_text(encoding="utf-8"))
        self.port: int = facts["port"]
        self.index: int = facts["index"]
        self.version: int = facts["version"]
        self.segment: int = facts["segment"]
        self.ssh = Ssh(self.port)

    @classmethod
    def create(cls, name: str, version: int = 13, index: int = 1, segment: int = 0) -> Machine:
        """A bare machine, off. Machines with the same segment (a port) share a private one, by different indexes."""
        directory = place.MACHINES / name
        if directory.exists():
            cls(name).destroy()
        base = image(version)
        directory.mkdir(parents=True)
        (directory / "image").write_text(str(base.directory), encoding="utf-8")
        system, data = str(directory / "system.qcow2"), str(directory / "data.qcow2")
        place.output("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base.disk), system)
        place.output("qemu-img", "create", "-q", "-f", "qcow2", data, str(hardware.DATA_DISK))
        facts = {"port": free_port(), "index": index, "version": version, "segment": segment}
        (directory / "bare").write_text(str(base.state), encoding="utf-8")
        (directory / "machine.json").write_text(json.dumps(facts), encoding="utf-8")
        return cls(name)

    # --- Power

    def boot(self) -> Machine:
        """Switch it on and wait until it answers. The first time, it goes on from where its image's boot was saved."""
        if self.is_on():
            return self
        bare = self.directory / "bare"
        state = bare.read_text(encoding="utf-8") if bare.exists() else None
        self._start_keeper(state)
        if state:
            self.wait_ssh()
            self._settle_in()
            bare.unlink()
            return self
        self.wait_ssh()
        return self

    def _start_keeper(self, state: str | None) -> None:
        (self.directory / "ended").unlink(missing_ok=True)
        command = [sys.executable, "-m", _OURS, str(self.directory), *([state] if state else [])]
        with (self.directory / "qemu.log").open("ab") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _settle_in(self) -> None:
        """What differs from the machine whose state was saved: the time, the name and the second card's addresses."""
        self.run(
            f"date -s @{time.time():.0f} >/dev/null; sed -i s/debian{self.version}/{self.name}/ /etc/hosts &&"
            f" echo {self.name} >/etc/hostname && hostname {self.name}"
        )
        if self.segment:
            self._join_segment()
        self.run("sync")

    def _join_segment(self) -> None:
        v4, v6 = SEGMENT
        card = hardware.SEGMENT_CARD
        if self.version == 13:
            file, up = "/etc/systemd/network/20-segment.network", "networkctl reload"
            text = f"[Match]\nName={card}\n[Network]\nAddress={v4}.{self.index}/24\nAddress={v6}:{self.index}/64\n"
        else:
            file, up = "/etc/network/interfaces.d/segment", f"ifup {card}"
            text = (f"auto {card}\niface {card} inet static\naddress {v4}.{self.index}/24\n"
                    f"iface {card} inet6 static\naddress {v6}:{self.index}/64\n")  # fmt: skip
        deadline = time.monotonic() + 60
        while self.run(f"test -e /sys/class/net/{card}", check=False) != "0":
            if time.monotonic() > deadline:
                raise place.LabError(f"{self.name}: the card that was plugged in does not appear; {self._log()}")
            time.sleep(0.2)
        self.run(f"cat >{file} && {up}", stdin=text)

    def is_on(self) -> bool:
        return self._pid() is not None

    def power_cut(self) -> None:
        """As if its cable was pulled."""
        if (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGKILL)
        self._wait_off(30)

    def boots(self) -> int:
        """How often QEMU has been started for it, but for kernels that panicked."""
        return len((self.directory / "boots").read_text(encoding="ascii")) - self.panics()

    def panics(self) -> int:
        """How often its kernel has panicked, and booted again."""
        return self.console().count("Kernel panic - not syncing")

    def shut_down(self) -> None:
        """In order, as its power button does."""
        self.ssh.run("systemctl poweroff", check=False)
        self._wait_off(180)

    def reboot(self) -> None:
        """From inside, and wait until it answers again."""
        before = self.boot_id()
        self.ssh.run("systemctl reboot", check=False)
        deadline = time.monotonic() + BOOT_TIMEOUT
        while self.run_once("cat /proc/sys/kernel/random/boot_id") in ("", before):
            if time.monotonic() > deadline or not self.is_on():
                raise place.LabError(f"{self.name} did not come back from its reboot: {self.console()[-2000:]}")
            time.sleep(0.5)

    def destroy(self) -> None:
        self.power_cut()
        self.ssh.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _wait_off(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.is_on():
            if time.monotonic() > deadline:
                raise place.LabError(f"{self.name} is still on after {seconds:g} s")
            time.sleep(0.1)
        self.ssh.close()
        self.ssh = Ssh(self.port)

    def _pid(self) -> int | None:
        """QEMU's process, or while there is none its keeper's: never another's, whatever number was reused."""
        for file in ("qemu.pid", "keeper.pid"):
            try:
                pid = int((self.directory / file).read_text(encoding="ascii"))
                if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except (OSError, ValueError):
                continue
        return None

    # --- Talking to it

    def wait_ssh(self, seconds: float = BOOT_TIMEOUT) -> None:
        try:
            self.ssh.wait(seconds)
        except place.LabError as exc:
            raise place.LabError(f"{self.name}: {exc}; {self._log()}") from exc

    def run(self, command: str, check: bool = True, timeout: float = 600, stdin: str = "") -> str:
        """The output of a shell command as root; with check=False its exit status before it."""
        return self.ssh.run(command, check=check, timeout=timeout, stdin=stdin)

    def run_once(self, command: str) -> str:
        """The same over a connection of its own; nothing where the machine does not answer."""
        with Ssh(self.port) as connection:
            status, _blank, output = connection.run(command, check=False).partition(" ")
            return output.strip() if status == "0" else ""

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")

    def kernel(self) -> str:
        return self.run("uname -r")

    def console(self) -> str:
        path = self.directory / "console.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _log(self) -> str:
        path = self.directory / "qemu.log"
        return (path.read_text(encoding="utf-8", errors="replace") if path.exists() else "")[-2000:]

    def ansible(self, user: str = "root") -> dict[str, Any]:
        """The variables by which Ansible reaches it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(place.key()),
            "ansible_ssh_common_args": " ".join(("-o IdentitiesOnly=yes", *UNKNOWN_HOST)),
            "ansible_python_interpreter": "/usr/bin/python3",
        }


def machines() -> list[Machine]:
    return [Machine(path.parent.name) for path in sorted(place.MACHINES.glob("*/machine.json"))]
