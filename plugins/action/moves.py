# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of moves: what ``moving`` makes of a wish and of what is where. The module documents it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.carve.vps.plugins.plugin_utils import manifest, moving

_OPTIONS: dict[str, dict[str, Any]] = {
    "register": {"type": "str", "default": "carve_found"},
    "containers": {"type": "list", "elements": "str", "default": []},
    "to": {"type": "str"},
    "drain": {"type": "str"},
    "at_once": {"type": "int", "default": 4},
}


class ActionModule(ActionBase):
    """``carve.vps.moves``"""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read where containers are from the nodes' variables, and what is declared from the manifest."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _unused, options = self.validate_argument_spec(_OPTIONS)
        bodies = {node: variables["hostvars"].raw_get(node) for node in sorted(variables["groups"]["carve_nodes"])}
        path = next(iter(bodies.values()))["carve_hint"]["manifest"]
        declared = manifest.read(self._loader.get_text_file_contents(path), Path(path).name)
        at: dict[str, list[str]] = {}
        aside: dict[str, str] = {}
        looks = {node: body.get(options["register"]) or {} for node, body in bodies.items()}
        for node, found in looks.items():
            for name, own in (found.get("containers") or {}).items():
                if own.get("fleet") == declared.name:
                    at.setdefault(str(name), []).append(node)
            aside |= {str(n): node for n, fleet in (found.get("set_aside") or {}).items() if fleet == declared.name}
        fleet = moving.Fleet(
            declared.name,
            declared.machines,
            declared.asked,
            {name: nodes[0] for name, nodes in at.items()},
            aside,
            silent=[node for node, found in looks.items() if "containers" not in found],
            doubles={name: nodes for name, nodes in at.items() if len(nodes) > 1},
        )
        names = [part.strip() for text in options["containers"] for part in text.split(",") if part.strip()]
        made = moving.plan(fleet, moving.Ask(names, options["to"], options["drain"]))
        result = {
            "changed": False,
            "groups": made.groups(declared.name, options["at_once"]),
            "stays": dict(made.stays),
            "stuck": dict(made.stuck),
            "involved": sorted({node for _name, *pair in made.moves for node in pair}),
        }
        if made.errors:
            return {**result, "failed": True, "msg": "\n".join(made.errors)}
        return result
