# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Carve needs of the running kernel, found out by trying it. Leaves nothing behind.

Trying is surer than reading version numbers, configs or module lists: sandboxes and hardened kernels lie in them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import slots
from .kernel import mounts, namespaces, syscalls

# What mends it: another kernel, the kernel's command line, or only a person.
KERNEL, COMMAND_LINE, PERSON = "kernel", "command_line", "person"
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_NETLINK_NETFILTER = 12
_NFT_MSG_GETGEN = 10 << 8 | 16  # linux/netfilter/nf_tables.h
_NLMSG_ERROR = 2
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # sudo and SSH leave out what is for root


class Lack(NamedTuple):
    need: str
    why: str
    cure: str
    detail: str = ""  # of COMMAND_LINE: the controller


def lacking(needs: list[str], place: str) -> list[Lack]:
    """Those of the needs that the kernel does not meet, tried at ``place`` or at its nearest parent that exists."""
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    found: list[Lack] = []
    for need in needs:
        found += [*TRIALS[need](place)]
    return found


def _attempt(work: Callable[[], Any]) -> str | None:
    """Why it did not work, or nothing."""
    try:
        work()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _layers(place: str) -> contextlib.AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix=".carve-probe.", dir=place)


def _overlay(place: str) -> Iterator[Lack]:
    def mount() -> None:
        with _layers(place) as scratch:
            for name in ("lower", "upper", "work"):
                os.mkdir(f"{scratch}/{name}")
            layers = [(f"{kind}dir", f"{scratch}/{kind}") for kind in ("lower", "upper", "work")]
            os.close(syscalls.new_mount("overlay", layers))

    if why := _attempt(mount):
        yield Lack("overlay", f"overlayfs: it cannot be mounted ({why}); the kernel needs CONFIG_OVERLAY_FS", KERNEL)


def _user_namespaces(_place: str) -> Iterator[Lack]:
    if why := _attempt(lambda: os.close(namespaces.userns_fd(slots.FIRST))):
        yield Lack(
            "user_namespaces",
            f"user namespaces: none can be made ({why}); the kernel needs CONFIG_USER_NS and a"
            " user.max_user_namespaces above 0",
            PERSON if os.path.exists("/proc/self/ns/user") else KERNEL,
        )


def _idmapped_overlay(place: str) -> Iterator[Lack]:
    """The very mount that a container's root filesystem is."""

    def mount() -> None:
        with _layers(place) as scratch, contextlib.ExitStack() as stack:
            for name in ("lower", "upper", "work", "root"):
                os.mkdir(f"{scratch}/{name}")
            userns = namespaces.userns_fd(slots.FIRST)
            stack.callback(os.close, userns)
            root = f"{scratch}/root"
            os.close(mounts.overlay(f"{scratch}/lower", f"{scratch}/upper", f"{scratch}/work", root, userns))

    if why := _attempt(mount):
        yield Lack(
            "idmapped_overlay",
            f"idmapped mounts: no overlay can be mounted on one ({why}); the kernel needs to be Linux 5.19 or newer",
            KERNEL,
        )


def _cgroups(_place: str) -> Iterator[Lack]:
    yield from missing_controllers(*_controllers())


def missing_controllers(available: set[str], known: dict[str, bool]) -> Iterator[Lack]:
    """What is not in ``available``, the controllers in use; ``known`` are the kernel's, and whether they are on."""
    for name in CONTROLLERS:
        if name in available:
            continue
        if name not in known:
            yield Lack("cgroups", f"cgroups: the kernel does not have the controller {name}", KERNEL)
        elif known[name]:
            yield Lack("cgroups", f"cgroups: the controller {name} is in no hierarchy; mount it", PERSON)
        else:
            why = f"cgroups: the controller {name} is turned off; the kernel's command line needs cgroup_enable={name}"
            yield Lack("cgroups", f"{why} and no cgroup_disable={name}", COMMAND_LINE, name)


def _controllers() -> tuple[set[str], dict[str, bool]]:
    """Those of version 2 and of version 1's mounts; and those that the kernel knows, and whether they are on."""
    available: set[str] = set()
    with contextlib.suppress(OSError), open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as handle:
        available.update(handle.read().split())
    with open("/proc/self/mounts", encoding="utf-8") as handle:
        for line in handle:
            _source, _where, kind, options, *_rest = line.split()
            if kind == "cgroup":
                available.update(options.split(","))
    with open("/proc/cgroups", encoding="ascii") as handle:
        rows = [line.split() for line in handle if not line.startswith("#")]
    return available, {row[0]: row[3] == "1" for row in rows}


def _nftables(_place: str) -> Iterator[Lack]:
    """Asked for the generation of its rules, which costs nothing and loads the module."""

    def ask() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as link:
            link.settimeout(10)
            body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
            link.send(struct.pack("=IHHII", 16 + len(body), _NFT_MSG_GETGEN, 1, 1, 0) + body)
            answer = link.recv(4096)
        if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer, 16)[0]
            raise OSError(code, os.strerror(code))

    if why := _attempt(ask):
        yield Lack("nftables", f"nftables: the kernel has none ({why}); it needs CONFIG_NF_TABLES", KERNEL)


def _project_quota(_place: str) -> Iterator[Lack]:
    """A file system with it, in a file, mounted for a moment; not tried where nothing can make one."""
    if not shutil.which("mkfs.ext4", path=_PATH):
        return
    with tempfile.TemporaryDirectory(prefix="carve-probe.") as scratch:
        image, mountpoint = f"{scratch}/image", f"{scratch}/root"
        os.mkdir(mountpoint)
        with open(image, "wb") as handle:
            handle.truncate(16 << 20)
        for command in (
            ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", image],
            ["mount", "-o", "loop,prjquota", image, mountpoint],
            ["umount", mountpoint],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": _PATH})
            if done.returncode:
                why = done.stderr.strip().replace("\n", " ")
                yield Lack("project_quota", f"project quota: ext4 cannot be mounted with it ({why})", KERNEL)
                return


TRIALS: dict[str, Callable[[str], Iterator[Lack]]] = {
    "cgroups": _cgroups,
    "idmapped_overlay": _idmapped_overlay,
    "nftables": _nftables,
    "overlay": _overlay,
    "project_quota": _project_quota,
    "user_namespaces": _user_namespaces,
}


def checkpoints() -> str:
    """What CRIU says of this kernel, if it is installed: information, since nothing depends on it yet."""
    try:
        done = subprocess.run(["criu", "check"], check=False, capture_output=True, text=True, env={"PATH": _PATH})
    except FileNotFoundError:
        return "criu is not installed"
    return "yes" if done.returncode == 0 else (done.stdout + done.stderr).strip()
