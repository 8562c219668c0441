# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that are built to be suspended, on one node; one that cannot be goes on running, and it is said why.

Suspending itself takes a Debian 13 with version 2 of control groups.
"""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.plugins.module_utils import info
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import ends, look
from ansible_collections.carve.vps.plugins.module_utils.facets.checkpoint import DROP_IN, SERVICES
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    box,
    brief,
    host,
    inside,
    start_time,
)


def drop_in(name: str) -> str:
    return inside(name, "sh", "-c", f"cat {DROP_IN} 2>/dev/null || echo none")


def test_a_container_is_built_for_it_before_its_init_starts(fleet: Fleet) -> None:
    fleet.declare("x-live", live_migration=True)
    fleet.apply()
    assert drop_in("x-live") == SERVICES.strip()
    booted("x-live")
    unit = "systemctl show --property NotifyAccess,MemoryPressureWatch systemd-journald.service"
    assert "NotifyAccess=all" in inside("x-live", "sh", "-c", unit)
    assert inside("x-live", "sh", "-c", f"stat -c %u:%g {DROP_IN}") == "0:0"

    # What root inside makes of it is drift, and takes a restart to be put right.
    inside("x-live", "rm", DROP_IN)
    assert brief(fleet.check()) == ["restart x-live"]
    fleet.apply(ALL)
    assert drop_in("x-live") == SERVICES.strip()

    del fleet.containers["x-live"]["live_migration"]
    assert brief(fleet.apply(ALL)) == ["restart x-live"]
    assert drop_in("x-live") == "none"
    fleet.containers["x-live"].update(live_migration=True, state="stopped")
    fleet.apply(ALL)
    fleet.containers["x-live"]["state"] = "running"
    fleet.apply()
    assert drop_in("x-live") == SERVICES.strip()


def test_one_that_cannot_be_suspended_goes_on_running(fleet: Fleet) -> None:
    fleet.declare("x-busy", live_migration=True)
    fleet.apply()
    found = info.gather(host())["containers"]["x-busy"]
    if not look.lacking(host()):
        pytest.skip("containers can be suspended here")
    assert found["live_migration"]["fit"] is False
    assert found["live_migration"]["findings"] == look.unfit(host(), box("x-busy"))
    before = start_time("x-busy")
    why = "; ".join(found["live_migration"]["findings"])
    fleet.containers["x-busy"]["state"] = "suspended"
    for result in (fleet.check(), fleet.run()):
        assert result["failed"] and f"x-busy: refused: it cannot be suspended: {why}" in result["msg"]
        assert not result["changed"]
    for check in (True, False):
        params = {"name": "x-busy", "fleet": fleet.name, "state": "suspended"}
        result = ends.run(params, check, host())
        assert result["msg"] == f"x-busy cannot be suspended: {why}"
        assert ends.run({**params, "fleet": "other"}, check, host())["msg"] == f"x-busy belongs to fleet {fleet.name!r}"
        assert ends.run({**params, "state": "resumed"}, check, host()) == {
            "changed": False, "state": "running", "images_bytes": 0,
            "diff": {"before": "state: running\n", "after": "state: running\n"},
        }  # fmt: skip
    assert start_time("x-busy") == before


def test_one_without_memory_is_neither_suspended_nor_resumed(fleet: Fleet) -> None:
    fleet.declare("x-off", state="suspended")
    fleet.apply()
    assert look.unfit(host(), box("x-off")) == ["it does not run"]
    for state, why in (("suspended", "it has no memory to suspend"), ("resumed", "it is not suspended; start it")):
        result = ends.run({"name": "x-off", "fleet": fleet.name, "state": state}, False, host())
        assert result["failed"] and result["msg"] == f"x-off is stopped: {why}"
