# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of a look: what ``settlement`` makes of the nodes' answers. The module documents it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.carve.vps.plugins.plugin_utils import collector, settlement, whereabouts
from ansible_collections.carve.vps.plugins.plugin_utils.settlement import Look


class ActionModule(ActionBase):
    """``carve.vps.settle``"""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the results of the look from the nodes' variables; remember where everything is."""
        super().run(tmp, task_vars)
        with collector.paused():
            return self._settle(task_vars or {})

    def _settle(self, variables: dict[str, Any]) -> dict[str, Any]:
        _unused, options = self.validate_argument_spec(
            {"register": {"type": "str", "default": "carve_result"}, "looked": {"type": "dict", "default": {}}}
        )
        nodes = sorted(variables["groups"].get("carve_nodes", ()))
        bodies = {node: variables["hostvars"].raw_get(node) for node in nodes}
        results = {node: body.get(options["register"]) for node, body in bodies.items()}
        said = settlement.findings(results, variables["ansible_play_hosts_all"])
        first = bodies[nodes[0]] if nodes else {}
        hint = first.get("carve_hint") or {}
        before = whereabouts.load(Path(hint["file"])) if hint else whereabouts.NOWHERE
        settled = settlement.settle(
            Look(
                shares=settlement.shares(bodies),
                found=said.found,
                silent=said.silent,
                left=said.left,
                held=said.held,
                stopped=said.stopped,
                unplaced=first.get("carve_unplaced") or {},
                before=before,
                made_from=hint.get("digest", ""),
                looked=options["looked"],
            )
        )
        if hint and settled.known != before:
            whereabouts.save(Path(hint["file"]), settled.known)
        public = {"changed": False, **settled.public()}
        if settled.errors:
            return {**public, "failed": True, "msg": "\n".join(settled.errors)}
        return public
