# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was allowed when a saved change plan was made."""

from __future__ import annotations

DOCUMENTATION = r"""
name: planned_allow
short_description: Read what was allowed when a saved change plan was made
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Reads the list that the plan was made with, for the O(carve.vps.node#module:allow) option.
options:
  _input:
    description: Path of the saved plan.
    type: path
    required: true
seealso:
  - plugin: carve.vps.planned_fingerprint
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show what was allowed
  ansible.builtin.debug:
    msg: "{{ '/srv/plans/acme.plan' | carve.vps.planned_allow }}"
"""

RETURN = r"""
_value:
  description: Any of V(restart), V(rebuild) and V(destroy).
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.carve.vps.plugins.plugin_utils import planfile


def planned_allow(path: str) -> list[str]:
    try:
        return planfile.allowed(path)
    except planfile.PlanFileError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"planned_allow": planned_allow}
