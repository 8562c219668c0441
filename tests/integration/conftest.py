# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests: real LXC containers on this node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.support import Fleet, force_remove, rootfs_archive, sha256


@pytest.fixture(scope="session")
def base_template() -> dict[str, Any]:
    archive = rootfs_archive()
    return {"archive": str(archive), "sha256": sha256(archive)}


@pytest.fixture
def fleet(base_template: dict[str, Any]) -> Iterator[Fleet]:
    """An empty fleet, which is destroyed after the test; its containers' names begin with ``t-``."""
    force_remove("t-")
    made = Fleet("carve-test", {"base": base_template})
    yield made
    made.destroy()
