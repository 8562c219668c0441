# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who takes a container's memory and CRIU's program agree on when it goes on. CRIU itself is the lab's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import criu, shot, suspend
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host

from unit.module_utils.facets import boxes


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = boxes.host(tmp_path)
    Path(made.paths.run).mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    monkeypatch.setattr(suspend, "make_place", lambda *_: None)
    return boxes.box({}, directory=str(tmp_path))


class Dump:
    """A CRIU that writes nothing: it asks whether the container may go on, and fails where it may not."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host, self.answer, self.asked = host, None, threading.Event()
        monkeypatch.setattr(criu, "dump", self.dump)

    def dump(self, host: Host, box: Box, _images: str, kind: str) -> None:
        assert kind == criu.GOING_ON
        self.asked.set()
        self.answer = shot.may_go_on(host.paths.still(box.name))
        if not self.answer:
            raise lxc.EngineError("CRIU does not checkpoint it")


def test_it_goes_on_when_the_context_ends(host: Host, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = Dump(host, monkeypatch)
    with shot.still(host, box) as images:
        assert dump.asked.is_set() and dump.answer is None
        assert images == f"{box.directory}/memory.shot"
    assert dump.answer is True
    assert not Path(host.paths.still("web")).exists()


def test_what_was_taken_does_not_count_where_its_taker_failed(
    host: Host, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = Dump(host, monkeypatch)
    with pytest.raises(OSError, match="full"), shot.still(host, box):
        raise OSError("full")
    assert dump.answer is False


def test_a_dump_that_fails_before_it_asks_is_told(host: Host, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise lxc.EngineError("no memory")

    monkeypatch.setattr(criu, "dump", fail)
    with pytest.raises(lxc.EngineError, match="no memory"), shot.still(host, box):
        raise AssertionError("it must not come so far")


def test_without_anybody_there_it_may_not_count(host: Host) -> None:
    assert not shot.may_go_on(host.paths.still("web"))


def test_a_snapshots_memory_becomes_that_of_a_suspended_container(tmp_path: Path) -> None:
    images, directory = tmp_path / "images", tmp_path / "db"
    for path in (images, directory):
        path.mkdir()
    (images / "pages-1.img").write_text("x", encoding="ascii")
    shot.link(str(images), str(directory))
    assert suspend.is_suspended(str(directory))
    assert (directory / "memory/pages-1.img").samefile(images / "pages-1.img")
    suspend.discard(str(directory))
    assert (images / "pages-1.img").exists() and not suspend.is_suspended(str(directory))
