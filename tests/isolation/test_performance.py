# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Performance isolation: whoever takes all there is of something does not stop the neighbour's work.

How much it slows it down is a measurement, not a test: `./dev bench isolation`.
"""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.tests.integration.support import limits
from ansible_collections.carve.vps.tests.isolation.attack import Attack
from ansible_collections.carve.vps.tests.isolation.hogs import HOGS, WORK, hogging, worked
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, Scene

_STOPPED_BY = {
    "cpu": "cgroup cpu (`cpus`, `cpu_weight`)",
    "memory": "cgroup cpu; the bus and the caches of a processor are shared",
    "disk": "cgroup memory (dirty pages); the disk itself is shared",
    "network": "network namespace, cgroup cpu; the link is shared",
}
_TRIED = {
    "cpu": "four processes that compute without end",
    "memory": "two processes that copy 32 MiB without end",
    "disk": "two processes that write and sync without end",
    "network": "two processes that send UDP packets without end",
}
# For the documentation: the tests below take their place.
ATTACKS = [
    Attack(name=f"{name} hog", tried=_TRIED[name], stopped_by=_STOPPED_BY[name], code=HOGS[name]) for name in HOGS
]


@pytest.mark.parametrize("hog", HOGS)
def test_the_neighbour_goes_on(hog: str, stage: Scene) -> None:
    before = stage.portrait()
    with hogging(stage, hog):
        for work in WORK:
            assert len(worked(work, 20)) == 20, work
    assert stage.portrait() == before
    assert limits(ATTACKER)["pids"]
