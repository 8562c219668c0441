# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root filesystem that every contender is given: Debian 13 with systemd, built once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import packages
from commands import run

SUITE = "trixie"
# These three cannot work in any container and would leave systemd "degraded", which hides real failures.
MASKED = ("sys-kernel-debug.mount", "sys-kernel-config.mount", "systemd-modules-load.service")
RECIPE = (
    "--variant=minbase",
    "--include=systemd,systemd-sysv,dbus",
    # Every contender makes its own /dev; device nodes in the archive would only be something to skip.
    "--skip=output/dev",
    *(f'--customize-hook=ln -sf /dev/null "$1/etc/systemd/system/{unit}"' for unit in MASKED),
    '--customize-hook=: > "$1/etc/machine-id"',
    '--customize-hook=rm -f "$1/etc/hostname"',
    '--customize-hook=mkdir -p "$1/dev"',
    # Carve marks its templates so (systemd-update-done.service(8)): here all contenders have it.
    '--customize-hook=touch -r "$1/usr" "$1/etc/.updated" "$1/var/.updated"',
)


@dataclass(frozen=True)
class Rootfs:
    archive: Path
    sha256: str


def ensure(cache: Path, log: Path) -> Rootfs:
    recipe = hashlib.sha256("\n".join((SUITE, *RECIPE)).encode()).hexdigest()[:12]
    archive = cache / f"rootfs-{SUITE}-{recipe}.tar"
    if not archive.exists():
        packages.ensure(("mmdebstrap",), log)
        print("  building the root filesystem", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_name(f"unfinished-{archive.name}")
        run(("mmdebstrap", *RECIPE, SUITE, str(unfinished), packages.mirror()), log)
        unfinished.replace(archive)
    with archive.open("rb") as stream:
        return Rootfs(archive, hashlib.file_digest(stream, "sha256").hexdigest())
