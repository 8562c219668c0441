# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which options the integration tests take through the one shape (``tests/integration/shape.py``), read from their
text: a case counts where a test hands it to ``prove``."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Found:
    """One case: the test it is in, its option, whatever words its two values are written with, and who spoils it."""

    test: str
    option: str
    words: frozenset[str]
    spoilt: bool


def in_files(pattern: str = "integration/test_options_*.py") -> list[Found]:
    return [case for file in sorted(TESTS.glob(pattern)) for case in in_text(file.read_text("utf-8"), str(file))]


def in_text(text: str, file: str = "") -> list[Found]:
    tests = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return [
        _case(call, f"{Path(file).name}::{test.name}")
        for test in tests
        if test.name.startswith("test_") and any(True for _call in _calls(test, "prove"))
        for call in _calls(test, "Case")
    ]


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


def _calls(inside: ast.AST, name: str) -> list[ast.Call]:
    calls = (node for node in ast.walk(inside) if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def _case(call: ast.Call, test: str) -> Found:
    option, first, second, *rest = call.args
    if not isinstance(option, ast.Constant):
        raise ValueError(f"{test}: line {call.lineno}: the option's name is to be read where the case is written")
    # What is read, of both values; then whoever spoils it. What stands behind a star is not ``None``.
    spoiler = None if any(isinstance(argument, ast.Starred) for argument in rest) else rest[3]
    spoilt = not (isinstance(spoiler, ast.Constant) and spoiler.value is None)
    return Found(test, str(option.value), frozenset(_words(first) | _words(second)), spoilt)


def _words(value: ast.AST) -> set[str]:
    """Keys and texts in what a case declares, be it written as a map or as a call that makes one."""
    texts = {str(node.value) for node in ast.walk(value) if isinstance(node, ast.Constant)}
    return texts | {node.arg for node in ast.walk(value) if isinstance(node, ast.keyword) and node.arg}
