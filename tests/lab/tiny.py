# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's root filesystem of one program, for tests of many containers: a systemd takes ten seconds to boot."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

from ansible_collections.carve.vps.tests.integration.support import CACHE
from ansible_collections.carve.vps.tests.lab import place

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/inittab": "::sysinit:/bin/true\n",
}


def tiny_archive() -> Path:
    """BusyBox with all of its names, init among them, made once for all tests of this checkout."""
    archive = CACHE / "busybox.tar"
    if archive.exists():
        return archive
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place_for_it:
        unpacked, root = Path(place_for_it, "unpacked"), Path(place_for_it, "root")
        place.output("mmdebstrap", "--variant=extract", "--include=busybox-static", "trixie", str(unpacked))
        for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var"):
            (root / name).mkdir(parents=True)
        busybox = (unpacked / "usr/bin/busybox").rename(root / "usr/bin/busybox")
        applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in set(applets) - {"busybox"}:
            (root / "usr/bin" / applet).symlink_to("busybox")
        for name in ("bin", "sbin"):
            (root / name).symlink_to("usr/bin")
        for name, text in _FILES.items():
            (root / name).write_text(text, encoding="ascii")
        part = CACHE / "busybox.part"
        with tarfile.open(part, "w") as tar:
            tar.add(root, ".", filter=_of_root)
        part.rename(archive)
    return archive


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() else member.mode
    return member
