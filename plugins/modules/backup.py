#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Make backups of containers, and containers of backups
version_added: 0.1.0
author:
  - Carve contributors (@carve-vps)
description:
  - Keeps a container's own files, its record and what it has used at a place, a directory of the node or of another
    machine. The template that the files lie on is kept there once for all containers.
  - The files are those of one moment. A running container is not restarted for it; its processes stand still for as
    long as it takes to copy what was written to last, as for M(carve.vps.snapshot).
  - A backup is restored on any node, under the container's own name or another one, and stopped. Every file of it is
    checked by its SHA-256. What the manifest declares of the container comes with the next apply.
options:
  state:
    description:
      - V(present) makes a backup of each container, where there is none of that O(name) yet.
      - V(restored) makes a container of a backup, on this node. One that has the name already is left alone, and the
        task fails.
    type: str
    choices: [present, restored]
    default: present
  containers:
    description: The containers; to be restored, the one that the backup is of.
    type: list
    elements: str
    required: true
  fleet:
    description: The fleet that the containers belong to.
    type: str
    required: true
  place:
    description:
      - Where backups are kept - a directory such as C(/srv/backups), or C(ssh://user@host:port/srv/backups).
      - The node reaches the other machine by SSH itself, without a password. There it needs a shell and coreutils.
    type: str
    required: true
  name:
    description:
      - The backup's name, a DNS label. The present time in UTC unless given, so that each call makes one.
      - To be restored, the newest of those that are called by their time unless given.
    type: str
  restore_as:
    description:
      - The name to restore under; the container's own unless given.
      - Under another name it is another container - with an identity, user ids and network of its own.
    type: str
  ssh_key:
    description: A file on the node with the private key for O(place); root's own keys unless given.
    type: path
  host_key:
    description:
      - The public host key of the machine at O(place), such as C(ssh-ed25519 AAAAC3Nz).
      - Unless given, root's C(known_hosts) on the node must have it.
    type: str
  lock_timeout:
    description: Seconds to wait for another run on the node to end, and for another snapshot or backup.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: The place is asked, and nothing is written. Data is not read, so what is damaged in it is not found.
  diff_mode:
    support: full
    description: Names the backups that are made, or what is restored from which.
  idempotent:
    support: partial
    description: With O(name), a second V(present) has nothing to do. A second V(restored) fails.
seealso:
  - module: carve.vps.snapshot
"""

EXAMPLES = r"""
- name: Keep a backup on another machine
  carve.vps.backup:
    fleet: acme
    containers: [web-1, db]
    place: ssh://carve@backup.example.net/srv/backups
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2

- name: Make a second container of the newest one
  carve.vps.backup:
    fleet: acme
    state: restored
    containers: [db]
    restore_as: db-of-yesterday
    place: ssh://carve@backup.example.net/srv/backups
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2
"""

RETURN = r"""
name:
  description: The backup's name.
  returned: always but when an option is wrong
  type: str
  sample: 20261122t120000z
containers:
  description: The containers of which a backup was made, or the one that was restored.
  returned: always but when an option is wrong
  type: list
  elements: str
  sample: [web-1]
backups:
  description: What was made, or restored, by container.
  returned: always but when an option is wrong
  type: dict
  sample: {"web-1": {"name": "20261122t120000z", "taken": "2026-11-22T12:00:00Z", "frozen_s": 0.041, "bytes": 20971520,
    "content_bytes": 73400320, "files": 1532, "sha256": "ab12", "template": "debian-13@1f4360e1dee7",
    "path": "acme/web-1/20261122t120000z"}}
errors:
  description: What went wrong, one sentence each.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.backups import ask


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
            "containers": {"type": "list", "elements": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "place": {"type": "str", "required": True},
            "name": {"type": "str"},
            "restore_as": {"type": "str"},
            "ssh_key": {"type": "path", "no_log": False},
            "host_key": {"type": "str", "no_log": False},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    result = ask.run(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
