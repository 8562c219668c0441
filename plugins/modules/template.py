#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: template
short_description: Build templates on a node, and collect versions that nothing is made from
version_added: 0.1.0
description:
  - Makes the current version of every given template, where the node does not have it yet.
  - M(carve.vps.node) builds what its containers need by itself; this module builds ahead of time, and cleans up.
author:
  - Carve contributors (@carve-vps)
options:
  fleet:
    description: The fleet's name, told to others that wait for the node.
    type: str
    required: true
  templates:
    description:
      - The templates by name, as in the manifest, each with one of C(build), C(archive) (with C(sha256)) or C(from),
        and optionally C(packages) and C(commands).
      - A template that another one starts from must be given too.
    type: dict
    required: true
  collect:
    description: Whether versions are removed that no container is made from and that are not given here.
    type: bool
    default: false
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
    description: Shows the versions before and after.
  idempotent:
    support: full
    description: A second run has nothing to do.
seealso:
  - module: carve.vps.node
"""

EXAMPLES = r"""
- name: Build a system and one with a web server on top of it
  carve.vps.template:
    fleet: acme
    templates:
      debian-13: {build: {suite: trixie, packages: [openssh-server]}}
      web: {from: debian-13, packages: [nginx-light]}

- name: Keep only what is declared or in use
  carve.vps.template:
    fleet: acme
    templates:
      debian-13: {build: {suite: trixie, packages: [openssh-server]}}
    collect: true
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
errors:
  description: What went wrong, one sentence each.
  returned: always
  type: list
  elements: str
timings:
  description: Seconds that each part of the run took.
  returned: always
  type: dict
  sample: {"observe": 0.021, "plan": 0.001}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import plan_templates, reconcile


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "fleet": {"type": "str", "required": True},
            "templates": {"type": "dict", "required": True},
            "collect": {"type": "bool", "default": False},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    result = reconcile.run(module.params, module.check_mode, plan_templates.planner(module.params["collect"]))
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
