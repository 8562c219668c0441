# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a saved change plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: saved_plan
short_description: Make the text of a saved change plan
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Makes the content of a plan file from what M(carve.vps.node) returned in check mode.
  - The playbook C(carve.vps.plan) writes it to the file named by C(carve_plan_file).
positional: fleet, allow
options:
  _input:
    description: The results of M(carve.vps.node), by node.
    type: dict
    required: true
  fleet:
    description: Name of the fleet.
    type: str
    required: true
  allow:
    description: What was allowed when the plan was made.
    type: list
    elements: str
    default: []
seealso:
  - plugin: carve.vps.planned_fingerprint
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Save the plan of one node
  ansible.builtin.copy:
    content: "{{ {'node1': result} | carve.vps.saved_plan('acme') }}"
    dest: /srv/plans/acme.plan
    mode: "0600"
"""

RETURN = r"""
_value:
  description:
    - JSON with C(format_version), C(fleet), C(created), C(allow) and C(nodes).
    - Each node has C(fingerprint) and C(steps).
  type: str
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.carve.vps.plugins.plugin_utils import planfile


def saved_plan(results: Mapping[str, Mapping[str, Any]], fleet: str, allow: Collection[str] = ()) -> str:
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return planfile.dump(planfile.document(fleet, results, created, allow))


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"saved_plan": saved_plan}
