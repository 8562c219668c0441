# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown of tasks that are not Carve's own: changes in a line, messages, failures in full."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .render import Style, clean

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.task import Task

OURS = ("carve.vps.node", "carve.vps.container", "carve.vps.template")
_DEBUG = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
_SAYING = ("fail", "assert", "ansible.builtin.fail", "ansible.builtin.assert")
_ASSERTED = "All assertions passed"
_DETAILS = ("rc", "cmd", "stdout", "stderr", "module_stdout", "module_stderr")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RED, _YELLOW = "31", "33"


def without_colour(text: str) -> str:
    return _COLOUR.sub("", text)


def is_ours(task: Task) -> bool:
    return (task.resolved_action or task.action) in OURS


def only_says(task: Task) -> bool:
    """Whether a task does nothing but tell the operator something, or read what is to be told."""
    return task.action in (*_DEBUG, *_SAYING, "carve.vps.node_info")


def name(task: Task) -> str:
    """A task's own name, without that of the role it is in."""
    return clean(str(task.name or task.action).strip())


def message(result: Mapping[str, Any]) -> str:
    """Why a task failed, in the words of what failed.

    Ansible puts what it was doing in front of an error of its own (``Task failed: Finalization of task args for ...
    failed: ...``). With the task's name above it, that only hides the reason.
    """
    text = str(result.get("msg") or result.get("reason") or "no reason was given")
    return re.sub(
        r"^Task failed: (?:(?:Action failed|Finalization of task args for '[^']*' failed"
        r"|Error while resolving value for '[^']*'|The filter plugin 'carve\.vps\.[^']*' failed): )*",
        "",
        text,
    ).strip()


def ok(label: str, result: CallbackTaskResult, style: Style) -> list[str]:
    """The lines for a task that did not fail."""
    found = result.result
    if result.task.action in _DEBUG:
        return _debug(label, found)
    if result.task.action in _SAYING:
        text = str(found.get("msg") or "")
        return [_labelled(label, text)] if text and text != _ASSERTED else []
    if not found.get("changed"):
        return []
    line = style.paint(_labelled(label, name(result.task)), _YELLOW)
    return [line, *_dump(found)] if style.verbosity else [line]


def item_ok(label: str, result: CallbackTaskResult, style: Style) -> list[str]:
    """The lines for one round of a loop that did not fail. What changed is told once, when the loop has ended."""
    if result.task.action in _DEBUG:
        return _debug(label, result.result)
    if style.verbosity and result.result.get("changed"):
        return [_labelled(label, f"{name(result.task)} ({_item(result.result)})")]
    return []


def _debug(label: str, found: Mapping[str, Any]) -> list[str]:
    if "results" in found:
        return []
    if "msg" in found:
        shown = found["msg"]
    else:
        hidden = ("changed", "failed", "item", "warnings", "deprecations", "exception")
        shown = {
            key: value
            for key, value in found.items()
            if key not in hidden and not key.startswith(("_ansible", "ansible_loop"))
        }
        if not shown:
            return []
    text = shown if isinstance(shown, str) else json.dumps(shown, indent=2, default=str, ensure_ascii=False)
    return [_labelled(label, text)]


def failed(label: str, result: CallbackTaskResult, style: Style, how: str) -> list[str]:
    """A failure: whose, of which task, why, and what the task left behind."""
    found = result.result
    reason = message(found)
    if result.task.action in _SAYING and how == "failed":
        return [style.paint(_labelled(label, reason), _RED)]
    task = name(result.task)
    if "item" in found or "_ansible_item_label" in found:
        task += f" ({_item(found)})"
    lines = [style.paint(_labelled(label, f"{how}: {task}"), _RED), *_indented("\n".join([reason, *details(found)]))]
    return lines + _dump(found) if style.verbosity else lines


def details(found: Mapping[str, Any]) -> list[str]:
    """What a failed command or module left behind, beside its message."""
    lines: list[str] = []
    for key in _DETAILS:
        value = found.get(key)
        if value in (None, "", []) or (key == "rc" and "cmd" not in found) or str(value).strip() in message(found):
            continue
        if isinstance(value, list):
            value = " ".join(map(str, value))
        shown = str(value).rstrip("\n").splitlines()
        lines += [f"{key}: {shown[0]}"] if len(shown) == 1 else [f"{key}:", *(f"  {line}" for line in shown)]
    for module, inner in (found.get("failed_modules") or {}).items():
        lines += [f"{module}: {message(inner)}", *(f"  {line}" for line in details(inner))]
    return lines


def only_interpreter_warnings(found: Mapping[str, Any]) -> bool:
    """Whether a task warns of nothing but which Python it found."""
    warnings = found.get("warnings") or []
    return bool(warnings) and all("discovered Python interpreter" in str(warning) for warning in warnings)


def closing(changed: int, failures: int) -> list[str]:
    return [f"{changed} changed" + (f", {failures} failed" if failures else "") + "."]


def _item(found: Mapping[str, Any]) -> str:
    if found.get("_ansible_no_log"):
        return "hidden by no_log"
    return clean(found.get("_ansible_item_label", found.get("item")))


def _labelled(label: str, text: str) -> str:
    shown = clean(text, keep_lines=True)
    return f"{label}: {shown}".replace("\n", "\n  ") if label else shown


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in clean(text, keep_lines=True).splitlines()]


def _dump(found: Mapping[str, Any]) -> list[str]:
    dropped = ("invocation", "stdout_lines", "stderr_lines", "warnings", "deprecations")
    kept = {key: value for key, value in found.items() if not key.startswith("_ansible") and key not in dropped}
    if kept.get("exception") == "(traceback unavailable)":
        del kept["exception"]
    return _indented(json.dumps(kept, indent=2, sort_keys=True, default=str, ensure_ascii=False))
