# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of stock Debian: what its installer leaves on a machine without desktop, server tasks or anything of Carve's.

An image is two files: a disk, and the state of a machine that has booted from it, which others go on from in seconds
instead of booting. Both are named by the digest of what they are made by, and made again when that changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.carve.vps.tests.lab import hardware, place, ssh
from ansible_collections.carve.vps.tests.lab.qmp import Qmp

PACKAGES = (
    "systemd", "systemd-sysv", "udev", "dbus", "grub-pc", "openssh-server", "sudo",
    "python3", "iproute2", "iputils-ping", "kmod", "procps", "ca-certificates", "git", "less", "nano", "e2fsprogs",
)  # fmt: skip
OPERATOR = "operator1"  # who is not root, and may use sudo
ROOT_UUID = "ca12e000-0000-4000-8000-000000000001"
# Under emulation two processors can see the kernel patch its own text at different times, and it panics (an int3 in
# sched_clock_idle_wakeup_event, in one of ten boots). With an unstable TSC it never patches that place; should another
# one panic it all the same, the machine boots again.
# What the kernel does against other processors' flaws, an emulated one does not need: without it, programs and system
# calls take half as much of the host's time (17 s instead of 37 s for listing files, Python's start, and tar).
KERNEL_OPTIONS = "console=ttyS0 tsc=unstable panic=3 mitigations=off"
BOOT_TIMEOUT = 240  # seconds; about 40 on an idle host, without hardware virtualisation
# As the installer leaves them: what the archive holds, read once at native speed. Under emulation that takes minutes.
_KEPT = "--skip=cleanup/apt/lists"
_SECTOR = 512
_FIRST = 2048  # the partition's first sector; GRUB's core lies before it


# Beside the release's own packages, those of the one before, from wherever the release's own come.
_BEFORE = "/etc/apt/sources.list.d/before.list"


@dataclass(frozen=True)
class Suite:
    """A release of Debian. One has systemd-networkd, the other what the installer sets up: nodes come with either.

    Debian 12 is one that was upgraded from 11, and runs the kernel that it had: there is something to do for bootstrap.
    """

    name: str
    version: int
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = ()  # of mmdebstrap


SUITES = {
    13: Suite(
        "trixie",
        13,
        ("linux-image-cloud-amd64",),
        (
            ("etc/systemd/network/10-lab.network", "[Match]\nName=ens5\n[Network]\nDHCP=yes\n"),
            ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
        ),
    ),
    12: Suite(
        "bookworm",
        12,
        ("linux-image-cloud-amd64/bullseye", "ifupdown", "isc-dhcp-client"),
        (
            (
                "etc/network/interfaces",
                "source /etc/network/interfaces.d/*\nauto lo ens5\niface lo inet loopback\niface ens5 inet dhcp\n",
            ),
        ),
        (
            f'--setup-hook=sed -n \'s/ bookworm main/ bullseye main/p\' "$1"/etc/apt/sources.list >"$1"{_BEFORE}',
            f'--customize-hook=rm "$1"{_BEFORE}',
        ),
    ),
}


@dataclass(frozen=True)
class Image:
    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "booted.qcow2"

    @property
    def state(self) -> Path:
        return self.directory / "state.zst"


def image(version: int) -> Image:
    """The image of a release of Debian, made if it is not there."""
    suite = SUITES[version]
    directory = place.IMAGES / f"{suite.name}-{_digest(suite)}"
    if directory.is_dir():
        return Image(directory)
    with _one_at_a_time():
        if not directory.is_dir():
            _make(suite, directory)
    return Image(directory)


def _digest(suite: Suite) -> str:
    """Of all that an image is made of, but for what Debian's archive holds on that day."""
    digest = hashlib.sha256(repr((suite, PACKAGES, KERNEL_OPTIONS, OPERATOR, ROOT_UUID, _KEPT)).encode())
    for part in (_furnish, _write_disk, _boot_once, hardware):
        digest.update(inspect.getsource(part).encode())
    digest.update(place.key().with_suffix(".pub").read_bytes())
    digest.update(place.output("qemu-system-x86_64", "--version").encode())
    return digest.hexdigest()[:12]


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    place.IMAGES.mkdir(parents=True, exist_ok=True)
    with (place.IMAGES / "lock").open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make(suite: Suite, directory: Path) -> None:
    if os.geteuid():
        raise place.LabError("images are made by root: run it as root once")
    began = time.monotonic()
    print(f"making the image of Debian {suite.version} ({suite.name})", flush=True)
    for old in place.IMAGES.glob(f"{suite.name}-*"):
        if not _in_use(old):
            shutil.rmtree(old)
    aside = directory.with_name(directory.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    root = aside / "root"
    packages = ",".join((*PACKAGES, *suite.packages))
    place.output(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={packages}",
        _KEPT,
        *suite.options,
        suite.name,
        str(root),
    )
    _furnish(root, suite)
    _write_disk(root, aside / "disk.raw")
    shutil.rmtree(root)
    _boot_once(aside)
    aside.rename(directory)
    print(f"made it in {time.monotonic() - began:.0f} s", flush=True)


def _in_use(image_directory: Path) -> bool:
    """Whether a machine's disk is an overlay of this image's."""
    return any(
        path.read_text(encoding="utf-8") == str(image_directory)
        for path in place.MACHINES.glob("*/image")
        if path.is_file()
    )


def _furnish(root: Path, suite: Suite) -> None:
    public = place.key().with_suffix(".pub").read_text(encoding="ascii")
    sudoers = f"{OPERATOR} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    files = {
        "etc/hostname": f"debian{suite.version}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 debian{suite.version}\n::1 localhost ip6-localhost\n",
        "etc/fstab": f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 1\n",
        "etc/default/grub.d/lab.cfg": f"GRUB_CMDLINE_LINUX='{KERNEL_OPTIONS}'\nGRUB_TIMEOUT=0\n",
        # As the installer asks: only the drivers of this machine. Packing the others takes a minute under emulation.
        "etc/initramfs-tools/conf.d/driver-policy": "MODULES=dep\n",
        # And packed only for a kernel that is installed: not again (80 s) for a package that has no part in booting.
        "etc/initramfs-tools/update-initramfs.conf": "update_initramfs=no\n",
        f"etc/sudoers.d/{OPERATOR}": sudoers,
        **dict(suite.files),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "etc/sudoers.d" / OPERATOR).chmod(0o440)
    place.output("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", OPERATOR)
    for home, owner in (("root", 0), (f"home/{OPERATOR}", 1000)):
        ssh = root / home / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        (ssh / "authorized_keys").write_text(public, encoding="ascii")
        for path in (ssh, ssh / "authorized_keys"):
            os.chown(path, owner, owner)
    place.output("chroot", str(root), "apt-cache", "gencaches")
    if any(name.startswith("etc/systemd/network/") for name, _text in suite.files):
        place.output("chroot", str(root), "systemctl", "enable", "systemd-networkd.service")


def _write_disk(root: Path, disk: Path) -> None:
    """A partition table, GRUB before the first partition, and the files in it: no loop device or mount is needed."""
    modules, boot = root / "usr/lib/grub/i386-pc", root / "boot/grub"
    (boot / "i386-pc").mkdir(parents=True, exist_ok=True)
    for module in (*modules.glob("*.mod"), *modules.glob("*.lst")):
        shutil.copy(module, boot / "i386-pc")
    # update-grub replaces this at the first boot. It cannot run here: it looks at the disk that it runs from.
    (boot / "grub.cfg").write_text(
        f"linux /vmlinuz root=UUID={ROOT_UUID} ro {KERNEL_OPTIONS}\ninitrd /initrd.img\nboot\n", encoding="ascii"
    )
    core = "/boot/grub/i386-pc/core.img"
    place.output("chroot", str(root), "grub-mkimage", "--format=i386-pc", f"--output={core}",
                 "--prefix=(hd0,msdos1)/boot/grub", "biosdisk", "part_msdos", "ext2")  # fmt: skip
    boot_sector = (modules / "boot.img").read_bytes()[:440]
    core_image = (root / core.lstrip("/")).read_bytes()
    assert len(core_image) <= (_FIRST - 1) * _SECTOR

    sectors = hardware.SYSTEM_DISK // _SECTOR - _FIRST
    with disk.open("wb") as handle:
        handle.truncate(hardware.SYSTEM_DISK)
    place.output("mkfs.ext4", "-q", "-U", ROOT_UUID, "-d", str(root), "-E", f"offset={_FIRST * _SECTOR}",
                 str(disk), f"{sectors * _SECTOR // 1024}k")  # fmt: skip
    # One bootable Linux partition: its entry has no use for cylinders and heads.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", _FIRST, sectors)
    with disk.open("r+b") as handle:
        handle.write(boot_sector)
        handle.seek(446)
        handle.write(entry + bytes(48) + b"\x55\xaa" + core_image)


def _boot_once(directory: Path) -> None:
    """Boot from the disk as it is, have the boot loader's menu written by Debian's own script, and save the state."""
    place.output(
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", str(directory / "system.qcow2")
    )
    place.output("qemu-img", "create", "-q", "-f", "qcow2", str(directory / "data.qcow2"), str(hardware.DATA_DISK))
    port = ssh.free_port()
    command = [option for option in hardware.command(directory, port) if option != "-no-reboot"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        qmp = Qmp(process.stdout, process.stdin)
        with ssh.Ssh(port) as guest:
            guest.wait(BOOT_TIMEOUT)
            guest.run("update-grub && systemctl is-system-running --wait; rm -f /root/.bash_history; sync", check=False)
        qmp.command("stop")
        qmp.command("migrate", uri=f"exec:zstd -q1 -o {directory / 'state.zst'}")
        while (status := qmp.command("query-migrate")["status"]) in ("setup", "active", "device"):
            time.sleep(0.1)
        if status != "completed":
            raise place.LabError(f"the machine's state could not be saved: {status}")
        qmp.command("quit")
        process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    (directory / "data.qcow2").unlink()
    (directory / "system.qcow2").rename(directory / "booted.qcow2")
