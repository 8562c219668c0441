#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: moves
short_description: Work out which containers move from where to where
version_added: 0.1.0
description:
  - Takes what M(carve.vps.node_info) has returned for every node of a fleet, and says which containers have to go from
    which node to which, so that a node is empty, or that containers are where they are wanted or belong.
  - Runs on the controller, once for all nodes, and changes nothing. The playbooks C(carve.vps.migrate) and
    C(carve.vps.drain) do what it says.
author:
  - Carve contributors (@carve-vps)
options:
  register:
    description: The variable in which every node has its result of M(carve.vps.node_info).
    type: str
    default: carve_found
  containers:
    description: Names of containers to move, several also in one text with commas; V(all) for all that are declared.
    type: list
    elements: str
    default: []
  to:
    description:
      - The node that they are to go to.
      - Without it, where they belong - the node that pins them, or the one that placement would choose today.
    type: str
  drain:
    description: The node that is to be emptied. What it pins stays.
    type: str
  at_once:
    description: How many containers move together between two nodes.
    type: int
    default: 4
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
  diff_mode:
    support: none
    description: Nothing is ever changed.
seealso:
  - module: carve.vps.departure
  - module: carve.vps.arrival
"""

EXAMPLES = r"""
- name: Look where everything is
  carve.vps.node_info:
  register: carve_found

- name: Work out how to empty a node
  carve.vps.moves:
    drain: node1
  run_once: true
  register: carve_moves
"""

RETURN = r"""
groups:
  description: Containers that go together, with their source and destination, and a name for their session.
  returned: always
  type: list
  elements: dict
  sample: [{"session": "m5f2a", "source": "node1", "destination": "node2", "containers": ["web-1"]}]
stays:
  description: Containers that were asked for and stay where they are, and why.
  returned: always
  type: dict
  sample: {"db": "is pinned by node: node1"}
stuck:
  description: Containers of a node that is to be emptied which no other node can take, and why.
  returned: always
  type: dict
  sample: {"ns2": "fits on no node: node1 is cordoned; node2 has ns1 of the same group dns"}
involved:
  description: The nodes that have a part in it.
  returned: always
  type: list
  elements: str
  sample: [node1, node2]
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "register": {"type": "str", "default": "carve_found"},
            "containers": {"type": "list", "elements": "str", "default": []},
            "to": {"type": "str"},
            "drain": {"type": "str"},
            "at_once": {"type": "int", "default": 4},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="carve.vps.moves works on the controller; its action plugin was not found")


if __name__ == "__main__":
    main()
