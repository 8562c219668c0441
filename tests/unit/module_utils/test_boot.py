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


def _record(directory: Path, state: str, address: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    fields = {"id": 101, "state": state, "autostart": True, "network.eth0.ip": [address]}
    record = Record("f", directory.name, "d", "overlay", fields)
    (directory / FILE).write_text(as_json(asdict(record)), encoding="utf-8")


def test_what_a_broken_move_never_handed_over_is_this_nodes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that another node was asked to start stays aside: that node may have it running."""
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    host.paths.make()
    aside = [
        ("whole", "running", False),
        ("kept", "keep", False),
        ("handed", "running", True),
        ("taken", "keep", False),
        ("reused", "running", False),
    ]
    for number, (name, state, asked) in enumerate(aside):
        directory = tmp_path / "departing" / name
        (directory / "memory").mkdir(parents=True)
        Note(running=True, to="n2", asked=asked).write(str(directory))
        _record(directory, state, f"192.0.2.{number}/24")
    # Somebody has made another of the same name meanwhile, and one that has the address of another.
    (tmp_path / "containers/taken/upper").mkdir(parents=True)
    _record(tmp_path / "containers/heir", "stopped", "192.0.2.4/32")
    monkeypatch.setattr(network, "restore", lambda _boxes: None)
    started: list[str] = []
    monkeypatch.setattr(power, "start_in_order", lambda _host, found: started.extend(box.name for box in found) or {})
    failures = boot.start(host)
    assert sorted(failures) == ["reused", "taken"]
    assert str(failures["reused"]) == "it is set aside by a move, and stays so: heir has its address"
    # One whose state nobody has declared ran, and was put to disk by the move alone.
    assert sorted(started) == ["kept", "whole"]
    assert sorted(one.name for one in (tmp_path / "departing").iterdir()) == ["handed", "reused", "taken"]
    assert setaside.was_running(host, "taken")
    assert not (tmp_path / "containers/whole/departing.json").exists()


def test_a_note_that_cannot_be_read_keeps_nothing_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(paths=Paths(base=str(tmp_path), run=str(tmp_path / "run")))
    host.paths.make()
    (tmp_path / "departing/odd").mkdir()
    (tmp_path / "departing/odd/departing.json").write_text('{"of": "another version"}', encoding="utf-8")
    _record(tmp_path / "containers/web", "running", "192.0.2.1/24")
    monkeypatch.setattr(network, "restore", lambda _boxes: None)
    started: list[str] = []
    monkeypatch.setattr(power, "start_in_order", lambda _host, found: started.extend(box.name for box in found) or {})
    assert list(boot.start(host)) == [host.paths.departing]
    assert started == ["web"]
