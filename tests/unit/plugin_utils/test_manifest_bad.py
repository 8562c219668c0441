# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every bad manifest in ``tests/unit/bad_manifests`` says exactly what its first lines expect, and declares nothing.

A line ``# expect: LINE: OPTION: MESSAGE`` stands for ``fleet.yml:LINE: OPTION: MESSAGE``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.carve.vps.plugins.inventory.fleet import InventoryModule
from ansible_collections.carve.vps.plugins.plugin_utils import manifest

BAD = sorted((Path(__file__).parent.parent / "bad_manifests").glob("*.fleet"))
BY_NAME = pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)


def expected(file: Path) -> list[str]:
    return re.findall(r"^# expect: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_enough() -> None:
    assert len(BAD) >= 45
    assert all(expected(file) for file in BAD)


@BY_NAME
def test_says_what_is_wrong(file: Path) -> None:
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.read(file.read_text(encoding="utf-8"), "fleet.yml")
    assert str(caught.value).split("\n") == [f"fleet.yml:{line}" for line in expected(file)]


@BY_NAME
def test_declares_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fleet.yml"
    path.write_bytes(file.read_bytes())
    inventory = InventoryData()
    groups = set(inventory.groups)
    with pytest.raises(AnsibleParserError) as caught:
        InventoryModule().parse(inventory, DataLoader(), str(path))
    assert [line for line in str(caught.value).split("\n") if line.startswith("fleet.yml:")] == [
        f"fleet.yml:{line}" for line in expected(file)
    ]
    assert not inventory.hosts
    assert set(inventory.groups) == groups


@BY_NAME
def test_says_what_to_write_instead(file: Path) -> None:
    for line in expected(file):
        assert re.search(r"\b(write|did you mean|delete|indent with|rename|declare|promise)\b", line), line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugin: carve.vps.fleet\nfleet: \udcff\n", "2: holds bytes that are not UTF-8; save the file as UTF-8"),
        ("plugin: \x00\n", "1: a character cannot stand here; write the value in quotes"),
        (f"a: 1\nb: {'[' * 100000}", "2: brackets are nested too deeply; write flat maps of options"),
        (f"a: 1\n{'- ' * 100000}x", "2: brackets are nested too deeply; write flat maps of options"),
        (f"a: {'[' * 60}{']' * 60}", "is nested more than 40 levels deep; write a flat map of options"),
    ],
    ids=["bytes", "nul", "brackets", "dashes", "levels"],
)
def test_text_that_no_file_should_hold(text: str, message: str) -> None:
    with pytest.raises(manifest.ManifestError, match=re.escape(message)):
        manifest.read(text, "fleet.yml")
