#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint
short_description: Suspend a container to disk with its memory, or resume it
version_added: 0.1.0
author:
  - Carve contributors (@carve-vps)
description:
  - Writes the processes and the memory of a running container to disk by CRIU, or makes it anew from there. What was
    suspended stays so over a reboot of the node, and goes on where it was; connections that were open, too, if the
    other side has waited.
  - A container that cannot be suspended goes on running; one that cannot be resumed stays suspended.
  - Only containers with C(live_migration=true) in the manifest are built so that it works. M(carve.vps.node_info) says
    of each whether it is fit, and of one that is not, why.
  - What is said here lasts until C(carve.vps.apply) sees to the manifest again. C(state=suspended) there means the
    same.
options:
  name:
    description: The container.
    type: str
    required: true
  fleet:
    description: The fleet that it belongs to.
    type: str
    required: true
  state:
    description: V(suspended) or V(resumed).
    type: str
    choices: [suspended, resumed]
    required: true
attributes:
  check_mode:
    support: full
    description: Looks whether it can be done, and predicts it.
  diff_mode:
    support: full
    description: Shows the state before and after.
seealso:
  - module: carve.vps.node_info
"""

EXAMPLES = r"""
- name: Put a container to sleep while the node is repaired
  carve.vps.checkpoint:
    name: web-1
    fleet: acme
    state: suspended

- name: Wake it up
  carve.vps.checkpoint:
    name: web-1
    fleet: acme
    state: resumed
"""

RETURN = r"""
state:
  description: The container's state - C(suspended) or C(running).
  returned: success
  type: str
  sample: suspended
images_bytes:
  description: What its memory takes on disk.
  returned: success
  type: int
  sample: 44040192
seconds:
  description: How long it took.
  returned: when it was changed
  type: float
  sample: 0.8
errors:
  description: What went wrong, one sentence each.
  returned: when it failed
  type: list
  elements: str
findings:
  description: What forbids that it is suspended.
  returned: when it cannot be
  type: list
  elements: str
  sample: ["a file system of kind ramfs is mounted at /run/credentials/x.service, which CRIU does not save"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.checkpoint import ends


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["suspended", "resumed"], "required": True},
        },
        supports_check_mode=True,
    )
    result = ends.run(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
