# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What killed runs have left: one thing that cannot be removed keeps nothing else from being removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files, leftovers
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths


def names(place: str) -> list[str]:
    return sorted(path.name for path in Path(place).iterdir())


def test_the_rest_is_cleared_and_each_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(paths=Paths(str(tmp_path / "lib"), str(tmp_path / "run")))
    host.paths.make()
    staging, kept, container = host.paths.staging, host.paths.kept, host.paths.container("c")
    stuck = {f"{staging}/b.new", f"{staging}/a.kept"}
    for place in (f"{staging}/a.new", f"{staging}/b.new", f"{staging}/c.new", f"{kept}/a", f"{kept}/z", container):
        Path(place, "root").mkdir(parents=True)
    for name in ("carve.json", ".carve.json.new", ".config.new"):
        Path(container, name).write_text("{}", encoding="utf-8")
    remove = files.remove_tree

    def fails(path: str) -> None:
        if path in stuck and Path(path).exists():
            raise OSError(f"rm: cannot remove '{path}': Operation not permitted")
        remove(path)

    monkeypatch.setattr(files, "remove_tree", fails)
    monkeypatch.setattr(lxc, "names", lambda _host: ["c"])
    monkeypatch.setattr(lxc, "init_pid", lambda _host, _name: None)
    left = leftovers.clear(host)
    assert (names(staging), names(kept), names(container)) == (["a.kept", "b.new"], [], ["carve.json", "root"])
    words = "what a run that was killed has left is still there: {}: rm: cannot remove '{}': Operation not permitted"
    assert left == [
        words.format(f"{kept}/a", f"{staging}/a.kept"),
        words.format(f"{staging}/a.kept", f"{staging}/a.kept"),
        words.format(f"{staging}/b.new", f"{staging}/b.new"),
    ]

    stuck.clear()
    assert leftovers.clear(host) == [] and names(staging) == []
