# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine that the bench runs on: what it is, and what is changed on it for the time of a run."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import packages

PROC_SYS = Path("/proc/sys")
CGROUPS = Path("/sys/fs/cgroup")
SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))

# Carve's node role sees to these itself. The other contenders are given the same, as their own manuals advise:
# with a stock Debian's 128 inotify instances about half of 50 systemd containers die while booting.
ROOMY = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
    "kernel/pid_max": 131072,
    "kernel/keys/maxkeys": 20000,
    "kernel/keys/maxbytes": 2000000,
}


def describe() -> str:
    """One line that says what was measured on."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    gib = int(memory[1]) / 1024**2 if memory else 0
    cgroup = "v2" if unified_cgroups() else "v1"
    return (
        f"{packages.release().get('PRETTY_NAME', 'unknown system')}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores ({_processor()}), {gib:.0f} GiB, cgroup {cgroup}, "
        f"load before the run {os.getloadavg()[0]:.2f}"
    )


def unified_cgroups() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


def _processor() -> str:
    model = re.search(r"model name\s+: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return model[1].strip() if model else platform.machine()


@contextmanager
def roomy_kernel(limits: Mapping[str, int] | None = None) -> Iterator[None]:
    """Raise kernel limits that are lower than `limits`, and lower again afterwards what is still as raised here."""
    raised: dict[Path, tuple[int, int]] = {}
    for name, least in (limits or ROOMY).items():
        path = PROC_SYS / name
        if path.exists() and (before := int(path.read_text())) < least:
            path.write_text(str(least))
            raised[path] = (before, least)
    try:
        yield
    finally:
        for path, (before, least) in raised.items():
            if int(path.read_text()) == least:
                path.write_text(str(before))


@contextmanager
def subordinate_ids_restored(line: str) -> Iterator[None]:
    """Whether root has the range `line` in /etc/subuid and /etc/subgid is afterwards as it was before."""
    had = {path: line in _lines(path) for path in SUBORDINATE}
    try:
        yield
    finally:
        for path, wanted in had.items():
            _set_line(path, line, wanted)


def one_subordinate_range(line: str) -> None:
    """Give root the range `line` if it has no other, else take it away.

    Incus maps every range of root's to the container's id 0 on, so with two of them no container of its starts.
    """
    for path in SUBORDINATE:
        others = [each for each in _lines(path) if each.startswith("root:") and each != line]
        _set_line(path, line, not others)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _set_line(path: Path, line: str, wanted: bool) -> None:
    lines = _lines(path)
    if (line in lines) != wanted:
        lines = [*lines, line] if wanted else [each for each in lines if each != line]
        path.write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")


def forget_cgroups(prefix: str) -> None:
    """Remove empty cgroups that LXC left for these names, and its `lxc.pivot` where no container of LXC's is left."""
    for hierarchy in (CGROUPS, *sorted(path for path in CGROUPS.iterdir() if path.is_dir())):
        for path in (*hierarchy.glob(f"lxc.monitor.{prefix}*"), *hierarchy.glob(f"lxc.payload.{prefix}*")):
            _remove_empty(path)
        if not any(path.name != "lxc.pivot" for path in hierarchy.glob("lxc.*")):
            _remove_empty(hierarchy / "lxc.pivot")


def _remove_empty(cgroup: Path) -> None:
    # One that has processes refuses with EBUSY: it is somebody's, and stays.
    for directory, _unused, _unused in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
