# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout ended that was stopped."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_report
short_description: Say how a rollout ended that was stopped
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Names the containers that were done, those that failed, and those that were not tried.
positional: stopped, results
options:
  _input:
    description: The batches, as P(carve.vps.batches#filter) made them.
    type: list
    elements: dict
    required: true
  stopped:
    description: The number of the batch that failed.
    type: int
    required: true
  results:
    description: What M(carve.vps.node) returned for that batch, by node.
    type: dict
    required: true
seealso:
  - plugin: carve.vps.batches
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say how it ended
  ansible.builtin.debug:
    msg: "{{ batches | carve.vps.rollout_report(2, {'node1': result}) }}"
"""

RETURN = r"""
_value:
  description: A few lines of text.
  type: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.carve.vps.plugins.plugin_utils import batches


def rollout_report(rounds: Sequence[Mapping[str, Any]], stopped: int, results: Mapping[str, Mapping[str, Any]]) -> str:
    return batches.report(rounds, int(stopped), results)


class FilterModule:
    """Ansible's door to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_report": rollout_report}
