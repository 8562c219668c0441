# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was written ahead is used by the dump that follows it, and by no other. CRIU itself is asked in the lab."""

from __future__ import annotations

import fcntl
import os
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


def test_images_of_which_a_container_is_being_made_anew_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    images = tmp_path / "containers" / "c" / suspend.WHOLE
    images.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(lxc, "init_pid", lambda *_: None)
    # Whoever makes it anew was started by a run that is no more, and holds this.
    lock = os.open(images, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(lxc.EngineError, match="c is being resumed by a run that was killed"):
        suspend.put_right(host, "c")
    assert images.is_dir()
    # They may run by now, and nobody can say so yet.
    (images / "used").touch()
    with pytest.raises(suspend.AtWork, match="c is being resumed by a run that was killed"):
        suspend.put_right(host, "c")
    assert images.is_dir()
    # Done: it runs, its monitor has the lock from whom it is, and is noted so that the hook knows what it was.
    monkeypatch.setattr(lxc, "init_pid", lambda *_: os.getpid())
    suspend.put_right(host, "c")
    assert not images.exists()
    assert Path(host.paths.restored("c")).read_text(encoding="ascii") == str(os.getppid())
    os.close(lock)
