# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found of a running container that its checkpoint depends on; and whether the node has what it takes."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from .. import files, store
from ..host import Box, Host
from ..kernel import apparmor, mountinfo
from ..paths import SEARCH
from . import fitness
from .fitness import Look, Process

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
# Whatever else shows through: lxcfs, which every container has and every node.
_OUR_FUSE = "fuse.lxcfs"


def unfit(host: Host, box: Box) -> list[str]:
    """What forbids that a container is checkpointed here, a sentence each."""
    if box.pid is None:
        return ["it does not run"]
    try:
        return [*lacking(host), *fitness.findings(of(host, box))]
    except OSError:
        return ["it ended while it was looked at"]


def lacking(host: Host) -> list[str]:
    """What the node lacks. CRIU is asked once for each kernel and each CRIU, since its own look takes a while."""
    if host.cgroup.version == 1:
        return ["this node has version 1 of control groups; checkpoints need version 2"]
    programs = {"criu": "criu", "lxc-checkpoint": "lxc", "iptables-restore": "iptables"}
    if host.apparmor:
        programs["apparmor_parser"] = "apparmor"
    missing = [package for name, package in programs.items() if shutil.which(name, path=SEARCH) is None]
    if missing:
        return [f"{package} is not installed on this node; run carve.vps.bootstrap" for package in missing]
    said = _criu_says(host)
    return [f"CRIU cannot work on this node: {said}"] if said else []


def _criu_says(host: Host) -> str:
    """What ``criu check`` finds missing; kept in ``/run`` with what it was asked of."""
    program = os.stat(shutil.which("criu", path=SEARCH) or "/")
    asked = [platform.release(), program.st_mtime_ns, program.st_size]
    note = f"{host.paths.run}/criu.json"
    known = files.read_json(note)
    if known and known["asked"] == asked:
        return str(known["said"])
    done = subprocess.run(["criu", "check"], check=False, capture_output=True, text=True, env={"PATH": SEARCH})
    words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = "; ".join(words[:3]) or f"criu check ended with {done.returncode}" if done.returncode else ""
    with contextlib.suppress(OSError):  # a reader may not be let
        files.write_json(note, {"asked": asked, "said": said})
    return said


def traits(host: Host) -> dict[str, Any]:
    """What two nodes must have in common for a container to be checkpointed on one and made anew on the other."""
    flags = (files.read("/proc/cpuinfo") or "").partition("\nflags")[2].partition("\n")[0].partition(":")[2].split()
    return {
        "criu": _version("criu"),
        "lxc": _version("lxc-start"),
        # Its series: what is mended within one changes nothing that a process can see.
        "kernel": ".".join(platform.release().split(".")[:2]),
        "cpu": sorted(flags),
        "apparmor": host.apparmor,
    }


def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], check=False, capture_output=True, text=True, env={"PATH": SEARCH})
    except FileNotFoundError:
        return ""
    first = (done.stdout.splitlines() or [""])[0]
    return first.rpartition(" ")[2]


def of(host: Host, box: Box) -> Look:
    """Everything that ``fitness.findings`` judges. Raises ``OSError`` when the container's init has ended."""
    pid = box.pid or 0
    pids = [pid, *sorted(set(_members(host, box.name)) - {pid})]
    os.stat(f"/proc/{pid}/ns/mnt")
    processes = tuple(found for one in pids if (found := _process(one)) is not None)
    return Look(
        fields=box.record.fields,
        processes=processes,
        mounts=_mounts(processes),
        label=apparmor.label_of(pid) if host.apparmor else None,
        wanted_label=f"{apparmor.NAME} (enforce)" if host.apparmor else None,
        backend=box.record.backend,
        own_filesystem=store.image_of(box.directory) is not None,
    )


def namespaces_of(host: Host, box: Box) -> dict[str, int]:
    """A process of each mount namespace of a running container."""
    found: dict[str, int] = {}
    for pid in (box.pid or 0, *_members(host, box.name)):
        with contextlib.suppress(OSError):  # it has just ended
            found.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
    return found


def _members(host: Host, name: str) -> Iterator[int]:
    """All processes of a container, by a hierarchy of its control groups."""
    for top in host.cgroup.directories(name):
        if os.path.isdir(top):
            for directory, _children, _files in files.walk(top):
                yield from (int(pid) for pid in (files.read(f"{directory}/cgroup.procs") or "").split())
            return


def _process(pid: int) -> Process | None:
    """A process, or nothing of one that has ended meanwhile."""
    place = f"/proc/{pid}"
    namespaces, descriptors = {}, set()
    try:
        name = (files.read(f"{place}/comm") or "").strip()
        for kind in _NAMESPACES:
            namespaces[kind] = os.readlink(f"{place}/ns/{kind}")
        for number in os.listdir(f"{place}/fd"):
            with contextlib.suppress(FileNotFoundError):
                descriptors.add(os.readlink(f"{place}/fd/{number}"))
    except OSError:
        return None
    return Process(pid, name, namespaces, frozenset(descriptors))


def _mounts(processes: tuple[Process, ...]) -> frozenset[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    seen: set[str] = set()
    # Parts of the root filesystem that are mounted once more, as in the namespaces of confined services.
    root = None
    for process in processes:
        if process.namespaces["mnt"] not in seen:
            seen.add(process.namespaces["mnt"])
            for mount in mountinfo.seen_by(process.pid):
                root = mount.device if root is None and mount.place == "/" else root
                if mount.kind != _OUR_FUSE and mount.device != root:
                    found.add((files.printable(mount.kind), files.printable(mount.place)))
    return frozenset(found)
