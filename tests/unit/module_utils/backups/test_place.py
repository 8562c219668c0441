# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where backups are kept: how places are written, and how a directory keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.backups import place
from ansible_collections.carve.vps.plugins.module_utils.backups.description import BackupError


@pytest.mark.parametrize("text", [
    "", "srv", "/", "/srv/../etc", "/srv/a b", "/srv/$(id)", "/srv/;id", "/srv/'", "/srv\n", "ssh://host", "ssh://host/",
    "ssh:host:/srv", "ssh://-oProxyCommand=x/srv/b", "ssh://u@h:x/srv/b", "ssh://u@h/srv/../b", "ssh://u@h/srv/`id`",
    "http://host/srv/b", "ssh://h;id/srv/b", "ssh://-h/srv/b", "ssh://-l@h/srv/b",
])  # fmt: skip
def test_what_is_no_place_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no place for backups; write a directory such as /srv/backups"):
        place.parse(text)


@pytest.mark.parametrize("text", [
    "/srv/backups", "/mnt/nas/carve_1", "ssh://backup.example.net/srv/b", "ssh://carve@192.0.2.9:2222/srv/b",
    "ssh://carve@[2001:db8::9]/srv/b",
])  # fmt: skip
def test_places(text: str) -> None:
    assert isinstance(place.parse(text), place.Remote if text.startswith("ssh") else place.Directory)


def test_a_path_that_would_mean_something_to_a_shell_goes_nowhere() -> None:
    remote = place.parse("ssh://carve@192.0.2.9/srv/b")
    with pytest.raises(BackupError, match="is no path that backups are kept under"):
        remote.read("acme/db/$(reboot)")


def test_a_directory(tmp_path: Path) -> None:
    found = place.parse(str(tmp_path / "place"))
    with pytest.raises(BackupError, match=f"there is no directory {tmp_path}/place; make it, or mount what it lies on"):
        found.check()
    (tmp_path / "place").mkdir()
    found.check()
    assert found.names("acme") == []
    found.make("acme/.b1.part")
    assert found.store("acme/.b1.part/data", lambda sink: [sink(b"one"), sink(b"two")] and 7) == 7
    found.rename("acme/.b1.part", "acme/b1")
    assert (found.names("acme"), found.read("acme/b1/data")) == (["b1"], b"onetwo")
    assert (tmp_path / "place/acme/b1/data").stat().st_mode & 0o777 == 0o600
    found.remove("acme/b1")
    found.remove("acme/b1")
    assert found.names("acme") == []
