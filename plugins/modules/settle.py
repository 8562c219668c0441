#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: settle
short_description: Compare where a fleet's containers are with where they should be
version_added: 0.1.0
description:
  - Takes what M(carve.vps.node) has returned for every node of a fleet, and finds the containers that are on another
    node than the inventory P(carve.vps.fleet#inventory) has predicted, and those that may be on a node that did not
    answer.
  - Runs on the controller, once for all nodes. What it finds is remembered in the user's cache directory, so that the
    inventory predicts better when it is read again.
  - The playbooks C(carve.vps.plan), C(carve.vps.apply) and C(carve.vps.drift) begin with it.
author:
  - Carve contributors (@carve-vps)
options:
  register:
    description: The variable in which every node has its result of M(carve.vps.node).
    type: str
    default: carve_result
  looked:
    description: The RV(looked) of an earlier call, when the inventory was read again since the nodes were looked at.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Only the controller's memory changes, in check mode too.
  diff_mode:
    support: none
    description: Nothing is changed on a node.
seealso:
  - module: carve.vps.node
"""

EXAMPLES = r"""
- name: Look at all nodes
  carve.vps.node:
    fleet: "{{ carve_desired.fleet }}"
    containers: "{{ carve_desired.containers }}"
    templates: "{{ carve_desired.templates }}"
    networks: "{{ carve_desired.networks }}"
  check_mode: true
  register: carve_result

- name: Find what is elsewhere than declared
  carve.vps.settle:
  run_once: true
  register: carve_settled
"""

RETURN = r"""
stale:
  description:
    - Whether the inventory has to be read again, since it was made from something else than what is known now.
    - Then nothing else but RV(looked) is returned with a meaning.
  returned: always
  type: bool
looked:
  description: A digest for each node of what was predicted for it when it was looked at.
  returned: always
  type: dict
elsewhere:
  description: By node, what its option O(carve.vps.node#module:elsewhere) should be.
  returned: always
  type: dict
  sample: {"node1": {"web-1": "node2"}, "node2": {"web-1": "node1"}}
hold:
  description: By node, what its option O(carve.vps.node#module:hold) should be.
  returned: always
  type: dict
  sample: {"node1": {"web-2": "may be on node3, which did not answer"}}
again:
  description: The nodes whose plan was made from something else than this.
  returned: always
  type: list
  elements: str
  sample: [node1, node2]
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "register": {"type": "str", "default": "carve_result"},
            "looked": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="carve.vps.settle works on the controller; its action plugin was not found")


if __name__ == "__main__":
    main()
