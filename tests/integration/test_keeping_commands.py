# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots and backups as people type them: the verbs, their playbooks and the modules below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.desk import Desk
from ansible_collections.carve.vps.tests.integration.snapshot_support import kept
from ansible_collections.carve.vps.tests.integration.support import exists, force_remove, inside, start_time


@pytest.fixture
def desk(tmp_path: Path, base_template: dict[str, Any]) -> Iterator[Desk]:
    force_remove("c-")
    made = Desk(tmp_path, base_template)
    made.manifest["containers"] = {"c-1": {"ram": "96M"}, "c-2": {"state": "stopped"}}
    done(made, "apply", "--yes")
    yield made
    made.manifest["containers"] = {}
    done(made, "apply", "--yes", "--allow", "destroy")


def done(desk: Desk, *words: str) -> str:
    code, output = desk.carve(*words)
    assert code == 0, output
    return output


def refused(desk: Desk, *words: str) -> str:
    code, output = desk.carve(*words)
    assert code == 1, output
    return output


def test_as_it_is_typed(desk: Desk) -> None:
    inside("c-1", "sh", "-c", "echo then >/root/state")
    output = refused(desk, "snapshot", "--container", "c-1,c-9", "--name", "s")
    assert "no node that was asked has c-9; nothing was done" in output and kept("c-1") == set()
    done(desk, "snapshot", "--container", "all", "--name", "s", "--check")
    assert kept("c-1") == kept("c-2") == set()
    done(desk, "snapshot", "--container", "all", "--name", "s")
    assert kept("c-1") == kept("c-2") == {"s"}

    inside("c-1", "sh", "-c", "echo now >/root/state")
    born = start_time("c-1")
    output = refused(desk, "rollback", "--container", "c-1", "--name", "s")
    assert "c-1 runs, and is restarted to be rolled back; allow: restart" in output and start_time("c-1") == born
    done(desk, "rollback", "--container", "c-1", "--name", "s", "--allow", "restart")
    assert inside("c-1", "cat", "/root/state") == "then"
    assert "snapshots: 1, " in done(desk, "usage", "--container", "c-1")
    done(desk, "snapshot", "--container", "all", "--name", "s", "--delete")
    assert kept("c-1") == kept("c-2") == set()

    place = desk.place / "backups"
    where = ("--place", str(place))
    assert f"there is no directory {place}; make it" in refused(desk, "backup", "--container", "all", *where)
    place.mkdir()
    output = done(desk, "backup", "--container", "all", "--name", "b", *where)
    assert "carve-test-desk/c-1/b: " in output and "carve-test-desk/c-2/b: " in output
    restore = ("restore", "--container", "c-1", "--to", "desk", *where)
    assert "there is a container c-1 on desk already" in refused(desk, *restore, "--name", "b")
    assert "there is no node elsewhere" in refused(desk, *restore[:3], "--to", "elsewhere", *where)
    done(desk, *restore, "--name", "b", "--as", "c-3")
    assert exists("c-3")
    desk.manifest["containers"]["c-3"] = {"ram": "96M"}
    done(desk, "apply", "--yes")
    assert inside("c-3", "cat", "/root/state", "/etc/hostname").split() == ["then", "c-3"]
    assert start_time("c-1") and "The fleet is as declared." in done(desk, "drift")
