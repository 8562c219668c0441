# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a container one that CRIU can checkpoint: its configuration, and the drop-in in its root filesystem."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import facets
from ansible_collections.carve.vps.plugins.module_utils.facets import checkpoint

from unit.module_utils.facets import boxes


@pytest.mark.parametrize("apparmor", [True, False])
def test_the_lines_come_last_of_their_keys(tmp_path: Path, apparmor: bool) -> None:
    host, box = boxes.host(tmp_path, apparmor=apparmor), boxes.box({"live_migration": True})
    lines = dict(line for name in ("security", "checkpoint") for line in facets.BY_NAME[name].boot_config(host, box))
    assert lines["lxc.seccomp.profile"] == "/usr/lib/carve/current/live.seccomp"
    assert lines["lxc.apparmor.profile"] == ("lxc-carve-live" if apparmor else "unconfined")
    names = [facet.name for facet in facets.ALL]
    assert names.index("checkpoint") > names.index("security")


@pytest.mark.parametrize("fields", [{}, {"live_migration": False}])
def test_without_it_nothing_is_written(tmp_path: Path, fields: dict[str, bool]) -> None:
    host, box = boxes.host(tmp_path, apparmor=True), boxes.box(fields)
    assert facets.BY_NAME["checkpoint"].boot_config(host, box) == []


def test_the_services_do_without_what_cannot_be_saved() -> None:
    lines = checkpoint.SERVICES.splitlines()
    assert lines[1] == "[Service]"
    assert {"ProtectHostname=no", "PrivateNetwork=no", "MemoryPressureWatch=off", "ImportCredential="} <= set(lines)
