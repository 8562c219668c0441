# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was written ahead is used by the dump that follows it, and by no other. CRIU itself is asked in the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import criu, suspend
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.record import Record


@pytest.mark.parametrize("ahead", [True, False])
def test_memory_written_ahead_is_what_the_dump_refers_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    directory = tmp_path / "containers" / "c"
    (directory / suspend.AHEAD).mkdir(parents=True)
    box = Box(Record("f", "c", "d", "overlay", {"id": 101}), str(directory), 1)
    asked: list[tuple[Any, bool]] = []

    def dump(_host: Host, _box: Box, images: str, kind: str, before: str | None = None) -> None:
        asked.append((before, Path(images).with_name(suspend.AHEAD).is_dir()))
        raise lxc.EngineError("far enough")

    monkeypatch.setattr(criu, "dump", dump)
    monkeypatch.setattr(lxc, "init_pid", lambda *_: 1)
    monkeypatch.setattr(suspend, "make_place", lambda place, _box: Path(place).mkdir())
    with pytest.raises(lxc.EngineError, match="far enough"):
        suspend.suspend(host, box, ahead)
    assert asked == [(suspend.AHEAD, True) if ahead else (None, False)]
