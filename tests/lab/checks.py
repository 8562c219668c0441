# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node has to show of itself, asked of its kernel and its own programs, and not of Carve."""

from __future__ import annotations

import json
import shlex

from ansible_collections.carve.vps.tests.lab.machine import Machine

SYSCTLS = {
    "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, "fs.inotify.max_user_instances": 2147483647,
    "kernel.pid_max": 4194304,
}  # fmt: skip
# Q_GETINFO of project quota (quotactl(2)): succeeds only where it is accounted and enforced.
QUOTA = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
info = ctypes.create_string_buffer(64)
for kind in (0, 2):
    if libc.quotactl((0x800005 << 8) | kind, sys.argv[1].encode(), 0, info):
        sys.exit(f"quota of type {kind}: {os.strerror(ctypes.get_errno())}")
print("both")
"""


def holds_quota(machine: Machine, filesystem: str) -> None:
    """The container filesystem is the second disk, and has user and project quota in force."""
    mount = json.loads(machine.run("findmnt --json --output SOURCE,FSTYPE,OPTIONS --mountpoint /var/lib/carve"))
    found = mount["filesystems"][0]
    assert (found["source"], found["fstype"]) == ("/dev/vdb", filesystem)
    options = set(found["options"].split(","))
    assert {"prjquota", "usrquota"} <= options, options
    program = shlex.quote(QUOTA)
    if filesystem == "ext4":
        assert machine.run(f"python3 -c {program} /dev/vdb") == "both"


def raised(machine: Machine) -> None:
    """The kernel's limits are what nodes need."""
    found = {name: int(machine.run(f"sysctl -n {name}")) for name in SYSCTLS}
    assert all(found[name] >= least for name, least in SYSCTLS.items()), found
