# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the table of attacks in docs/isolation.md: ``python -m ...table ROOT``, or ``--check`` to compare only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from ansible_collections.carve.vps.tests.isolation import (
    test_fault,
    test_fault_disk,
    test_functional,
    test_namespace,
    test_performance,
    test_security,
)
from ansible_collections.carve.vps.tests.isolation.attack import Attack

PAGE = "docs/isolation.md"
_BEGIN = "<!-- Generated from tests/isolation by `./dev docs`; edit that. -->"
_END = "<!-- The end of what is generated. -->"
_MODULES: tuple[tuple[str, tuple[ModuleType, ...], str], ...] = (
    ("Namespaces", (test_namespace,), "stopped"),
    ("Functions", (test_functional,), "stopped"),
    ("Faults", (test_fault, test_fault_disk), "stays inside"),
    ("Performance", (test_performance,), "the neighbour goes on"),
    ("Security", (test_security,), "stopped"),
)


def attacks() -> list[Attack]:
    return [attack for _title, modules, _outcome in _MODULES for attack in _of(modules)]


def _of(modules: tuple[ModuleType, ...]) -> list[Attack]:
    return [attack for module in modules for attack in module.ATTACKS]


def render() -> str:
    parts = []
    for title, modules, outcome in _MODULES:
        about = (modules[0].__doc__ or "").split("\n\n", maxsplit=1)[0].split(": ", 1)[1].replace("\n", " ")
        parts += [f"### {title}", about[0].upper() + about[1:], _table(_of(modules), outcome)]
    limits: dict[str, list[str]] = {}
    for attack in attacks():
        if attack.limit:
            limits.setdefault(attack.limit, []).append(attack.name)
    if limits:
        parts += ["### What is not stopped", *(f"**{', '.join(names)}.** {why}" for why, names in limits.items())]
    return "\n\n".join((_BEGIN, *parts, _END))


def _table(listed: list[Attack], outcome: str) -> str:
    lines = ["| Attack | Tried | Outcome | Stopped by |", "| --- | --- | --- | --- |"]
    for attack in listed:
        ends = outcome
        if attack.limit:
            ends = f"{outcome}; **succeeds** {attack.limit_place}" if attack.limit_place else "**succeeds**"
            ends += ", see below"
        cells = (attack.name, attack.tried, ends, attack.stopped_by)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its table made anew."""
    before, _begin, rest = text.partition(_BEGIN)
    _old, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{PAGE} lacks the marks between which the table stands")
    return before + render() + after


def main(words: list[str]) -> int:
    roots = [word for word in words if word != "--check"]
    if len(roots) != 1:
        sys.stderr.write("usage: table ROOT [--check]\n")
        return 2
    path = Path(roots[0], PAGE)
    text = path.read_text(encoding="utf-8")
    if page(text) == text:
        return 0
    if "--check" in words:
        sys.stdout.write(f"{PAGE}: is not what tests/isolation makes; run ./dev docs\n")
        return 1
    path.write_text(page(text), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
