# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a saved change plan holds for a node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: planned_fingerprint
short_description: Read what a saved change plan holds for a node
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Reads the fingerprint that a saved plan holds for a node, which the O(carve.vps.node#module:expect) option takes.
  - Fails when the plan is for another fleet, has nothing for this node, or names nodes that are no longer declared.
positional: node, fleet, nodes
options:
  _input:
    description: Path of the saved plan.
    type: path
    required: true
  node:
    description: Name of the node in the inventory.
    type: str
    required: true
  fleet:
    description: Name of the fleet.
    type: str
    required: true
  nodes:
    description: Names of all nodes of the fleet.
    type: list
    elements: str
    required: true
seealso:
  - plugin: carve.vps.saved_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show what was planned for this node
  ansible.builtin.debug:
    msg: "{{ plan_file | carve.vps.planned_fingerprint(inventory_hostname, 'acme', groups['carve_nodes']) }}"
  vars:
    plan_file: /srv/plans/acme.plan
"""

RETURN = r"""
_value:
  description: The fingerprint, as M(carve.vps.node) returned it.
  type: str
"""

from collections.abc import Callable, Collection
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.carve.vps.plugins.plugin_utils import planfile


def planned_fingerprint(path: str, node: str, fleet: str, nodes: Collection[str]) -> str:
    try:
        return planfile.fingerprint(path, node, fleet, nodes)
    except planfile.PlanFileError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"planned_fingerprint": planned_fingerprint}
