# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated is current, and says what the table says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.carve.vps.plugins.doc_fragments import container
from ansible_collections.carve.vps.plugins.module_utils import argspec, model
from ansible_collections.carve.vps.plugins.plugin_utils import docgen

ROOT = Path(__file__).parents[3]


def test_what_is_committed_is_what_the_table_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert docgen.main([str(ROOT), "--check"]) == 0, capsys.readouterr().out


def test_documented_options_are_the_arguments() -> None:
    documented = yaml.safe_load(container.ModuleDocFragment.DOCUMENTATION)["options"]
    assert {
        name: {key: value for key, value in option.items() if key != "description"}
        for name, option in documented.items()
    } == {
        name: {key: value for key, value in option.items() if key != "no_log"}
        for name, option in argspec.container_spec().items()
    }
    assert all(option["description"] for option in documented.values())


def test_the_reference_has_every_option() -> None:
    text = docgen.manifest()
    for table in (model.CONTAINER, model.INTERFACE, model.NETWORK, model.TEMPLATE, model.BUILD):
        for field in table:
            assert f"\n| `{field.name}` | " in text
    assert "(" not in docgen._text("C(x) and O(y)")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    cells = 0
    for line in docgen.manifest().splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        count = line.replace("\\|", "").count("|")
        assert cells in (0, count), line
        cells = count


def test_the_schema_is_json() -> None:
    assert json.loads(docgen.files()["docs/fleet.schema.json"])["type"] == "object"


def test_check_names_what_is_stale_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docgen.main([str(tmp_path), "--check"]) == 1
    assert "docs/manifest.md: is not what the field table makes; run ./dev docs\n" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert docgen.main([str(tmp_path)]) == 0
    assert docgen.main([str(tmp_path), "--check"]) == 0
    (tmp_path / "docs/manifest.md").write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert docgen.main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out == "docs/manifest.md: is not what the field table makes; run ./dev docs\n"


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert docgen.main([]) == 2
    assert capsys.readouterr().err == "usage: docgen ROOT [--check]\n"
