# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import planfile
from ansible_collections.carve.vps.plugins.plugin_utils.planfile import PlanFileError

from unit.callback.recorded import busy, result


def saved(tmp_path: Path, **more: Any) -> str:
    document = planfile.document("acme", {"node2": result(), "node1": result(*busy())}, "2026-05-01T12:00:00Z")
    path = tmp_path / "acme.plan"
    path.write_text(planfile.dump({**document, **more}), encoding="utf-8")
    return str(path)


def test_what_is_saved_is_what_was_shown(tmp_path: Path) -> None:
    found = json.loads(Path(saved(tmp_path)).read_text(encoding="utf-8"))
    assert found == {
        "format_version": "1.0",
        "fleet": "acme",
        "created": "2026-05-01T12:00:00Z",
        "allow": [],
        "nodes": {
            "node1": {"fingerprint": "f00d", "steps": busy()},
            "node2": {"fingerprint": "f00d", "steps": []},
        },
    }


def test_a_node_gets_its_fingerprint(tmp_path: Path) -> None:
    assert planfile.fingerprint(saved(tmp_path), "node1", "acme", ["node1", "node2"]) == "f00d"


def test_a_later_minor_format_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, format_version="1.7", something_new=1)
    assert planfile.fingerprint(path, "node1", "acme", ["node1", "node2"]) == "f00d"


@pytest.mark.parametrize(
    ("node", "fleet", "nodes", "message"),
    [
        ("node1", "other", ["node1", "node2"], "is a plan for fleet 'acme', not for 'other'"),
        ("node3", "acme", ["node1", "node2", "node3"], "has no plan for node3; plan again, or leave this node out"),
        ("node1", "acme", ["node1"], "is also for node2, which the manifest no longer declares; plan again"),
    ],
)
def test_refusals(tmp_path: Path, node: str, fleet: str, nodes: list[str], message: str) -> None:
    path = saved(tmp_path)
    with pytest.raises(PlanFileError) as caught:
        planfile.fingerprint(path, node, fleet, nodes)
    assert str(caught.value).startswith(f"{path} (made 2026-05-01T12:00:00Z) ")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '"plan"', "{}", '{"format_version": "x", "nodes": {}}',
                                  '{"format_version": "1.0", "nodes": []}', "\udcff"])  # fmt: skip
def test_what_is_no_saved_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PlanFileError, match="is not a saved plan; make one with: carve plan"):
        planfile.load(str(path))


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match=r"has format 2\.0, and this Carve reads 1\.x; plan again"):
        planfile.load(saved(tmp_path, format_version="2.0"))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="cannot be read: No such file or directory"):
        planfile.load(str(tmp_path / "none"))


def test_a_node_without_a_fingerprint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, nodes={"node1": {"steps": []}})
    with pytest.raises(PlanFileError, match="has no plan for node1"):
        planfile.fingerprint(path, "node1", "acme", ["node1"])
