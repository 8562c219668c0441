# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a run: the change plan, what was done, what failed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan
type: stdout
short_description: Show change plans instead of tasks
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Prints the change plans that M(carve.vps.node) returns, grouped by node and object, and a line that sums them up.
  - Of other tasks, a line for each that changed something, the messages of M(ansible.builtin.debug), and failures in
    full. Everything else that Ansible tells about plays and tasks is left out.
  - While long work runs, a line says so. It is updated every second on a terminal; elsewhere there is one every ten
    seconds.
  - C(-v) shows every option of a container that is created, fingerprints, timings and the results of other tasks.
  - The command C(carve) sets this callback. Without it, set E(ANSIBLE_STDOUT_CALLBACK) to V(carve.vps.plan).
options:
  result_file:
    description:
      - Where to write a summary of the run as JSON - the differences, the errors, what is held back, and all steps.
      - The command C(carve) makes its exit codes of it.
    type: path
    env:
      - name: CARVE_RESULT_FILE
requirements:
  - set as stdout in configuration
seealso:
  - module: carve.vps.node
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback import CallbackBase
from ansible.utils.color import ANSIBLE_COLOR
from ansible_collections.carve.vps.plugins.plugin_utils import outcome, render, tasktext
from ansible_collections.carve.vps.plugins.plugin_utils.heartbeat import Heartbeat
from ansible_collections.carve.vps.plugins.plugin_utils.placement import STAYS

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.inventory.host import Host
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

# Tasks that wait for a person; a sign of life would only disturb.
_ASKING = ("pause", "ansible.builtin.pause")
# Tasks between the two looks at a fleet.
_LOOKING = ("carve.vps.settle", "include_tasks", "ansible.builtin.include_tasks", "meta", "ansible.builtin.meta")
# Plays of ours that are left out by their hosts pattern.
_NOBODY = "all:!all"
_NOTHING_LEFT = "Nothing of the fleet is left to destroy."


class CallbackModule(CallbackBase):
    """Collects results; decides what is printed and when. How it looks is ``render``'s and ``tasktext``'s business."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "carve.vps.plan"

    def __init__(self) -> None:
        super().__init__()
        # Results of Carve's tasks by node: all of the current kind of run, and those that are yet to be shown.
        self._verb = ""
        self._results: dict[str, dict[str, Any]] = {}
        self._unshown: dict[str, dict[str, Any]] = {}
        self._verbs: dict[str, str] = {}
        self._failures: list[dict[str, str]] = []
        # Tasks that are not Carve's and do not merely say something.
        self._worked = self._changed = 0
        self._items_told: set[tuple[str, str]] = set()
        self._play: Play | None = None
        self._task: Task | None = None
        # Replaced, never changed: the heartbeat's thread reads it.
        self._running: tuple[str, ...] = ()
        self._finished = 0
        self._style = render.Style(
            utf8=(sys.stdout.encoding or "").lower().replace("-", "") == "utf8",
            colour=bool(ANSIBLE_COLOR),
            verbosity=self._display.verbosity,
        )
        terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._heartbeat = Heartbeat(self._write, self._status, self._display._lock, terminal)
        if terminal:
            self._take_over_display()

    # --- the screen

    def _take_over_display(self) -> None:
        """Makes everything that Ansible prints, such as a warning, start on an empty line."""
        display, show, heartbeat, lock = self._display, self._display.display, self._heartbeat, self._display._lock

        def on_an_empty_line(*args: Any, **kwargs: Any) -> None:
            with lock:
                heartbeat.erase()
                show(*args, **kwargs)

        # On the object, not the class: as long as this callback is the one that prints.
        display.display = on_an_empty_line

    @staticmethod
    def _write(text: str = "") -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(text)
            sys.stdout.flush()

    def _print(self, lines: Iterable[str]) -> None:
        text = "\n".join(lines)
        if text:
            # Nobody may be listening any more, as after ``| head``; what is left to do is done all the same.
            with contextlib.suppress(BrokenPipeError):
                self._display.display(text, screen_only=True)
            self._display.display(tasktext.without_colour(text), log_only=True)
            self._write()

    def _status(self) -> str:
        if not self._running or self._task is None:
            return ""
        what = self._what(self._task)
        total = len(self._running) + self._finished
        if len(self._running) <= 3:
            return f"{', '.join(self._running)}: {what}"
        return f"{what}: {self._finished} of {total} nodes done"

    def _what(self, task: Task) -> str:
        if not tasktext.is_ours(task):
            return tasktext.name(task)
        return {"plan": "planning", "drift": "comparing"}.get(self._verb_of(task.check_mode), "applying")

    # --- plays and tasks

    def v2_playbook_on_play_start(self, play: Play) -> None:
        self._flush()
        self._play = play

    def v2_playbook_on_no_hosts_matched(self) -> None:
        if self._play is not None and self._play.hosts not in (_NOBODY, [_NOBODY]):
            message = "no node is left to work on; --limit takes names of nodes, or of groups that nodes are in"
            self._failures.append({"node": "", "message": message})
            self._print([self._style.paint(f"error: {message}", "31")])

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        # What a look has found may change with the second one.
        if task.action not in _LOOKING and not _is_second_look(task):
            self._flush()
        self._begin(task)

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        self._flush()
        self._begin(task)

    def _begin(self, task: Task) -> None:
        self._task, self._running, self._finished = task, (), 0
        if task.action in _ASKING:
            self._heartbeat.stop()
        else:
            self._heartbeat.start()

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        self._running = (*self._running, host.get_name())

    def _ended(self, host: str) -> None:
        self._running = tuple(name for name in self._running if name != host)
        self._finished += 1

    # --- results

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._ended(result.host.get_name())
        self._warnings(result)
        if tasktext.is_ours(result.task):
            if "results" not in result.result:
                self._node(result)
            return
        self._worked += not tasktext.only_says(result.task) and result.task.action not in _ASKING
        self._changed += bool(result.result.get("changed"))
        self._print(tasktext.ok(self._label(result), result, self._style))

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._ended(result.host.get_name())
        self._warnings(result)
        if tasktext.is_ours(result.task) and not ignore_errors:
            if "results" not in result.result:
                self._node(result, failed=True)
        elif ignore_errors:
            if self._style.verbosity:
                self._print(tasktext.failed(self._label(result), result, self._style, "failed, ignored"))
        elif (result.task._uuid, result.host.get_name()) not in self._items_told:
            self._fail(result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._ended(result.host.get_name())
        self._warnings(result)
        if tasktext.is_ours(result.task):
            self._node(result, unreachable=True)
        else:
            self._fail(result, "unreachable")

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        self._ended(result.host.get_name())

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        self._warnings(result)
        if tasktext.is_ours(result.task):
            self._node(result)
        else:
            self._print(tasktext.item_ok(self._label(result), result, self._style))

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        self._warnings(result)
        if tasktext.is_ours(result.task):
            self._node(result, failed=True)
        elif not result.task_fields.get("ignore_errors"):
            self._items_told.add((result.task._uuid, result.host.get_name()))
            self._fail(result)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        if self._style.verbosity:
            left = result.result.get("retries", 0) - result.result.get("attempts", 0)
            self._print([f"{self._label(result)}: {tasktext.name(result.task)}: {left} tries left"])

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        if tasktext.is_ours(result.task):
            return  # The change plan tells it better.
        results = result.result.get("results") if result.task.loop else [result.result]
        for one in results or []:
            if isinstance(one, Mapping) and one.get("changed") and one.get("diff"):
                self._print([self._get_diff(one["diff"]).rstrip("\n")])

    def _fail(self, result: CallbackTaskResult, how: str = "failed") -> None:
        told = self._results.get(result.host.get_name(), {}).get("errors")
        if told and tasktext.message(result.result) == "\n".join(map(str, told)):
            return  # A node whose plan has errors is stopped by a task of its own; the plan tells them.
        lines = tasktext.failed(self._label(result), result, self._style, how)
        self._failures.append({"node": result.host.get_name(), "message": tasktext.message(result.result)})
        self._print(lines)

    def _label(self, result: CallbackTaskResult) -> str:
        """Whose result this is; nobody's in particular when the task ran once for all."""
        return "" if result.task.run_once is True else render.clean(self.host_label(result))

    def _warnings(self, result: CallbackTaskResult) -> None:
        """Shows warnings of modules once each; deprecations, and which Python was found, only when asked for more."""
        if not self._style.verbosity:
            result.result.pop("deprecations", None)
            if tasktext.only_interpreter_warnings(result.result):
                result.result.pop("warnings")
        # Exceptions are part of what is shown of a failure.
        self._handle_warnings(result.result)

    # --- change plans

    def _named_verb(self) -> str:
        return str(self._play.vars.get("carve_verb", "")) if self._play is not None else ""

    def _verb_of(self, check_mode: Any) -> str:
        if check_mode:
            return "drift" if self._named_verb() == "drift" else "plan"
        return "apply"

    def _node(self, result: CallbackTaskResult, failed: bool = False, unreachable: bool = False) -> None:
        verb = self._verb_of(result.task_fields.get("check_mode"))
        if verb != self._verb:
            self._flush()
            self._verb = verb
        found = dict(result.result)
        found["msg"] = "\n".join([tasktext.message(found), *tasktext.details(found)])
        found["failed"], found["unreachable"] = failed, unreachable
        reasons = _reasons(result.host)
        if reasons:
            found["reasons"] = reasons
        name = self.host_label(result)
        if _is_second_look(result.task):
            self._unshown.pop(name, None)
            self._results.pop(name, None)
        if name in self._unshown:
            found = outcome.merge(self._unshown[name], found)
        self._unshown[name] = found
        self._remember(name, found, verb, rolling="carve_only" in result.task.get_vars())
        # What was done is told as it happens; a plan is read as a whole, in an order that does not change.
        if verb == "apply":
            self._show_nodes()

    def _remember(self, name: str, found: dict[str, Any], verb: str, rolling: bool) -> None:
        """Keeps what all of a node's tasks came to. What was planned is history once it has been applied; where it
        never was, because the run ended before, the plan stands for what was not tried."""
        before = self._results.get(name)
        if before is not None and rolling:
            self._results[name] = outcome.overlay(before, found)
        elif before is not None and self._verbs[name] == verb:
            self._results[name] = outcome.merge(before, found)
        else:
            self._results[name] = found
        self._verbs[name] = verb

    def _show_nodes(self) -> None:
        for name in sorted(self._unshown, key=outcome.natural):
            self._print(render.node(name, self._unshown[name], self._verb, self._style))
        self._unshown = {}

    def _flush(self) -> None:
        """Shows what has been collected, and after a plan what it amounts to."""
        if self._unshown:
            self._show_nodes()
            if self._verb != "apply":
                self._close()

    def _close(self) -> None:
        nothing = _NOTHING_LEFT if self._named_verb() == "destroy" else None
        self._print(render.closing(self._results, self._verb, self._style, nothing))

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        self._heartbeat.stop()
        self._write_summary()
        self._flush()
        if self._verb == "apply":
            self._close()
        if self._changed or (self._worked and not self._results):
            self._print(tasktext.closing(self._changed, len(self._failures)))
        if self._worked or self._results:
            self._print([self._style.paint(self._timings(), "2")])

    def _write_summary(self) -> None:
        path = self.get_option("result_file")
        if path:
            summary = outcome.summary(self._results, self._verb, self._failures, self._changed)
            with open(path, "w", encoding="utf-8", opener=_private) as file:
                json.dump(summary, file)

    def _timings(self) -> str:
        total = f"{_age():.2f} s"
        slow = {n: sum(r["timings"].values()) for n, r in self._results.items() if r.get("timings")}
        if not slow:
            return total
        slowest = max(slow, key=lambda name: slow[name])
        of = f"{slowest}" if len(slow) == 1 else f"longest on {slowest}"
        timings = self._results[slowest]["timings"]
        parts = [f"{what} {seconds:.2f}" for what, seconds in timings.items() if seconds >= 0.005]
        return f"{total} ({of}: {', '.join(parts)})" if parts else total


def _is_second_look(task: Task) -> bool:
    """Whether what a task finds takes the place of what the same node said before (``playbooks/tasks/look.yml``)."""
    return tasktext.is_ours(task) and task.get_vars().get("carve_round") == "again"


def _reasons(host: Host) -> dict[str, str]:
    """Why containers are placed on a node, as its inventory says."""
    placed = host.vars.get("carve_placed") or {}
    return {str(name): str(own["why"]) for name, own in placed.items() if own.get("why", STAYS) != STAYS}


def _age() -> float:
    """Seconds since this process began: what a person waited for, Ansible's own start included."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
