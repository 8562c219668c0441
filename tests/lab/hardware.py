# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machines' hardware, as QEMU's command line. A saved state fits only the hardware that it was saved on.

The emulation is asked for by name: where /dev/kvm exists and does not serve, QEMU would still take it. It has one plain
processor: two would wait for each other, and newer instructions cost more to emulate than they save. Two such machines
boot side by side in two thirds of the time.
"""

from __future__ import annotations

from pathlib import Path

MEMORY = 2048  # MiB
SYSTEM_DISK = 8 * 1024**3
DATA_DISK = 8 * 1024**3

# Fixed slots, so that a card is called the same whether it was there at boot or plugged in later.
FIRST_CARD = "ens5"
SEGMENT_CARD = "ens6"
_SLOTS = {"system": 3, "data": 4, "first": 5, "segment": 6, "random": 7}


def command(directory: Path, port: int) -> list[str]:
    """QEMU for the disks in a directory, with SSH on a port of 127.0.0.1. QMP is its standard input and output."""
    return [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "1", "-m", str(MEMORY),
        "-nodefaults", "-display", "none", "-no-reboot", "-qmp", "stdio",
        "-chardev", f"file,id=console,append=on,path={directory / 'console.log'}", "-serial", "chardev:console",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", f"virtio-rng-pci,rng=random,addr={_SLOTS['random']}",
        *_disk("system", directory / "system.qcow2"),
        *_disk("data", directory / "data.qcow2"),
        "-netdev", f"user,id=first,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", f"virtio-net-pci,netdev=first,mac=52:54:00:ca:00:01,addr={_SLOTS['first']}",
    ]  # fmt: skip


def _disk(name: str, path: Path) -> list[str]:
    # A power cut is the end of QEMU's process here. The host's kernel has what the guest has written by then, and needs
    # no flush to its own disk for that.
    return [
        "-drive", f"id={name},file={path},if=none,format=qcow2,cache=unsafe,discard=unmap",
        "-device", f"virtio-blk-pci,drive={name},serial={name},addr={_SLOTS[name]}",
    ]  # fmt: skip


def segment(port: int) -> list[str]:
    """The private segment's end: machines with one port are on one segment."""
    return ["-netdev", f"socket,id=segment,mcast=239.255.66.1:{port},localaddr=127.0.0.1"]


def segment_card(index: int) -> dict[str, object]:
    """The card on it, as QMP's device_add takes it."""
    mac = f"52:54:00:ca:01:{index:02x}"
    return {
        "driver": "virtio-net-pci",
        "id": "segment",
        "netdev": "segment",
        "mac": mac,
        "addr": str(_SLOTS["segment"]),
    }


def as_option(device: dict[str, object]) -> list[str]:
    """The same, on the command line."""
    return ["-device", ",".join([str(device["driver"]), *(f"{k}={v}" for k, v in device.items() if k != "driver")])]
