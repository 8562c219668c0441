# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry a change plan out: phase after phase, objects side by side, and an account of how each step went."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from .builder import BuildError
from .engines.lxc import EngineError
from .hands import Hands
from .power import AT_ONCE
from .steps import DONE, FAILED, NOT_TRIED, PLANNED, Plan, Step, untouched


class Account:
    """How each step of a plan went, in the plan's order, and what went wrong."""

    def __init__(self, plan: Plan) -> None:
        self.statuses = untouched(plan)
        self.errors: list[str] = []
        self._plan = plan
        self._broken: set[tuple[str, str]] = set()

    def carry_out(self, hands: Hands, watch: Callable[[Step, str], None] | None = None) -> None:
        """Carry out every step that is not held back. One object's failure stops what depends on it, and only that."""
        numbered = [(i, step) for i, step in enumerate(self._plan.steps) if not step.held]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _key, group in groupby(numbered, key=lambda item: (item[1].phase, item[1].order)):
                queues: dict[tuple[str, str], list[tuple[int, Step]]] = {}
                for index, step in group:
                    queues.setdefault((step.kind, step.name), []).append((index, step))
                list(pool.map(lambda queue: self._in_turn(queue, hands, watch), queues.values()))
                self._settle(hands, [i for queue in queues.values() for i, _step in queue])
                hands.pause_after([self._plan.steps[i] for queue in queues.values() for i, _step in queue])

    def _settle(self, hands: Hands, indexes: list[int]) -> None:
        """A phase is done when it is on disk; where that fails, none of it is."""
        try:
            hands.settle()
        except OSError as error:
            self.errors.append(f"what was done cannot be recorded: {error}")
            for index in indexes:
                self.statuses[index] = FAILED
                self._broken.add((self._plan.steps[index].kind, self._plan.steps[index].name))

    def _in_turn(self, queue: list[tuple[int, Step]], hands: Hands, watch: Callable[[Step, str], None] | None) -> None:
        for index, step in queue:
            broken = next((need for need in _needs(step) if need in self._broken), None)
            if broken:
                self.statuses[index] = NOT_TRIED
                self._broken.add((step.kind, step.name))
                continue
            if watch:
                watch(step, PLANNED)
            try:
                hands.do(step)
                self.statuses[index] = DONE
            except (OSError, EngineError, BuildError) as error:
                self.statuses[index] = FAILED
                self._broken.add((step.kind, step.name))
                self.errors.append(f"{step.kind} {step.name}: {step.action}: {error}")
            if watch:
                watch(step, self.statuses[index])


def _needs(step: Step) -> list[tuple[str, str]]:
    """The objects without which a step makes no sense."""
    needs = [(step.kind, step.name), ("node", "runtime")]
    if step.action in ("create", "rebuild") and step.kind == "container":
        needs.append(("template", step.target["template"]))
    if step.kind == "template" and step.target["definition"].get("from"):
        needs.append(("template", step.target["definition"]["from"]))
    if step.kind == "network" and step.action == "destroy":
        needs += [("container", name) for name in step.target["users"]]
    if step.action in ("create", "start", "restart"):
        needs += [("network", value) for path, value in step.target.items() if path.endswith(".bridge")]
    return needs
