# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saved change plans: what was shown, bound to what was found by a fingerprint for each node.

A saved plan holds no orders that a node would follow. The node plans again, and carries the result out only if it is
what the file says was shown. A file that was tampered with can therefore prevent a change, never cause one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

# A reader takes any minor number of its major one: minor versions only add.
FORMAT_VERSION = "1.0"


class PlanFileError(ValueError):
    """A saved plan that cannot be applied; the message says why and what to do."""


def document(
    fleet: str, results: Mapping[str, Mapping[str, Any]], created: str, allow: Collection[str] = ()
) -> dict[str, Any]:
    """The saved form of the plans that nodes returned in check mode."""
    nodes = {
        str(name): {"fingerprint": str(result["fingerprint"]), "steps": list(result.get("steps") or [])}
        for name, result in sorted(results.items())
    }
    return {
        "format_version": FORMAT_VERSION,
        "fleet": str(fleet),
        "created": created,
        "allow": sorted(allow),
        "nodes": nodes,
    }


def dump(saved: Mapping[str, Any]) -> str:
    return json.dumps(saved, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def load(path: str) -> dict[str, Any]:
    """A saved plan, checked so far as its own content allows."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanFileError(f"the saved plan {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise PlanFileError(f"{path} is not a saved plan; make one with: carve plan FLEET --out FILE") from None
    version = str(saved.get("format_version", "")) if isinstance(saved, dict) else ""
    if not re.match(r"^\d+\.\d+$", version) or not isinstance(saved.get("nodes"), dict):
        raise PlanFileError(f"{path} is not a saved plan; make one with: carve plan FLEET --out FILE")
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise PlanFileError(
            f"{path} has format {version}, and this Carve reads {FORMAT_VERSION.partition('.')[0]}.x; plan again"
        )
    return saved


def fingerprint(path: str, node: str, fleet: str, nodes: Collection[str]) -> str:
    """What was planned for a node. Refuses a plan of another fleet, or of nodes that are not this fleet's any more."""
    saved = load(path)
    made = f"{path} (made {saved.get('created', 'at an unknown time')})"
    if saved.get("fleet") != fleet:
        raise PlanFileError(f"{made} is a plan for fleet {saved.get('fleet')!r}, not for {fleet!r}")
    gone = sorted(set(saved["nodes"]) - set(nodes))
    if gone:
        raise PlanFileError(f"{made} is also for {', '.join(gone)}, which the manifest no longer declares; plan again")
    planned = saved["nodes"].get(node)
    if not isinstance(planned, dict) or not isinstance(planned.get("fingerprint"), str):
        raise PlanFileError(f"{made} has no plan for {node}; plan again, or leave this node out with --limit")
    return str(planned["fingerprint"])


def allowed(path: str) -> list[str]:
    """What the operator allowed when the plan was made; the plan is applied under the same leave."""
    return [str(reach) for reach in load(path).get("allow") or []]
