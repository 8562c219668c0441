# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AppArmor's profile for containers that can be checkpointed.

LXC's ``generated`` profile is one for each container and each of its starts, stacked upon a namespace of its own; CRIU
can put a process only under a profile that is loaded already and stands alone. This one is loaded once for the node's
boot, and has what LXC's own packages give every container, with all mounts: which of them an unprivileged container
may make is the kernel's business.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

from .. import files
from ..paths import SEARCH, Paths

# LXC's own confinement lets it pass on to names that begin so.
NAME = "lxc-carve-live"
PROFILE = f"""#include <tunables/global>

profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  #include <abstractions/lxc/container-base>

  mount,
  pivot_root,
  ptrace,
  signal,

  # A door to whoever runs the node's virtual machine, which no namespace shuts.
  deny network vsock,
}}
"""
_LOADED = "/sys/kernel/security/apparmor/profiles"


def load(paths: Paths) -> None:
    """Let the kernel know the profile, unless it does. Raises ``OSError`` with the parser's words."""
    note = f"{paths.run}/{NAME}.apparmor"
    if files.read(note) == PROFILE and is_loaded():
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(note)
    command = ["apparmor_parser", "--replace", "--skip-cache"]
    result = subprocess.run(
        command, input=PROFILE, capture_output=True, text=True, check=False, env={"PATH": SEARCH}, cwd="/"
    )
    if result.returncode:
        raise OSError(f"AppArmor does not take the profile {NAME}: {result.stderr.strip()}")
    files.write(note, PROFILE)


def is_loaded() -> bool:
    return any(line.startswith(f"{NAME} ") for line in (files.read(_LOADED) or "").splitlines())


def label_of(pid: int) -> str | None:
    """What confines a process, as ``PROFILE (MODE)``; nothing where AppArmor does not."""
    for place in ("apparmor/current", "current"):
        with contextlib.suppress(OSError):
            label = files.read(f"/proc/{pid}/attr/{place}")
            if label is not None:
                return label.strip().rstrip("\0") or None
    return None
