# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Security isolation: the ways out of containers that are known, tried, and what one pretends to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.tests.integration.support import host, limits, pid
from ansible_collections.carve.vps.tests.isolation import escapes, forgeries, planted
from ansible_collections.carve.vps.tests.isolation.attack import Attack
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, Scene, prove

ATTACKS = [*escapes.ATTACKS, *planted.ATTACKS, *forgeries.ATTACKS]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, stage: Scene) -> None:
    prove(stage, attack)


def test_what_confines_it_is_in_force(stage: Scene) -> None:
    """Seccomp filters everything in the container; AppArmor too, where the node has it."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid(ATTACKER)}/status").read_text().splitlines())
    assert status["Seccomp"] == "2"
    assert "Seccomp:\t2" in stage.attacker("cat", "/proc/self/status")
    if host().apparmor:
        label = Path(f"/proc/{pid(ATTACKER)}/attr/current").read_text(encoding="ascii")
        assert label.startswith(f"lxc-{ATTACKER}_") and "enforce" in label, label
    assert limits(ATTACKER) != limits("-")
