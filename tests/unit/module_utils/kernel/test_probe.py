# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking on a bridge where nobody is. That somebody answers is tested with two nodes (``test_moves.py``)."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import namespaces, probe, syscalls


@pytest.mark.parametrize("state", ["up", "down"])
def test_nobody_answers(state: str) -> None:
    def work() -> dict[str, set[str]]:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        subprocess.run(["ip", "link", "add", "b0", "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "set", "b0", state], check=True)
        return probe.holders("b0", ["192.0.2.1", "2001:db8::1"])

    assert namespaces.inside(work) == {}
