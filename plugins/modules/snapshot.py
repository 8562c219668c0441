#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Take, remove and go back to snapshots of containers
version_added: 0.1.0
author:
  - Carve contributors (@carve-vps)
description:
  - A snapshot is a container's own files at one moment, and the template that they lie on. A running container is not
    restarted for it; its processes stand still for as long as it takes to copy what was written to last.
  - It lies on the same disk as the container, so it is no backup. It is not counted for the container's option C(disk).
  - Memory and processes are part of it if O(memory) says so. Else what is found after a roll back is what is
    found after a power cut.
options:
  name:
    description: The snapshot's name, a DNS label.
    type: str
    required: true
  containers:
    description: The containers, all of which must be on this node.
    type: list
    elements: str
    required: true
  fleet:
    description: The fleet that the containers belong to.
    type: str
    required: true
  state:
    description:
      - V(present) takes the snapshot if there is none of this name, V(absent) removes it.
      - V(rolled_back) makes the container's files those of the snapshot, each time that it is asked for.
      - What was written since is lost, unless there is a snapshot of it. What is declared of the container stays as it
        is now.
    type: str
    choices: [present, absent, rolled_back]
    default: present
  memory:
    description:
      - Of V(present), whether memory and processes are kept, too. Only of containers with C(live_migration=true); all
        processes stand still while it is written.
      - Of V(rolled_back), whether the container goes on with the processes of the snapshot; unless told otherwise, it
        does where the snapshot has them. What it had open then is open again, and what was connected to it may be gone.
    type: bool
  allow:
    description:
      - What may be done to roll back. A container that runs is stopped and started for it, which is V(restart).
    type: list
    elements: str
    choices: [restart]
    default: []
  lock_timeout:
    description: Seconds to wait for another run on the node to end, and for another snapshot or backup.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: What check mode reports is what is then carried out.
  diff_mode:
    support: full
    description: Shows the containers' snapshots before and after.
  idempotent:
    support: partial
    description: V(rolled_back) is carried out each time; the others have nothing to do the second time.
seealso:
  - module: carve.vps.node_info
    description: Returns all snapshots of all containers, and what they take.
  - module: carve.vps.backup
    description: Keeps a container's files somewhere else.
"""

EXAMPLES = r"""
- name: Keep what is there before an upgrade
  carve.vps.snapshot:
    fleet: acme
    containers: [web-1, web-2]
    name: before-upgrade

- name: Go back to it
  carve.vps.snapshot:
    fleet: acme
    containers: [web-1]
    name: before-upgrade
    state: rolled_back
    allow: [restart]

- name: No longer needed
  carve.vps.snapshot:
    fleet: acme
    containers: [web-1, web-2]
    name: before-upgrade
    state: absent
"""

RETURN = r"""
containers:
  description: The containers with which something was done.
  returned: always but when an option is wrong
  type: list
  elements: str
  sample: [web-1]
snapshots:
  description: All snapshots of the containers that were asked about, by container and name.
  returned: always but when an option is wrong
  type: dict
  sample: {"web-1": {"before-upgrade": {"taken": "2026-11-22T12:00:00Z", "schedule": null, "bytes": 73400320,
    "files": 1532, "frozen_s": 0.041, "memory_bytes": null, "template": "debian-13@1f4360e1dee7"}}}
errors:
  description: What went wrong, one sentence each.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.snapshots import ask


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "containers": {"type": "list", "elements": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "rolled_back"], "default": "present"},
            "memory": {"type": "bool"},
            "allow": {"type": "list", "elements": "str", "choices": ["restart"], "default": []},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    result = ask.run(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
