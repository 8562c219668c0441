# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's files of many kinds, told so that any difference shows; snapshots of it by the module's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.snapshots import ask
from ansible_collections.carve.vps.tests.integration.support import Fleet, inside

# Run inside. A place of its own, and two of the template's: a file that is deleted, a directory that is replaced.
_EMPTY = r"""
def empty(top):
    import os
    for where, folders, files in os.walk(top, topdown=False):
        for name in files + [f for f in folders if os.path.islink(os.path.join(where, f))]:
            os.unlink(os.path.join(where, name))
        os.rmdir(where)
"""
_MAKE = (
    _EMPTY
    + r"""
import os, struct
os.makedirs("/srv/data/deep", exist_ok=True)
os.chdir("/srv/data")
open("plain", "wb").write(os.urandom(300_000))
with open("holes", "wb") as f:
    f.truncate(8 << 20); f.seek(4 << 20); f.write(b"middle")
os.link("plain", "deep/same")
os.symlink("/etc/passwd", "link")
os.mkfifo("pipe")
open("of-a-user", "w").write("mine")
os.chown("of-a-user", 1000, 100)
open("tool", "w").write("#!/bin/sh\n")
os.chmod("tool", 0o4755)
open("able", "w").write("#!/bin/sh\n")
os.setxattr("able", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
acl = [(1, 7, 2**32 - 1), (2, 5, 1000), (4, 5, 2**32 - 1), (8, 4, 100), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1)]
os.setxattr("tool", "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in acl))
os.setxattr("plain", "user.note", b"\0kept")
os.unlink("/usr/bin/tac")
empty("/usr/share/base-files")
os.mkdir("/usr/share/base-files")
open("/usr/share/base-files/mine", "w").write("instead")
os.sync()
"""
)
_TELL = r"""
import hashlib, json, os, stat
found, first = {}, {}
for top in ("/srv", "/usr/bin", "/usr/share/base-files", "/opt"):
    for where, folders, files in os.walk(top):
        for name in [".", *folders, *files]:
            path = os.path.join(where, name)
            s = os.lstat(path)
            regular, link = stat.S_ISREG(s.st_mode), stat.S_ISLNK(s.st_mode)
            found[path] = [
                s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, first.setdefault(s.st_ino, path) if regular else "",
                hashlib.sha256(open(path, "rb").read()).hexdigest() if regular else os.readlink(path) if link else "",
                sorted((k, os.getxattr(path, k, follow_symlinks=False).hex())
                       for k in os.listxattr(path, follow_symlinks=False)),
            ]
print(json.dumps(found))
"""
_DAMAGE = (
    _EMPTY
    + r"""
import os
empty("/srv/data")
os.mkdir("/srv/data")
open("/srv/data/plain", "w").write("damaged")
open("/usr/bin/tac", "w").write("back, and not what it was")
empty("/usr/share/base-files")
open("/opt/new", "w").write("left by the intruder")
os.chown("/srv", 33, 33)
os.sync()
"""
)


def make_files(name: str) -> None:
    inside(name, "python3", "-c", _MAKE)


def damage_files(name: str) -> None:
    inside(name, "python3", "-c", _DAMAGE)


def files_of(name: str) -> dict[str, Any]:
    """All that a container sees of its files, but for what it writes by itself."""
    found: dict[str, Any] = json.loads(inside(name, "python3", "-c", _TELL))
    return found


def snapshot(fleet: Fleet, name: str, *containers: str, check: bool = False, **options: Any) -> dict[str, Any]:
    """One call of ``carve.vps.snapshot``."""
    params = {"name": name, "containers": list(containers), "fleet": fleet.name, "state": "present", "allow": [],
              "lock_timeout": 30, **options}  # fmt: skip
    return ask.run(params, check)


def did(fleet: Fleet, name: str, *containers: str, **options: Any) -> dict[str, Any]:
    """The same, held to what check mode says."""
    predicted = snapshot(fleet, name, *containers, check=True, **options)
    result = snapshot(fleet, name, *containers, **options)
    assert not result.get("failed"), result["msg"]
    assert (result["changed"], result["containers"]) == (predicted["changed"], predicted["containers"])
    assert result["diff"] == predicted["diff"]
    return result


def kept(name: str) -> set[str]:
    """The names of a container's snapshots, as they lie on the disk."""
    place = Path(Paths().snapshots, name)
    return {path.name for path in place.iterdir()} if place.is_dir() else set()


def being_made() -> set[str]:
    place = Path(Paths().taking)
    return {path.name for path in place.iterdir()} if place.is_dir() else set()
