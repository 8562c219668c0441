#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: arrival
short_description: Let containers come to this node from another one
version_added: 0.1.0
author:
  - Carve contributors (@carve-vps)
description:
  - Opens an SSH server of its own for one move, with keys of its own, by which M(carve.vps.departure) on the source
    sends containers; and closes it. Makes the bridges that the containers need.
  - Used by the playbooks C(carve.vps.migrate) and C(carve.vps.drain).
options:
  state:
    description: V(open) opens the session, V(closed) ends it and whatever still uses it.
    type: str
    choices: [open, closed]
    required: true
  session:
    description: The move's name, the same at the source.
    type: str
    required: true
  fleet:
    description: The fleet that the containers belong to.
    type: str
    required: true
  key:
    description:
      - The source's public key for this move, as M(carve.vps.departure) returned it. Needed to open, not in check mode.
    type: str
  questions:
    description: What M(carve.vps.departure) returned in check mode. Used in check mode alone.
    type: dict
    default: {}
  address:
    description: The address to listen on; every one of the node's unless given.
    type: str
  port:
    description: The TCP port to listen on; the first free one from 8622 to 8641 unless given.
    type: int
  bridges:
    description: The bridges that the containers need.
    type: list
    elements: str
    default: []
  networks:
    description: The fleet's networks, to make those bridges from.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Nothing is opened or closed. Says what keeps each container from coming here.
  diff_mode:
    support: none
    description: What the node is declared to be does not change.
seealso:
  - module: carve.vps.departure
"""

EXAMPLES = r"""
- name: Let containers in
  carve.vps.arrival:
    state: open
    session: node1-node2
    fleet: acme
    key: "{{ departure.key }}"
"""

RETURN = r"""
port:
  description: The port that the session listens on.
  returned: when it was opened
  type: int
  sample: 8622
host_key:
  description: The session's public host key.
  returned: when it was opened
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2
answers:
  description: What is to be said about each container that was asked about.
  returned: in check mode, when it is to be opened
  type: dict
  contains:
    reasons:
      description: What keeps it from coming here, a sentence each.
      type: list
      elements: str
      sample: ["its address 192.0.2.7 is web-2's"]
    live:
      description: What keeps it from being made anew here from its memory.
      type: list
      elements: str
      sample: ["criu is not installed on this node; run carve.vps.bootstrap"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.moves import ends


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["open", "closed"], "required": True},
            "session": {"type": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "address": {"type": "str"},
            "port": {"type": "int"},
            "bridges": {"type": "list", "elements": "str", "default": []},
            "networks": {"type": "dict", "default": {}},
            "questions": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    result = ends.at_destination(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
