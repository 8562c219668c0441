# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a schedule's snapshot has when CRIU fails. CRIU itself is the lab's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import suspend
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.record import Record
from ansible_collections.carve.vps.plugins.module_utils.snapshots import scheduled, take

from unit.module_utils.facets import boxes

NOW = datetime(2026, 11, 22, 0, 0, 3, tzinfo=UTC)
NAME = "daily-20261122t000003z"


@pytest.fixture(params=[lxc.EngineError("a socket"), OSError("no space")], ids=["CRIU", "disk"])
def taken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was asked for of a container that runs and is fit, when its memory cannot be had: snapshots, and whether
    with memory."""
    asked: list[tuple[str, bool]] = []

    def fails(_host: Any, _name: str, snapshot: str, _of: str, _patience: float, memory: bool = False) -> None:
        asked.append((snapshot, memory))
        if memory:
            raise request.param

    monkeypatch.setattr(take, "take", fails)
    monkeypatch.setattr(take, "memory_unfit", lambda *_: [])
    monkeypatch.setattr(lxc, "init_pid", lambda *_: 7)
    return asked


def _keep(tmp_path: Path, memory: bool) -> list[str]:
    host = boxes.host(tmp_path)
    directory = host.paths.container("web")
    Path(directory).mkdir(parents=True, exist_ok=True)
    schedules = {"daily": {"every": "1d", "keep": 7, "memory": memory}}
    batch = files.Batch()
    Record("acme", "web", "d", "overlay", {"id": 1, "template": "t", "snapshots": schedules}).save(directory, batch)
    batch.commit()
    return [f"{name}: {failure}" for name, failure in scheduled.keep(host, NOW)]


def test_files_are_kept_where_memory_cannot_be(tmp_path: Path, taken: list[tuple[str, bool]]) -> None:
    (said,) = _keep(tmp_path, memory=True)
    assert said.startswith(f"web: {NAME} has the files alone, for the memory cannot be kept: ")
    assert said.endswith(("a socket", "no space"))
    assert taken == [(NAME, True), (NAME, False)]


def test_one_that_a_killed_run_has_left_to_criu_is_asked_again(
    tmp_path: Path, taken: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_work(*_arguments: Any, **_options: Any) -> None:
        raise suspend.AtWork("web is being checkpointed")

    monkeypatch.setattr(take, "take", at_work)
    assert _keep(tmp_path, memory=True) == ["web: web is being checkpointed"] and taken == []


def test_what_is_down_has_no_memory_to_keep(
    tmp_path: Path, taken: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lxc, "init_pid", lambda *_: None)
    assert _keep(tmp_path, memory=True) == [] and taken == [(NAME, False)]


def test_memory_is_kept_only_where_that_is_declared(tmp_path: Path, taken: list[tuple[str, bool]]) -> None:
    assert _keep(tmp_path, memory=False) == [] and taken == [(NAME, False)]
