# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change plan as people read it. Pure: results in, lines out.

``verb`` is whose words are used: ``plan`` (what would be done), ``apply`` (what was done) or ``drift`` (what differs).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import outcome
from .outcome import Item, Results, Step

_MARKS = {"create": "+", "build": "+", "destroy": "-", "collect": "-", "rebuild": "-/+", "restart": "!", "move": ">"}
_COLOURS = {"+": "32", "-": "31", "-/+": "31", "!": "35", "~": "33", ">": "33"}
_RED, _DIM, _BOLD, _YELLOW, _GREEN = "31", "2", "1", "33", "32"
_DONE = {
    "create": "created",
    "destroy": "destroyed",
    "move": "moved",
    "return": "taken back",
    "discard": "given up",
    "rebuild": "rebuilt",
    "restart": "restarted",
    "stop": "stopped",
    "start": "started",
    "suspend": "suspended",
    "resume": "resumed",
    "change": "changed",
    "prove": "proven",
    "build": "built",
    "collect": "collected",
}
_DRIFT = {
    "create": "missing",
    "destroy": "not declared",
    "move": "on another node",
    "return": "set aside",
    "discard": "left over",
    "rebuild": "made from another template version",
    "restart": "different",
    "stop": "running",
    "start": "stopped",
    "suspend": "not suspended",
    "resume": "suspended",
    "change": "different",
    "prove": "gate not yet passed",
    "build": "missing",
    "collect": "unused",
}
# Of a container that is created, what fits on a line or two; -v shows the rest.
_KEY_FIELDS = ("template", "cpus", "ram", "swap", "disk", "processes")
_WIDTH = 100
_HEADLINE = 52
_NAMES = 8  # of containers that are not this fleet's, unless more is asked for
_NOTHING = {"plan": "No changes. The fleet is as declared.", "drift": "No drift. The fleet is as declared."}


@dataclass(frozen=True)
class Style:
    """How to print: characters beyond ASCII, colour, and how much (the number of ``-v``)."""

    utf8: bool = False
    colour: bool = False
    verbosity: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    @property
    def arrow(self) -> str:
        return "→" if self.utf8 else "->"


def node(name: str, result: Mapping[str, Any], verb: str, style: Style) -> list[str]:
    """The block of one node; no lines when there is nothing to say about it."""
    body: list[str] = []
    for item in outcome.items(result.get("steps") or []):
        body += _item(item, verb, style, result.get("reasons") or {})
    unmanaged = [clean(n) for n in result.get("unmanaged") or []]
    if unmanaged and (verb != "apply" or style.verbosity):
        more = 0 if style.verbosity else max(0, len(unmanaged) - _NAMES)
        names = unmanaged[: len(unmanaged) - more] + ([f"and {more} more (-v)"] if more else [])
        text = f"unmanaged by this fleet, never touched: {', '.join(names)}"
        body += [style.paint(line, _DIM) for line in _wrap(text, "  ", "    ")]
    for note in result.get("notes") or []:
        body += _wrap(f"note: {clean(note)}", "  ", "    ")
    for _node, message in outcome.errors({name: result}):
        body += [style.paint(line, _RED) for line in _message(message, result)]
    if style.verbosity:
        body += [style.paint(f"  {line}", _DIM) for line in _details(result)]
        body = body or ["  nothing to do"]
    return [style.paint(clean(name), _BOLD), *body] if body else []


def _message(message: str, result: Mapping[str, Any]) -> list[str]:
    first, *rest = clean(message, keep_lines=True).splitlines() or [""]
    label = "" if result.get("unreachable") and message.startswith("unreachable") else "error: "
    return [f"  {label}{first}", *(f"    {line}" for line in rest)]


def _details(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result.get("timings"):
        lines.append(", ".join(f"{what} {seconds:.3f} s" for what, seconds in result["timings"].items()))
    if result.get("fingerprint"):
        lines.append(f"fingerprint {clean(result['fingerprint'])}")
    return lines


def _item(item: Item, verb: str, style: Style, reasons: Mapping[str, str]) -> list[str]:
    mark = _MARKS.get(item.action, "~")
    kind = "" if (item.kind, item.name) == ("node", "runtime") else f"{item.kind} "
    left = f"  {mark} {kind}{clean(item.name)}"
    line = f"{left:<{_HEADLINE}} {_headline(item, verb)}"
    failed = any(outcome.status(step, verb) in ("failed", "rolled back") for step in item.steps)
    result = [style.paint(line, _RED if failed else _COLOURS[mark])]
    made = [step for step in item.steps if step["action"] in ("create", "build") and item.action != "rebuild"]
    if made:
        result += _creation(made[0], verb, style)
        reason = reasons.get(item.name) if item.kind == "container" and verb != "drift" else None
        result += [style.paint(line, _DIM) for line in _wrap(clean(reason or ""), "      ", "      ")]
    rest = [step for step in item.steps if not (made and step["action"] in ("create", "build", "start"))]
    return result + _changes(rest, verb, style)


def _headline(item: Item, verb: str) -> str:
    """What happens to an object, in words: ``create, start`` or ``live; restart, held: needs allow: restart``."""
    groups: dict[str, list[str]] = {}
    missing = verb == "drift" and item.action in ("create", "build")
    for step in item.steps[:1] if missing else item.steps:
        state = outcome.status(step, verb)
        words, suffix = _word(step, verb, state), ""
        if verb != "drift" and state == "held":
            suffix = f", held: {clean(step.get('held') or 'no reason given')}"
        group = groups.setdefault(suffix, [])
        if words not in group:
            group.append(words)
    return "; ".join(", ".join(words) + suffix for suffix, words in groups.items())


def _word(step: Step, verb: str, state: str) -> str:
    action = str(step["action"])
    if verb == "drift":
        return _DRIFT.get(action, "different")
    if verb == "apply" and state == "done":
        return _DONE.get(action, action) + (" live" if action == "change" and step.get("reach") == "live" else "")
    word = str(step.get("reach") or action) if action == "change" else action
    bad = {"failed": "FAILED", "rolled back": "ROLLED BACK", "not tried": "not tried"}
    return f"{action} {bad[state]}" if state in bad else word


def _creation(step: Step, verb: str, style: Style) -> list[str]:
    """What a new object is like: shortly, or every option under -v."""
    values = {c["field"]: clean(c["after"]) for c in step.get("changes") or [] if c.get("after") is not None}
    if style.verbosity:
        width = max((len(field) for field in values), default=0)
        return [f"      {field:<{width}}  {value}" for field, value in values.items()]
    if verb == "drift":
        return []
    if step["kind"] != "container":
        text = ", ".join(f"{field} {value}" for field, value in values.items())
        return _wrap(text, "      ", "      ")
    parts = [f"{field} {values[field]}" for field in _KEY_FIELDS if field in values]
    for field, value in values.items():
        if field.startswith("network.") and field.endswith(".ip") and value != "none":
            parts.append(f"{field.split('.')[1]} {value}")
    return _wrap(", ".join(parts), "      ", "      ")


def _changes(steps: Sequence[Step], verb: str, style: Style) -> list[str]:
    """The differences of an object, one a line, with the reason of the step that mends them."""
    mixed = len({(step.get("reach"), outcome.status(step, verb)) for step in steps}) > 1
    rows: list[tuple[str, str, str]] = []
    shown: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for step in steps:
        reason = clean(step.get("reason") or "")
        if mixed and verb != "drift":
            reason = ", ".join(filter(None, (_word(step, verb, outcome.status(step, verb)), reason)))
        changes = [] if step["action"] == "destroy" else step.get("changes") or []
        if not changes and reason:
            running = any(change.get("before") == "running" for change in step.get("changes") or [])
            rows.append((f"{reason}, running" if running else reason, "", ""))
        note = f"({reason})" if reason else ""
        for change in changes:
            # An address is given back in one step and another taken in a later one: to people that is one change.
            index, earlier = shown.get(change["field"], (len(rows), change))
            whole = {**change, "before": earlier.get("before")}
            shown[change["field"]] = index, whole
            rows[index : index + 1] = [(clean(change["field"]), _difference(whole, verb, style), note)]
    fields = max([10, *(len(field) for field, value, _reason in rows if value)])
    values = max([0, *(len(value) for _field, value, _reason in rows if "\n" not in value and len(value) <= 48)])
    lines: list[str] = []
    for field, value, reason in rows:
        if not value:
            lines.append(f"      {field}")
        elif "\n" in value:
            lines.append(f"      {field:<{fields}} {reason}".rstrip())
            lines += [f"        {line}" for line in value.strip("\n").splitlines()]
        else:
            lines.append(f"      {field:<{fields}} {value:<{values}}  {style.paint(reason, _DIM)}".rstrip())
    return lines


def _difference(change: Mapping[str, Any], verb: str, style: Style) -> str:
    """``2G → 3G``; text of several lines and long lists as the lines that go (-) and come (+)."""
    before, after = change.get("before"), change.get("after")
    texts = [clean(text, keep_lines=True) for text in (before, after) if text is not None]
    if any("\n" in text for text in texts) or any(len(text) > 60 and ", " in text for text in texts):
        gone, come = _lines(before), _lines(after)
        marked = [f"- {line}" for line in gone if line not in come] + [f"+ {line}" for line in come if line not in gone]
        return "\n" + "\n".join(marked) + "\n"
    shown_before, shown_after = ("none" if text is None else clean(text) for text in (before, after))
    if verb == "drift":
        return f"{shown_after} declared, {shown_before} found"
    return f"{shown_before} {style.arrow} {shown_after}"


def _lines(text: str | None) -> list[str]:
    if text is None:
        return []
    shown = clean(text, keep_lines=True)
    return shown.splitlines() if "\n" in shown else shown.split(", ")


def clean(value: Any, keep_lines: bool = False) -> str:
    """Text from a node without characters that would steer a terminal."""
    return "".join(c if c.isprintable() or (keep_lines and c == "\n") else "?" for c in str(value))


def _wrap(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def closing(results: Results, verb: str, style: Style, nothing: str | None = None) -> list[str]:
    """The last lines: what all of it amounts to. ``nothing`` is said when it does not amount to anything."""
    nothing = nothing or _NOTHING.get(verb, _NOTHING["plan"])
    found = outcome.counts(results, verb)
    parts = {"plan": _plan_parts, "apply": _apply_parts, "drift": _drift_parts}[verb](found)
    held = sum(found.get("held", {}).values()) if verb != "drift" else 0
    trouble = _trouble(results)
    line = nothing
    if parts or held:
        name = {"plan": "Plan", "apply": "Applied", "drift": "Drift"}[verb]
        line = f"{name}: {', '.join(parts) or 'nothing'}."
    elif trouble:
        line = ""
    text = " ".join(filter(None, (line, f"{held} held back." if held else "", trouble)))
    colour = _RED if trouble or found.get("failed") else _YELLOW if held or (verb == "drift" and parts) else _BOLD
    return [style.paint(text, _GREEN if text == nothing else colour)]


def _trouble(results: Results) -> str:
    away = sum(1 for result in results.values() if result.get("unreachable"))
    failed = len({name for name, _message in outcome.errors(results)}) - away
    parts = [
        f"{count} {'node' if count == 1 else 'nodes'} {what}"
        for count, what in ((failed, "failed"), (away, "unreachable"))
        if count
    ]
    return f"{', '.join(parts)}." if parts else ""


def _sorted(tally: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    order = (
        "build",
        "create",
        "change",
        "restart",
        "rebuild",
        "prove",
        "move",
        "return",
        "discard",
        "destroy",
        "collect",
    )
    return [(action, tally[action]) for action in order if tally.get(action)]


def _merge(*tallies: Mapping[str, int]) -> dict[str, int]:
    return {action: sum(t.get(action, 0) for t in tallies) for t in tallies for action in t}


def _plan_parts(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [f"{n} to {action}" for action, n in _sorted(_merge(found.get("planned", {}), found.get("held", {})))]


def _apply_parts(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    parts = [f"{n} {_DONE[action]}" for action, n in _sorted(found.get("done", {}))]
    for state in ("failed", "rolled back", "not tried"):
        total = sum(found.get(state, {}).values())
        parts += [f"{total} {state}"] if total else []
    return parts


def _drift_parts(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    words: dict[str, int] = {}
    for action, n in _sorted(_merge(found.get("planned", {}), found.get("held", {}))):
        word = {
            "create": "missing",
            "build": "missing",
            "destroy": "not declared",
            "collect": "unused",
            "move": "elsewhere",
        }
        words[word.get(action, "different")] = words.get(word.get(action, "different"), 0) + n
    return [f"{n} {word}" for word, n in words.items()]
