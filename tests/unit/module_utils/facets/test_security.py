# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What confines a container, with AppArmor on the node and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets.security import Security

from unit.module_utils.facets import boxes


@pytest.mark.parametrize(("apparmor", "profile"), [(True, "generated"), (False, "unconfined")])
def test_confinement(tmp_path: Path, apparmor: bool, profile: str) -> None:
    lines = dict(Security().boot_config(boxes.host(tmp_path, apparmor=apparmor), boxes.box({})))
    assert lines["lxc.apparmor.profile"] == profile
    assert ("lxc.apparmor.allow_nesting" in lines) == apparmor
    assert lines.get("lxc.apparmor.raw") == ("deny network vsock," if apparmor else None)
    assert lines["lxc.tty.max"] == "0"
    assert lines["lxc.console.path"] == "none"
