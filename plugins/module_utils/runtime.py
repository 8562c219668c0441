# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that stay on the node: the hook that LXC calls, and the one that starts containers at boot.

They are a copy of the part of this package that they need, put beside the versions before it and made current by one
rename. The change plan shows when a node has another version than the one that speaks to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess

from . import files
from .facets import checkpoint
from .paths import LIBRARY

# Everything that hook.py, boot.py, usage.py, moves/arrive.py and snapshots/scheduled.py import (a test holds the list
# to that).
MODULES = (
    "abilities", "beancounters", "boot", "bridges", "builder", "checkpoint/__init__", "checkpoint/criu",
    "checkpoint/fitness", "checkpoint/look", "checkpoint/script", "checkpoint/sharing", "checkpoint/shot",
    "checkpoint/suspend", "checkpoint/tree", "definitions", "desired", "engines/__init__", "engines/lxc",
    "facets/__init__", "facets/base", "facets/boot", "facets/cards", "facets/checkpoint", "facets/cpu",
    "facets/devices", "facets/disk", "facets/identity", "facets/io", "facets/memory", "facets/mounts", "facets/network",
    "facets/processes", "facets/rlimits", "facets/security", "facets/sysctls", "facets/timezone", "facets/users",
    "files", "fullness", "gate", "guard", "hook", "host", "images", "kernel/__init__", "kernel/announce",
    "kernel/apparmor", "kernel/aside", "kernel/cgroup", "kernel/disks", "kernel/frames", "kernel/freezer",
    "kernel/graft", "kernel/inroot", "kernel/links", "kernel/loop", "kernel/meters", "kernel/mountinfo",
    "kernel/mounts", "kernel/namespaces", "kernel/netlink", "kernel/nft", "kernel/probe", "kernel/quota",
    "kernel/shaping", "kernel/shift", "kernel/syscalls", "kinds", "lock", "model/__init__", "model/container",
    "model/gate", "model/given", "model/network", "model/template", "moves/__init__", "moves/answer", "moves/arrival",
    "moves/arrive", "moves/incoming", "moves/note", "moves/remote", "moves/room", "moves/session", "moves/setaside",
    "moves/verify", "paths", "plan_capabilities", "plan_disk", "plan_networks", "power", "record", "removal", "rootfs",
    "slots", "snapshots/__init__", "snapshots/schedule", "snapshots/scheduled", "snapshots/shelf", "snapshots/take",
    "steps",
    "store", "tally", "trees", "units", "usage", "words",
)  # fmt: skip

# Without site.py a start of Python takes half the time; Debian's own packages (pyroute2) are then named by hand.
_PROGRAM = """#!/usr/bin/python3 -IS
import sys

sys.path[:0] = ["{library}/current"]
sys.path.append("/usr/lib/python3/dist-packages")
from carve.{module} import main

sys.exit(main(sys.argv))
"""
# What LXC reads at starts, beside the programs.
_FILES = {checkpoint.SECCOMP_FILE: checkpoint.SECCOMP}
# Two units, since systemd does not stop what has failed to start: where one container does not start, the service says
# so by its own state, and the others are shut down in order all the same when the node goes down.
_UNITS = {
    "carve.service": """[Unit]
Description=Carve: start containers
Documentation=man:lxc.container.conf(5)
Wants=network-online.target
After=network-online.target lxcfs.service lxc-net.service apparmor.service carve-shutdown.service
RequiresMountsFor=/var/lib/carve

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={library}/boot start
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
""",
    "carve-shutdown.service": """[Unit]
Description=Carve: stop containers before the node goes down
Documentation=man:lxc.container.conf(5)
After=network-online.target lxcfs.service lxc-net.service apparmor.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop={library}/boot stop
TimeoutStopSec=900

[Install]
WantedBy=multi-user.target
""",
    "carve-usage.service": """[Unit]
Description=Carve: show containers what they use, and keep it

[Service]
Type=oneshot
ExecStart={library}/usage
Nice=10
LogLevelMax=notice
""",
    # What was frozen is thawed by a process that waits for the end of the one that did it, and has to outlive it.
    "carve-snapshots.service": """[Unit]
Description=Carve: take snapshots of containers that are due, and remove old ones

[Service]
Type=oneshot
ExecStart={library}/scheduled
IOSchedulingPriority=7
KillMode=process
LogLevelMax=notice
TimeoutStartSec=infinity
""",
    "carve-snapshots.timer": """[Unit]
Description=Carve: look whether snapshots of containers are due

[Timer]
OnCalendar=*:0/5
AccuracySec=10s

[Install]
WantedBy=timers.target
""",
    "carve-usage.timer": """[Unit]
Description=Carve: show containers what they use, every minute

[Timer]
OnActiveSec=1min
OnUnitActiveSec=1min
AccuracySec=10s

[Install]
WantedBy=timers.target
""",
}
_ENABLED = {
    "carve.service": "multi-user.target",
    "carve-shutdown.service": "multi-user.target",
    "carve-snapshots.timer": "timers.target",
    "carve-usage.timer": "timers.target",
}
_SYSTEMD = "/etc/systemd/system"


def _content() -> dict[str, bytes]:
    # By this module's own loader, since Ansible brings the package in a zip archive.
    here, loader = os.path.dirname(__file__), globals()["__loader__"]
    content = {f"carve/{name}.py": loader.get_data(f"{here}/{name}.py") for name in MODULES}
    content["carve/__init__.py"] = b""
    return content


def digest() -> str:
    """The version of the programs that this package carries."""
    total = hashlib.sha256((_PROGRAM + "".join([*_UNITS.values(), *_FILES.values()])).encode())
    for name, data in sorted(_content().items()):
        total.update(name.encode() + b"\0" + data)
    return total.hexdigest()[:12]


def installed(library: str = LIBRARY) -> str | None:
    """The version that the node has, or ``None``."""
    try:
        return os.path.basename(os.readlink(f"{library}/current"))
    except OSError:
        return None


def install(library: str = LIBRARY, systemd: str = _SYSTEMD) -> None:
    """Put this version on the node and make it current; versions before it go."""
    # Imported for Ansible to bring them; loaded only here, since most runs install nothing.
    from . import boot, hook, usage
    from .checkpoint import script
    from .moves import arrive
    from .snapshots import scheduled

    version = digest()
    place = f"{library}/{version}"
    batch = files.Batch()
    for name, data in _content().items():
        os.makedirs(os.path.dirname(f"{place}/{name}"), mode=0o755, exist_ok=True)
        batch.write(f"{place}/{name}", data.decode())
    for name, text in _FILES.items():
        batch.write(f"{place}/{name}", text)
    for program in (arrive, boot, hook, scheduled, script, usage):
        module = program.__name__[len(__package__) + 1 :]
        name = "checkpoint" if program is script else module.rpartition(".")[2]
        batch.write(f"{library}/{name}", _PROGRAM.format(library=library, module=module), mode=0o755)
    batch.commit()
    _install_units(library, systemd)
    temporary = f"{library}/.current"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(version, temporary)
    os.rename(temporary, f"{library}/current")
    files.sync([library])
    for name in os.listdir(library):
        if os.path.isdir(f"{library}/{name}") and not os.path.islink(f"{library}/{name}") and name != version:
            files.remove_tree(f"{library}/{name}")


def _install_units(library: str, systemd: str) -> None:
    """The unit files and the links that enable them; harmless where another init runs."""
    os.makedirs(systemd, mode=0o755, exist_ok=True)
    for name, text in _UNITS.items():
        files.write(f"{systemd}/{name}", text.format(library=library))
    for name, target in _ENABLED.items():
        wants = f"{systemd}/{target}.wants"
        os.makedirs(wants, mode=0o755, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(f"../{name}", f"{wants}/{name}")
    if os.path.isdir("/run/systemd/system"):
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
        # What is to be stopped in the end must have been started. The first time, the start waits for this run's lock,
        # and then finds everything started that starts with the node.
        command = ["systemctl", "start", "--no-block", *_ENABLED]
        subprocess.run(command, check=False, capture_output=True)
