#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_info
short_description: Try what Carve needs of the running kernel
version_added: 0.1.0
description:
  - Makes the mounts, namespaces and calls that containers depend on, for a moment, and says which of them fail and why.
  - Needs nothing but Python on the host, so it can be used before anything is installed.
author:
  - Carve contributors (@carve-vps)
options:
  needs:
    description: What to try.
    type: list
    elements: str
    choices: [cgroups, idmapped_overlay, nftables, overlay, project_quota, user_namespaces]
    default: [cgroups, idmapped_overlay, nftables, overlay, user_namespaces]
  place:
    description: Where containers are to live. If it does not exist, its nearest parent is tried.
    type: path
    default: /var/lib/carve
attributes:
  check_mode:
    support: full
    description: Nothing that is made outlives the call.
  diff_mode:
    support: none
    description: Nothing is ever changed.
seealso:
  - module: carve.vps.node_info
"""

EXAMPLES = r"""
- name: Try the kernel
  carve.vps.kernel_info:
  register: tried

- name: Tell what it lacks
  ansible.builtin.debug:
    msg: "{{ tried.lacking | map(attribute='why') }}"
"""

RETURN = r"""
lacking:
  description: What does not work.
  returned: always
  type: list
  elements: dict
  contains:
    need:
      description: Which of O(needs).
      type: str
      sample: cgroups
    why:
      description: What is missing, and what would mend it.
      type: str
    cure:
      description: What would mend it. V(kernel), V(command_line) (of the kernel) or V(person).
      type: str
      sample: command_line
    detail:
      description: For the command line, the control group controller that is turned off.
      type: str
      sample: memory
kernel:
  description: The running kernel's release.
  returned: always
  type: str
  sample: 6.12.48+deb13-cloud-amd64
criu:
  description: V(yes), or why CRIU could not checkpoint containers here. Nothing depends on it yet.
  returned: always
  type: str
  sample: criu is not installed
"""

import platform

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import trials


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "needs": {
                "type": "list",
                "elements": "str",
                "choices": sorted(trials.TRIALS),
                "default": sorted(set(trials.TRIALS) - {"project_quota"}),
            },
            "place": {"type": "path", "default": "/var/lib/carve"},
        },
        supports_check_mode=True,
    )
    module.exit_json(
        changed=False,
        lacking=[lack._asdict() for lack in trials.lacking(module.params["needs"], module.params["place"])],
        kernel=platform.release(),
        criu=trials.checkpoints(),
    )


if __name__ == "__main__":
    main()
