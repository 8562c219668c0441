# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault isolation: what one container uses up or breaks is not missing elsewhere.

Each attack takes as much as it gets, of a container that has limits. Meanwhile the neighbour and the node must still be
given what was attacked. A container without ``ram`` and ``processes`` has all of its node, and is none of these.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.carve.vps.tests.integration.support import pid
from ansible_collections.carve.vps.tests.isolation import bombs, exhaustion, memory
from ansible_collections.carve.vps.tests.isolation.attack import Attack
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, VICTIM, Scene, prove

ATTACKS = [*bombs.ATTACKS, *memory.ATTACKS, *exhaustion.ATTACKS]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, stage: Scene) -> None:
    prove(stage, attack)


def test_what_is_counted_for_all_containers_is_lifted(stage: Scene) -> None:
    """A container's init has at least what the node could give; the kernel took it for its user namespace's."""
    for name in (ATTACKER, VICTIM):
        text = Path(f"/proc/{pid(name)}/limits").read_text(encoding="ascii")
        found = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()[1:]}
        for kind in ("Max pending signals", "Max msgqueue size"):
            soft, hard = found[kind]
            assert soft == hard, (kind, found[kind])
            assert soft == "unlimited" or exhaustion.may_not_lift_limits()
