#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container
short_description: Reconcile one container with what is declared of it
version_added: 0.1.0
description:
  - Makes, changes, starts, stops or destroys one container, by the code and the options of M(carve.vps.node).
  - The node's other containers are left alone. For more than one, M(carve.vps.node) does them all in one call.
author:
  - Carve contributors (@carve-vps)
extends_documentation_fragment:
  - carve.vps.container
options:
  name:
    description: The container's name, a DNS label.
    type: str
    required: true
  fleet:
    description: The fleet's name, with which the container is marked on the node.
    type: str
    required: true
  templates:
    description: The fleet's templates by name, as in the manifest; at least the one that the container is made from.
    type: dict
    default: {}
  networks:
    description: The fleet's networks by name, as in the manifest; at least those that the container is on.
    type: dict
    default: {}
  allow:
    description: What may be done beyond changing a running container and creating a new one.
    type: list
    elements: str
    choices: [restart, rebuild, destroy]
    default: []
  secrets:
    description: Values inside the other options that no output may show.
    type: list
    elements: str
    default: []
  lock_timeout:
    description: Seconds to wait for another run on the node to end.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: What check mode reports is what is then carried out.
  diff_mode:
    support: full
    description: Shows the container's options before and after.
  idempotent:
    support: full
    description: A second run has nothing to do.
seealso:
  - module: carve.vps.node
"""

EXAMPLES = r"""
- name: A web server
  carve.vps.container:
    fleet: acme
    name: web-1
    template: debian-13
    ram: 512M
    cpus: 1
    network: {eth0: {on: public, ip: 203.0.113.10}}
    templates: {debian-13: {build: {suite: trixie}}}
    networks: {public: {mode: routed, subnet: 203.0.113.0/24}}

- name: No longer
  carve.vps.container:
    fleet: acme
    name: web-1
    state: absent
    allow: [destroy]
"""

RETURN = r"""
steps:
  description: The change plan, as M(carve.vps.node) returns it.
  returned: always
  type: list
  elements: dict
fingerprint:
  description: A digest of what the plan does.
  returned: always
  type: str
notes:
  description: What an operator should know though it needs no step.
  returned: always
  type: list
  elements: str
errors:
  description: What went wrong, one sentence each.
  returned: always
  type: list
  elements: str
containers:
  description: The fleet's containers on the node after the run, with their state.
  returned: always
  type: dict
  sample: {"web-1": {"state": "running"}}
timings:
  description: Seconds that each part of the run took.
  returned: always
  type: dict
  sample: {"observe": 0.021, "plan": 0.001}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import argspec, reconcile
from ..module_utils.model import ALLOWABLE


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **argspec.container_spec(),
            "name": {"type": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "templates": {"type": "dict", "default": {}},
            "networks": {"type": "dict", "default": {}},
            "allow": {"type": "list", "elements": "str", "choices": list(ALLOWABLE), "default": []},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    result = reconcile.run(argspec.one_container(module.params), module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
