#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Reconcile all containers of a node with what a fleet declares
version_added: 0.1.0
description:
  - Observes the node's containers, templates and bridges, makes a change plan, and carries it out.
  - One call reconciles the whole node; a hundred containers that need nothing cost about what one does.
  - In check mode the same plan is made and reported, and nothing is changed.
author:
  - Carve contributors (@carve-vps)
requirements:
  - LXC 5 or newer, and what the role P(carve.vps.node#role) installs
  - pyroute2 0.7 or newer, when network interfaces are changed
options:
  fleet:
    description: The fleet's name, with which its containers are marked on the node.
    type: str
    required: true
  containers:
    description:
      - The containers that should be on the node, by name, each with the options of M(carve.vps.container).
    type: dict
    default: {}
  templates:
    description: The fleet's templates by name, as in the manifest.
    type: dict
    default: {}
  networks:
    description: The fleet's networks by name, as in the manifest.
    type: dict
    default: {}
  allow:
    description:
      - What may be done beyond changing running containers and creating new ones.
      - Steps that need more are reported as held back.
    type: list
    elements: str
    choices: [restart, rebuild, destroy]
    default: []
  prune:
    description: Whether containers and bridges that this fleet no longer declares are to go, as O(allow) permits.
    type: bool
    default: true
  elsewhere:
    description:
      - Containers that the fleet has on another node than declared, by name.
      - One that is declared here is not created; the value is the node that has it.
      - One that is here is not destroyed; the value is the node on which it is declared. It is reported as a step
        V(move), which is held back, for the playbook C(carve.vps.migrate) moves it.
    type: dict
    default: {}
  hold:
    description:
      - Containers that are neither created nor destroyed, by name, and why.
      - They may be on a node that did not answer, or are on two nodes.
    type: dict
    default: {}
  only:
    description:
      - Names of containers that the run is limited to, with the templates and bridges that they need.
      - No other container is touched. Names of containers that are no longer declared let O(prune) remove these.
    type: list
    elements: str
  gate:
    description:
      - What must hold of the containers before the task succeeds - of those in O(only), or of those that were changed.
      - A container that is rebuilt keeps its old root filesystem until then. If it does not pass, it is rolled back.
    type: dict
    suboptions:
      init:
        description:
          - The states of the container's systemd that will do (C(systemctl is-system-running)).
          - Of any other init it is enough that it runs.
        type: list
        elements: str
        choices: [running, degraded]
        default: [running, degraded]
      command:
        description:
          - A program with its arguments, run inside the container as root with no shell between; it must end with 0.
        type: list
        elements: str
      port:
        description: A TCP port on which the container must accept connections, on any of its own addresses.
        type: int
      timeout:
        description: Seconds that all the containers together have, until all of this is so.
        type: int
        default: 60
  secrets:
    description: Values inside the other options that no output may show.
    type: list
    elements: str
    default: []
  expect:
    description:
      - The RV(fingerprint) of an earlier plan. When the plan is another one now, nothing is done and the task fails.
    type: str
  expect_containers:
    description:
      - The RV(fingerprints) of an earlier plan, of the containers that matter.
      - When the plan for any of them is another one now, nothing is done and the task fails.
    type: dict
    default: {}
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
    description: Shows the options of every object before and after.
  idempotent:
    support: full
    description: A second run has nothing to do.
seealso:
  - module: carve.vps.container
  - module: carve.vps.node_info
"""

EXAMPLES = r"""
- name: Two web servers and a database
  carve.vps.node:
    fleet: acme
    templates:
      debian-13: {build: {suite: trixie}}
    networks:
      public: {mode: routed, subnet: 203.0.113.0/24}
    containers:
      web-1: {template: debian-13, ram: 512M, network: {eth0: {on: public, ip: 203.0.113.10}}}
      web-2: {template: debian-13, ram: 512M, network: {eth0: {on: public, ip: 203.0.113.11}}}
      db: {template: debian-13, ram: 2G, cpus: 2, protect: true}

- name: Allow what is needed to remove a container that is no longer declared
  carve.vps.node:
    fleet: acme
    containers: {}
    allow: [destroy]
"""

RETURN = r"""
steps:
  description: The change plan, in the order in which it is carried out.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: What the step is done to, one of V(container), V(template), V(network) or V(node).
      type: str
      sample: container
    name:
      description: The name of what the step is done to.
      type: str
      sample: web-1
    action:
      description:
        - One of V(create), V(start), V(stop), V(restart), V(rebuild), V(prove), V(destroy), V(move), V(return),
          V(discard), V(change), V(build) or
          V(collect).
      type: str
      sample: change
    facet:
      description: The aspect of the container that is changed.
      type: str
      sample: memory
    reach:
      description: How far the step reaches, one of V(live), V(create), V(restart), V(rebuild), V(move) or V(destroy).
      type: str
      sample: live
    reason:
      description: Why the step is needed.
      type: str
      sample: changed on the node
    changes:
      description: The options that differ, with their values before and after; null is absent or without limit.
      type: list
      elements: dict
      sample: [{"field": "ram", "before": "512M", "after": "1G"}]
    held:
      description: Why the step is not carried out, or null.
      type: str
      sample: "needs allow: restart"
    status:
      description: One of V(planned), V(done), V(failed), V(held), V(not tried) or V(rolled back).
      type: str
      sample: done
fingerprint:
  description: A digest of what the plan does; two plans with the same one do the same.
  returned: always
  type: str
fingerprints:
  description: The same for each container that has something to do, whatever else is to be done on the node.
  returned: always
  type: dict
  sample: {"web-1": "9f86d081884c7d65"}
unmanaged:
  description: Containers on the node without this fleet's mark. They are never touched.
  returned: always
  type: list
  elements: str
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
  description:
    - The fleet's containers on the node after the run, with their state, the template version that they were made from,
      and their addresses by interface.
  returned: always
  type: dict
  sample: {"web-1": {"state": "running", "template": "debian-13@1f2e3d", "ip": {"eth0": ["203.0.113.10"]}}}
leftovers:
  description:
    - In check mode, whether a run or a move that was killed has left files here that nobody needs.
    - The next run without check mode removes them. They are no difference from what is declared.
  returned: always
  type: bool
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
            "fleet": {"type": "str", "required": True},
            "containers": {"type": "dict", "default": {}},
            "templates": {"type": "dict", "default": {}},
            "networks": {"type": "dict", "default": {}},
            "allow": {"type": "list", "elements": "str", "choices": list(ALLOWABLE), "default": []},
            "prune": {"type": "bool", "default": True},
            "elsewhere": {"type": "dict", "default": {}},
            "hold": {"type": "dict", "default": {}},
            "only": {"type": "list", "elements": "str"},
            "gate": argspec.gate_spec(),
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "expect": {"type": "str"},
            "expect_containers": {"type": "dict", "default": {}},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    result = reconcile.run(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
