# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is started with the node."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import boot, power
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.facets import network
from ansible_collections.carve.vps.plugins.module_utils.files import as_json
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.moves import setaside
from ansible_collections.carve.vps.plugins.module_utils.moves.note import Note
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.plugins.module_utils.record import FILE, Record

STATES = ("running", "stopped", "suspended", "keep")


def test_what_was_suspended_is_resumed_only_where_it_is_declared_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    boxes = []
    for state in STATES:
        for asleep in (False, True):
            directory = tmp_path / "containers" / f"{state}-{asleep}"
            (directory / "memory" if asleep else directory).mkdir(parents=True)
            fields = {"id": 101, "state": state, "autostart": True}
            boxes.append(Box(Record("f", directory.name, "d", "overlay", fields), str(directory)))
    monkeypatch.setattr(lxc, "containers", lambda *_: boxes)
    monkeypatch.setattr(network, "restore", lambda _boxes: None)
    started: list[str] = []
    monkeypatch.setattr(power, "start_in_order", lambda _host, found: started.extend(box.name for box in found) or {})
    assert boot.start(host) == {}
    assert started == ["running-False", "running-True", "keep-False"]


def test_what_a_broken_move_never_handed_over_is_this_nodes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that another node was asked to start stays aside: that node may have it running."""
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    host.paths.make()
    for name, asked in (("whole", False), ("handed", True), ("taken", False)):
        directory = tmp_path / "departing" / name
        directory.mkdir()
        Note(running=True, to="n2", asked=asked).write(str(directory))
        record = Record("f", name, "d", "overlay", {"id": 101, "state": "running", "autostart": True})
        (directory / FILE).write_text(as_json(asdict(record)), encoding="utf-8")
    # Somebody has made another of the same name meanwhile.
    (tmp_path / "containers/taken/upper").mkdir(parents=True)
    monkeypatch.setattr(network, "restore", lambda _boxes: None)
    started: list[str] = []
    monkeypatch.setattr(power, "start_in_order", lambda _host, found: started.extend(box.name for box in found) or {})
    assert sorted(boot.start(host)) == ["taken"]
    assert started == ["whole"]
    assert sorted(one.name for one in (tmp_path / "departing").iterdir()) == ["handed", "taken"]
    assert setaside.was_running(host, "taken")
    assert not (tmp_path / "containers/whole/departing.json").exists()
