# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a destination says that has no time, and what the source makes of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import lock
from ansible_collections.carve.vps.plugins.module_utils.checkpoint.suspend import AtWork
from ansible_collections.carve.vps.plugins.module_utils.moves import answer, arrival, remote
from ansible_collections.carve.vps.plugins.module_utils.moves.remote import LineBroken, NotBegun, Remote
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A node that waits for nobody, and that is asked for nothing more than its words."""
    made = Paths(base=str(tmp_path / "lib"), run=str(tmp_path / "run"))
    made.make()
    monkeypatch.setattr(answer, "Paths", lambda: made)
    monkeypatch.setattr(answer, "_PATIENCE", 0.0)
    monkeypatch.setattr(answer, "_is_heard", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    return made


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Remote:
    """A source whose line ends in ``answer`` itself."""

    class Done:
        returncode, stderr = 0, ""

        def __init__(self, command: list[str], **_options: object) -> None:
            assert answer.main(" ".join(command[-3:])) == 0
            self.stdout = capsys.readouterr().out

    monkeypatch.setattr(remote.subprocess, "run", Done)
    return Remote(str(tmp_path), "n2", "192.0.2.2", 8622, "key")


def test_a_run_that_holds_the_node_is_no_refusal_and_has_begun_nothing(paths: Paths, line: Remote) -> None:
    with lock.held(paths, True, {"fleet": "acme", "doing": "a build"}, 0.0), pytest.raises(NotBegun, match="is busy"):
        line.ask("adopt", "web")


def test_a_restore_that_goes_on_there_may_end_well(paths: Paths, line: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def adopt(*_arguments: object) -> None:
        raise AtWork("web is being resumed")

    monkeypatch.setattr(arrival, "VERBS", {"adopt": adopt})
    with pytest.raises(LineBroken, match="is busy: web is being resumed") as raised:
        line.ask("adopt", "web")
    assert not isinstance(raised.value, NotBegun)
    assert Path(paths.base).is_dir()


@pytest.mark.usefixtures("paths")
def test_an_answer_is_an_answer(line: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "VERBS", {"adopt": lambda _host, name, content: {"name": name, **content}})
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"start": True})))
    assert line.ask("adopt", "web") == {"name": "web", "start": True}
