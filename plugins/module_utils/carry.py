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
from .steps import DONE, FAILED, NOT_TRIED, PLANNED, ROLLED_BACK, Plan, Step, untouched


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
            self._phases([item for item in numbered if item[1].phase != "release"], pool, hands, watch)
            # Before anything is released that a container would need which is rolled back.
            self._gate(numbered, hands)
            self._phases([item for item in numbered if item[1].phase == "release"], pool, hands, watch)

    def _phases(
        self,
        numbered: list[tuple[int, Step]],
        pool: ThreadPoolExecutor,
        hands: Hands,
        watch: Callable[[Step, str], None] | None,
    ) -> None:
        for _key, group in groupby(numbered, key=lambda item: (item[1].phase, item[1].order)):
            queues: dict[tuple[str, str], list[tuple[int, Step]]] = {}
            for index, step in group:
                queues.setdefault((step.kind, step.name), []).append((index, step))
            list(pool.map(lambda queue: self._in_turn(queue, hands, watch), queues.values()))
            self._settle(hands, [i for queue in queues.values() for i, _step in queue])
            hands.pause_after([self._plan.steps[i] for queue in queues.values() for i, _step in queue])

    def _gate(self, numbered: list[tuple[int, Step]], hands: Hands) -> None:
        """Who does not pass the gate has failed, even where every step was done; a rebuild of it is undone."""
        steps = [(i, step) for i, step in numbered if step.kind == "container"]
        touched = [step.name for _i, step in steps if step.action not in ("stop", "destroy")]
        failed = {name for kind, name in self._broken if kind == "container"}
        for name, verdict in sorted(hands.gate(touched, failed).items()):
            self._broken.add(("container", name))
            if verdict.reason is not None:
                self.errors.append(f"container {name}: gate: {verdict.reason}")
            if verdict.problem is not None:
                self.errors.append(f"container {name}: cannot be rolled back: {verdict.problem}")
            if verdict.rolled_back is not None:
                self.errors.append(f"container {name}: rolled back to {verdict.rolled_back}")
                for index, step in steps:
                    if step.name == name and step.action in ("rebuild", "prove"):
                        self.statuses[index] = ROLLED_BACK

    def _settle(self, hands: Hands, indexes: list[int]) -> None:
        """A phase is done when it is on disk; where that fails, none of it is."""
        try:
            hands.settle()
        except OSError as error:
            self.errors.append(f"what was done cannot be recorded: {hands.words(error)}")
            for index in indexes:
                self.statuses[index] = FAILED
                self._broken.add((self._plan.steps[index].kind, self._plan.steps[index].name))

    def _in_turn(self, queue: list[tuple[int, Step]], hands: Hands, watch: Callable[[Step, str], None] | None) -> None:
        for index, step in queue:
            if self.statuses[index] != PLANNED:
                continue
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
            except (OSError, EngineError, BuildError, RecursionError) as error:
                self.statuses[index] = FAILED
                self._broken.add((step.kind, step.name))
                self.errors.append(f"{step.kind} {step.name}: {step.action}: {hands.words(error, step)}")
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
    if step.action in ("create", "start", "resume", "restart"):
        needs += [("network", value) for path, value in step.target.items() if path.endswith(".bridge")]
    return needs
