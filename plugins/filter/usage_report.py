# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers use and have used, as a table for people."""

from __future__ import annotations

DOCUMENTATION = r"""
name: usage_report
short_description: Show what containers use and have used
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Makes a table of what M(carve.vps.node_info) returned of the nodes, a line for each container of a fleet.
  - Of one container, all of its beancounters, and its traffic by interface.
positional: fleet, container
options:
  _input:
    description: What M(carve.vps.node_info) returned, by node.
    type: dict
    required: true
  fleet:
    description: The name of the fleet. Containers of others are left out.
    type: str
    required: true
  container:
    description: The container to show in full, instead of the table.
    type: str
seealso:
  - module: carve.vps.node_info
"""

EXAMPLES = r"""
- name: Show what the containers of a node use
  ansible.builtin.debug:
    msg: "{{ {'node1': found} | carve.vps.usage_report('acme') }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.carve.vps.plugins.plugin_utils import usagetext


def usage_report(results: Mapping[str, Mapping[str, Any]], fleet: str, container: str | None = None) -> str:
    nodes = {str(node): result.get("containers") or {} for node, result in results.items()}
    try:
        return usagetext.single(nodes, fleet, container) if container else usagetext.table(nodes, fleet)
    except usagetext.NoSuchContainer as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"usage_report": usage_report}
