# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's files are counted for it while it runs, whatever it does meanwhile. The kernel's part is in the lab."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import store
from ansible_collections.carve.vps.plugins.module_utils.kernel import quota


def test_what_comes_to_the_top_while_files_are_counted_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upper, counted = tmp_path / "upper", dict[int, int]()
    (upper / "etc/deep").mkdir(parents=True)
    (upper / "etc/deep/file").touch()
    (upper / "hidden").mkdir()
    (upper / "hidden/file").touch()

    def set_project(fd: int, project: int, inherit: bool) -> None:
        counted[os.fstat(fd).st_ino] = project
        # As its root may, in the middle of this: out of a directory that nobody has looked into yet, to the top.
        if not (upper / "new").exists() and (upper / "etc/deep").exists():
            (upper / "etc/deep").rename(upper / "new")
            (upper / "new/below").mkdir()
            (upper / "new/below/file").touch()

    monkeypatch.setattr(quota, "set_project", set_project)
    monkeypatch.setattr(quota, "project_of", lambda fd: counted.get(os.fstat(fd).st_ino, 0))
    store.count(str(tmp_path), 7)
    everything = [upper, *upper.rglob("*")]
    assert (upper / "new/below/file") in everything
    assert [path for path in everything if path.stat().st_ino not in counted] == []
