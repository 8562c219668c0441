# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a container: kept whole, and nobody's when it cannot be read."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files, record
from ansible_collections.carve.vps.plugins.module_utils.record import Record

FIELDS = {"id": 20, "state": "running", "ram": 1 << 29, "network.eth0.ip": ["10.0.0.1/24"], "hosts": {"a": "::1"}}
MADE = Record("acme", "web", "d1gest", "overlay", FIELDS)


def saved(directory: Path, made: Record = MADE) -> Record | None:
    batch = files.Batch()
    made.save(str(directory), batch)
    batch.commit()
    return record.load(str(directory))


def test_a_record_comes_back(tmp_path: Path) -> None:
    assert saved(tmp_path) == MADE
    assert stat.S_IMODE((tmp_path / record.FILE).stat().st_mode) == 0o600


def test_every_container_has_an_id_of_its_own() -> None:
    other = Record("acme", "web", "d1gest", "overlay", FIELDS)
    assert other.uuid != MADE.uuid
    # machine-id(5): 32 hexadecimal digits.
    assert len(MADE.uuid) == 32
    assert int(MADE.uuid, 16)


def test_its_ids_follow_from_its_slot() -> None:
    assert (MADE.slot, MADE.base_id) == (20, 20 * 65536)


def test_options_come_and_go() -> None:
    after = MADE.with_fields({"ram": None, "swap": 0, "cpus": None, "state": "stopped"})
    assert after.fields == {
        "id": 20, "state": "stopped", "swap": 0, "network.eth0.ip": ["10.0.0.1/24"], "hosts": {"a": "::1"},
    }  # fmt: skip
    assert after.uuid == MADE.uuid
    assert MADE.fields["ram"] == 1 << 29


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": "1"},
        {"fields": {}},
        {"fields": {"id": 0}},
        {"fields": {"id": None}},
        {"fields": {"id": "x"}},
        {"fields": None},
        {"fields": []},
        {"later": "option"},
    ],
)
def test_what_another_version_wrote_is_not_guessed_at(tmp_path: Path, change: dict[str, Any]) -> None:
    files.write_json(f"{tmp_path}/{record.FILE}", {**asdict(MADE), **change})
    assert record.load(str(tmp_path)) is None


CUT = json.dumps(asdict(MADE)).encode()[:-9]


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff\x00", b'"text"', CUT])
def test_what_cannot_be_read_is_nobodys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / record.FILE).write_bytes(content)
    assert record.load(str(tmp_path)) is None


def test_no_record() -> None:
    assert record.load("/nowhere") is None
    assert record.load("/etc/passwd") is None
