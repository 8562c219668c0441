# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one shape of a test that every option of a container has.

Create with it; again, and nothing changes; change it, and init lives on (or what the option's reach says happens);
meddle with it by hand, which the plan names and the next apply mends; stop and start the container, and reboot it from
inside; delete it from the manifest, and it is undone. After each, the value is read where it acts, not where it stands.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    booted,
    inside,
    pid,
    start_time,
    wait_for,
)


@dataclass(frozen=True)
class Case:
    """One option, two values of it, and how to read and to spoil what it does."""

    # The option's path as plans name it, such as ``ram`` or ``network.eth0.rate_in``.
    option: str
    # What is declared first and then, as container options; and below ``networks``, options of the fleet's networks.
    first: dict[str, Any]
    second: dict[str, Any]
    # What the kernel makes of a container, by its name; and what that is for each of the two values.
    read: Callable[[str], Any]
    of_first: Any
    of_second: Any
    # Spoils the value on the running container, by its name; ``None`` where nobody can.
    meddle: Callable[[str], None] | None
    # What is read when the option is not declared any more; ``None`` where that is not to be asked.
    undone: Any = None
    reach: str = "live"
    # What plans name, where that is not the option by its own path: what follows from it; and once it is spoiled.
    shown: str = ""
    spoiled: str = ""

    @property
    def changes(self) -> str:
        return self.shown or self.option

    @property
    def drifts(self) -> str:
        return self.spoiled or self.changes


def prove(fleet: Fleet, name: str, cases: Sequence[Case], leave: Sequence[str] = (), **others: Any) -> None:
    """Take one container with all of these options through the shape. ``others`` is declared of it throughout.

    ``leave`` is what the operator allows beside what the cases reach.
    """
    first, second = _merged(cases, "first", others), _merged(cases, "second", others)
    networks = copy.deepcopy(fleet.networks)

    def declare(options: dict[str, Any], **more: Any) -> None:
        fleet.networks = copy.deepcopy(networks)
        _merge(fleet.networks, options.get("networks", {}))
        fleet.declare(name, **{key: value for key, value in {**options, **more}.items() if key != "networks"})

    reaches = {case.reach for case in cases}
    allow = sorted({*reaches, *leave} - {"live"})
    declare(first)
    fleet.apply()  # which asks again, and expects no change
    booted(name)
    _read(name, cases, "of_first")

    born = start_time(name)
    declare(second)
    changed = fleet.apply(allow)
    named = {change["field"] for step in changed["steps"] for change in step["changes"]}
    assert named >= {case.changes for case in cases}, named
    # What is given back before a restart is given back live; and a network's bridge is no matter of the container's.
    taken = {step["reach"] for step in changed["steps"] if step["kind"] == "container"}
    assert taken - {"live"} == reaches - {"live"}, changed["steps"]
    if reaches == {"live"}:
        assert start_time(name) == born
    booted(name)
    _read(name, cases, "of_second")

    born = start_time(name)
    for case in cases:
        if case.meddle is not None:
            case.meddle(name)
            found = fleet.check(allow)
            drift = {c["field"]: step["reason"] for step in found["steps"] for c in step["changes"]}
            assert drift == {case.drifts: "changed on the node"}, (case.option, found["steps"])
            fleet.apply(allow)
    assert start_time(name) == born or reaches != {"live"}
    booted(name)
    _read(name, cases, "of_second")

    declare(second, state="stopped")
    fleet.apply()
    declare(second)
    fleet.apply()
    booted(name)
    _read(name, cases, "of_second")

    before = pid(name)
    inside(name, "systemctl", "reboot", "--no-block", check=False)
    wait_for("the container to reboot", lambda: _other_init(name, before), 120)
    booted(name)
    assert fleet.check(allow)["steps"] == []
    _read(name, cases, "of_second")

    declare(others)
    fleet.apply(allow)
    booted(name)
    _read(name, [case for case in cases if case.undone is not None], "undone")


def _merged(cases: Sequence[Case], which: str, others: dict[str, Any]) -> dict[str, Any]:
    """The options of all cases and others in one map. Two may write into one interface."""
    result: dict[str, Any] = {}
    _merge(result, others)
    for case in cases:
        _merge(result, getattr(case, which))
    return result


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _read(name: str, cases: Sequence[Case], expected: str) -> None:
    found = {case.option: case.read(name) for case in cases}
    wanted = {case.option: getattr(case, expected) for case in cases}
    assert found == wanted, f"{found} instead of {wanted}"


def _other_init(name: str, before: int) -> bool:
    from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
    from ansible_collections.carve.vps.tests.integration.support import host

    return lxc.init_pid(host(), name) not in (None, before)
