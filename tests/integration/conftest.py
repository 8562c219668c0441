# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests: real LXC containers on this node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    force_remove,
    hold_this_machine,
    rootfs_archive,
    sha256,
)


@pytest.fixture(scope="session", autouse=True)
def _alone_on_this_machine() -> None:
    hold_this_machine()


@pytest.fixture(scope="session")
def base_template() -> dict[str, Any]:
    """The template that the tests' containers are made from, built on a node that has this version's programs."""
    archive = rootfs_archive()
    template = {"archive": str(archive), "sha256": sha256(archive)}
    fleet = Fleet("carve-test", {"base": template})
    for result in (fleet.run(), reconcile.run(fleet.params(), False, plan_templates.planner(collect=False))):
        assert not result.get("failed"), result["msg"]
    return template


@pytest.fixture
def fleet(base_template: dict[str, Any]) -> Iterator[Fleet]:
    """An empty fleet, which is destroyed after the test; its containers' names begin with ``t-``."""
    force_remove("t-")
    made = Fleet("carve-test", {"base": base_template})
    yield made
    made.destroy()


@pytest.fixture
def others_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the containers of this machine's other fleets: they are not the test's to restart."""
    real = lxc.names
    monkeypatch.setattr(lxc, "names", lambda given: [name for name in real(given) if name.startswith("t-")])
