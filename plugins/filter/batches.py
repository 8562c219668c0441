# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The batches of a rollout."""

from __future__ import annotations

DOCUMENTATION = r"""
name: batches
short_description: Make the batches of a rollout
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Deals the containers that have something to do out to batches, as a rollout policy says.
  - The playbook C(carve.vps.apply) goes through them one after another.
positional: policy, variables
options:
  _input:
    description: The results of M(carve.vps.node) in check mode, by node.
    type: dict
    required: true
  policy:
    description: The policy, as the manifest has it in C(policy.rollout).
    type: dict
    required: true
  variables:
    description: The variables of all hosts, C(hostvars), for the labels that the policy's C(order) names.
    type: dict
    default: {}
seealso:
  - plugin: carve.vps.rollout_report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the batches of one node
  ansible.builtin.debug:
    msg: "{{ {'node1': result} | carve.vps.batches({'canary': 1, 'batch': '25%'}) }}"
"""

RETURN = r"""
_value:
  description:
    - A list of batches, each with C(number), C(canary), C(text) and C(nodes).
    - C(nodes) has a map for each node, of containers and the fingerprints of what is planned for them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.carve.vps.plugins.plugin_utils import batches as rollout


def batches(
    results: Mapping[str, Mapping[str, Any]], policy: Any, variables: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    def labels(name: str) -> Mapping[str, Any]:
        found = variables[name].get("carve_labels") if variables and name in variables else None
        return found or {}

    try:
        return rollout.document(rollout.make(results, rollout.policy(policy), labels), results)
    except rollout.PolicyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"batches": batches}
