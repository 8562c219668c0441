# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON Schema, and the memory of what it found good."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import kinds, model
from ansible_collections.carve.vps.plugins.plugin_utils import known_good, schema, structure
from jsonschema import Draft202012Validator

RULES = schema.manifest_schema()
GOOD = {"plugin": "carve.vps.fleet", "version": 1, "fleet": "acme", "nodes": {"node1": None}}


def nodes_of(rules: Any) -> Iterator[dict[str, Any]]:
    if isinstance(rules, dict):
        yield rules
        for item in rules.values():
            yield from nodes_of(item)
    elif isinstance(rules, list):
        for item in rules:
            yield from nodes_of(item)


def options_of(section: str) -> dict[str, Any]:
    body: dict[str, Any] = RULES["properties"][section]
    found: dict[str, Any] = body["patternProperties"][schema.LABEL]["properties"]
    return found


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(RULES)
    assert json.loads(schema.render()) == RULES
    assert schema.render().endswith("}\n")


def test_every_row_of_the_field_table_is_there() -> None:
    placement = {"flavor", "node", "placement", "count", "labels"}
    assert {row.name for row in model.CONTAINER} | placement == set(options_of("containers"))
    assert {row.name for row in model.CONTAINER if row.resource} == set(options_of("flavors"))
    assert {row.name for row in model.NETWORK} | {"pool"} == set(options_of("networks"))
    assert {row.name for row in model.TEMPLATE} == set(options_of("templates"))


def test_every_option_is_described_in_plain_words() -> None:
    for section in ("containers", "flavors", "networks", "templates"):
        for name, option in options_of(section).items():
            assert option["description"], name
    descriptions = [node["description"] for node in nodes_of(RULES) if isinstance(node.get("description"), str)]
    assert not [text for text in descriptions if re.search(r"\b[A-Z]\(", text)]


def test_examples_and_defaults_fit_their_own_option() -> None:
    for node in nodes_of(RULES):
        for example in [*node.get("examples", ()), *([node["default"]] if "default" in node else ())]:
            errors = list(Draft202012Validator({**node, "$defs": RULES["$defs"]}).iter_errors(example))
            assert not errors, (node, example)


@pytest.mark.parametrize("row", model.CONTAINER, ids=lambda row: row.name)
def test_every_option_may_be_an_expression_or_empty(row: kinds.Field) -> None:
    written = {**GOOD, "containers": {"a": {row.name: "{{ value }}"}, "b": {row.name: None}}}
    found = structure.check(written, "", None)
    # The one that is needed before there are variables.
    assert [problem.path for problem in found] == ([("containers", "a", "id")] if row.name == "id" else [])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def refuse(*_: Any) -> Iterator[Any]:
    raise AssertionError("validated again")


def test_a_good_text_is_validated_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert structure.check(GOOD, "text", "/fleet.yml") == []
    monkeypatch.setattr(structure, "_validate", refuse)
    assert structure.check(GOOD, "text", "/fleet.yml") == []
    for text, file in (("text2", "/fleet.yml"), ("text", "/other.yml"), ("text", None)):
        with pytest.raises(AssertionError):
            structure.check(GOOD, text, file)
    monkeypatch.setattr(schema, "manifest_schema", lambda: {"type": "object"})
    with pytest.raises(AssertionError):
        structure.check(GOOD, "text", "/fleet.yml")
    assert [path.stat().st_mode & 0o077 for path in (cache / "carve").rglob("*")] == [0, 0]


def test_a_bad_text_is_never_remembered(cache: Path) -> None:
    for _unused in range(2):
        assert structure.check({**GOOD, "version": 2}, "text", "/fleet.yml")
    assert not list(cache.iterdir())


def test_one_small_file_for_each_manifest(cache: Path) -> None:
    for text in range(20):
        structure.check(GOOD, str(text), "/fleet.yml")
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("place", ["/proc/nowhere", "relative", "/dev/null"])
def test_without_a_place_to_remember_all_is_well(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    known_good.add("/fleet.yml", "digest")
    assert not known_good.has("/fleet.yml", "digest")
    assert not list(tmp_path.iterdir())


def test_a_known_good_manifest_does_not_load_jsonschema(cache: Path) -> None:
    program = """if True:
        import sys
        from ansible_collections.carve.vps.plugins.plugin_utils import manifest
        text = "plugin: carve.vps.fleet\\nversion: 1\\nfleet: acme\\nnodes: {node1: }\\n"
        manifest.read(text, "fleet.yml", "/fleet.yml")
        print("jsonschema" in sys.modules)
    """
    command = [sys.executable, "-c", program]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _unused in range(2)]
    assert [run.stdout for run in runs] == ["True\n", "False\n"]


def test_a_missing_jsonschema_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(structure.Unavailable, match="pip install jsonschema"):
        structure.check(GOOD, "text", None)
