# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The number of processes, which both versions of control groups limit in the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets.processes import Processes
from ansible_collections.carve.vps.plugins.module_utils.steps import Change

from unit.module_utils.facets import boxes


@pytest.mark.parametrize(("version", "key"), [(1, "lxc.cgroup.pids.max"), (2, "lxc.cgroup2.pids.max")])
def test_at_boot_live_and_undone(tmp_path: Path, version: int, key: str) -> None:
    host, facet = boxes.host(tmp_path, version), Processes()
    assert facet.boot_config(host, boxes.box({"processes": 400})) == [(key, "400")]
    assert facet.boot_config(host, boxes.box({})) == []
    facet.apply_live(host, boxes.box({}), [Change("processes", None, 400)])
    assert facet.observe(host, [boxes.box({}), boxes.box({}, pid=None)]) == {"web": {"processes": 400}}
    facet.apply_live(host, boxes.box({"processes": 400}), [Change("processes", 400, None)])
    assert facet.observe(host, [boxes.box({})]) == {"web": {"processes": None}}
    facet.apply_live(host, boxes.box({}, pid=None), [Change("processes", None, 5)])
    assert host.cgroup.written == [("pids.max", "400"), ("pids.max", "max")]  # type: ignore[attr-defined]
