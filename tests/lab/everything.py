# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One container with nearly every option at once: what each kernel and each LXC that nodes have must carry."""

from __future__ import annotations

import shlex

from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.support import LabFleet, archives_served
from ansible_collections.carve.vps.tests.lab.tiny import tiny_archive

NAME = "full"
NETWORK = {"mode": "bridged", "bridge": "br-full", "subnet": "10.99.0.0/24", "gateway": "10.99.0.1",
           "firewall": {"between": "deny", "node": ["tcp/53"]}}  # fmt: skip
OPTIONS = {
    "cpus": 0.5, "cpu_weight": 200, "cpu_set": "0", "ram": "96M", "swap": "16M", "ram_guarantee": "32M",
    "io_read": "20M", "io_write_ops": 500, "processes": 60, "disk": "64M", "inodes": "4k",
    "disk_users": {1000: {"disk": "8M"}}, "hosts": {"db.internal": "10.99.0.7"}, "nameservers": ["192.0.2.53"],
    "mounts": {"/srv/data": {"source": "/srv/data", "create": True}, "/media": {"source": "/media", "read_only": True}},
    "devices": {"/dev/vda": {"mode": "r"}}, "features": ["fuse", "tun"], "sysctls": {"net.ipv4.ip_forward": 1},
    "rlimits": {"nofile": "512:2048"}, "drop_capabilities": ["sys_ptrace"], "stop_timeout": 0,
    "network": {"eth0": {"on": "full", "ip": "10.99.0.5", "rate_in": "20mbit", "rate_out": "5mbit"}},
}  # fmt: skip
# Each of them as the container's root sees it, by the programs that it has.
INSIDE = {
    "df -k / | awk 'END { print $2 }'": str(64 << 10),
    "df -i / | awk 'END { print $2 }'": "4000",
    "cat /proc/sys/net/ipv4/ip_forward": "1",
    "awk '/open files/ { print $4, $5 }' /proc/1/limits": "512 2048",
    "awk '/^MemTotal/ { print $2 }' /proc/meminfo": str(96 << 10),
    "test -c /dev/fuse && test -c /dev/net/tun && test -b /dev/vda && echo there": "there",
    "touch /srv/data/mine && ! touch /media/not 2>/dev/null && echo so": "so",
    'awk \'$2 == "numproc" || $1 == "numproc" { print $(NF - 1) }\' /dev/carve/user_beancounters': "60",
    "grep -c 10.99.0.7 /etc/hosts": "1",
}


def is_carried(fleet: LabFleet, machine: Machine) -> None:
    """The node takes all of it, finds nothing to change afterwards, and the container has it."""
    with archives_served(tiny=tiny_archive()) as templates:
        fleet.manifest["templates"] = templates
        fleet.manifest["networks"]["full"] = NETWORK
        fleet.manifest["containers"] = {NAME: {"template": "tiny", "node": machine.name, **OPTIONS}}
        fleet.carve("apply", "--yes").ok()
        assert "No changes" in fleet.carve("apply", "--yes").ok().output
        attach = f"lxc-attach -P /var/lib/carve/containers -n {NAME} --clear-env -- sh -c"
        found = {script: machine.run(f"{attach} {shlex.quote(script)}") for script in INSIDE}
        assert found == INSIDE
        assert "No drift" in fleet.carve("drift").ok().output
        fleet.carve("destroy", "-e", f"carve_destroy={fleet.manifest['fleet']}").ok()
