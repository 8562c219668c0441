# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates: built, unpacked, derived; versions side by side; what a changed definition does, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.definitions import parse
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, Result, box, brief, exists, inside, pid


def _versions(name: str) -> list[str]:
    place = Path(Paths().templates, name)
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


def _collect(fleet: Fleet) -> Result:
    result = reconcile.run(fleet.params(), False, plan_templates.planner(collect=True))
    assert not result.get("failed"), result["msg"]
    return result


def test_versions_stand_side_by_side_and_a_change_replaces_nothing_by_itself(fleet: Fleet) -> None:
    fleet.templates["t-web"] = {"from": "base", "commands": ["echo one >/etc/version"]}
    names = ("t-pin", "t-warn", "t-new")
    for name, policy in zip(names, ("pin", "warn", "rebuild"), strict=True):
        fleet.declare(name, template="t-web", template_policy=policy, ram="96M")
    fleet.apply()
    inside("t-new", "touch", "/root/data")
    identity = {name: (box(name).record.uuid, box(name).record.slot, pid(name)) for name in names}

    fleet.templates["t-web"] = {"from": "base", "commands": ["echo two >/etc/version"]}
    held = fleet.apply()
    assert [(step["name"], step["held"]) for step in held["steps"]] == [("t-new", "needs allow: rebuild")]
    assert [note for note in held["notes"] if note.startswith("t-warn was made from t-web@")]
    assert not [note for note in held["notes"] if "t-pin" in note]

    assert [step["action"] for step in fleet.apply(["rebuild"])["steps"]] == ["build", "rebuild"]
    assert len(_versions("t-web")) == 2
    assert inside("t-new", "cat", "/etc/version") == "two"
    assert inside("t-new", "ls", "/root") == ""
    assert inside("t-new", "cat", "/etc/machine-id") == identity["t-new"][0]
    for name in ("t-pin", "t-warn"):
        assert inside(name, "cat", "/etc/version") == "one"
        assert (box(name).record.uuid, box(name).record.slot, pid(name)) == identity[name]
    assert (box("t-new").record.uuid, box("t-new").record.slot) == identity["t-new"][:2]

    assert [step["name"] for step in _collect(fleet)["steps"] if step["name"] == "t-web"] == []
    fleet.containers = {"t-new": fleet.containers["t-new"]}
    fleet.apply(ALL)
    assert "t-web" in [step["name"] for step in _collect(fleet)["steps"]]
    assert _versions("t-web") == [parse(fleet.templates)[0]["t-web"].digest]
    del fleet.templates["t-web"]
    fleet.destroy()
    _collect(fleet)
    assert _versions("t-web") == []


def test_a_system_built_on_the_node(fleet: Fleet) -> None:
    fleet.templates["t-built"] = {"build": {"suite": "trixie", "packages": ["tini"]}, "commands": ["touch /etc/made"]}
    fleet.declare("t-one", template="t-built", ram="96M")
    assert brief(fleet.apply())[0] == "build t-built"
    assert "tini version" in inside("t-one", "tini", "--version")
    assert inside("t-one", "ls", "/etc/made") == "/etc/made"
    del fleet.templates["t-built"]
    fleet.destroy()
    _collect(fleet)


def test_what_cannot_be_built_says_why_and_leaves_nothing(fleet: Fleet, base_template: dict[str, Any]) -> None:
    broken = {
        "digest": ({**base_template, "sha256": "0" * 64}, "not the declared 0000"),
        "missing": ({"archive": "/nonexistent.tar", "sha256": "0" * 64}, "/nonexistent.tar cannot be read"),
        "unreachable": ({"archive": "http://127.0.0.1:9/x.tar", "sha256": "0" * 64}, "127.0.0.1"),
        "command": ({"from": "base", "commands": ["echo the mirror is broken >&2; exit 3"]}, "the mirror is broken"),
    }
    for name, (definition, words) in broken.items():
        fleet.templates[f"t-{name}"] = definition
        fleet.declare("t-one", template=f"t-{name}")
        result = fleet.run()
        assert result["failed"] and words in result["msg"], result["msg"]
        assert [step["status"] for step in result["steps"]] == ["failed", "not tried", "not tried"]
        assert not exists("t-one") and _versions(f"t-{name}") == []
        assert list(Path(Paths().staging).iterdir()) == []
        del fleet.templates[f"t-{name}"]
    fleet.containers.clear()
