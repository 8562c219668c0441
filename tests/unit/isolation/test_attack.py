# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shape of an attack: what counts as stopped, and what as not made at all; and the page that tells of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.carve.vps.tests.isolation import table
from ansible_collections.carve.vps.tests.isolation.attack import (
    BEGUN,
    ENDED,
    HELD,
    Attack,
    Report,
    not_made,
    parse,
    program,
    succeeded,
)

ROOT = Path(__file__).parents[3]
ATTACK = Attack(name="a", tried="b", stopped_by="c", code="pass")
DEADLY = Attack(name="a", tried="b", stopped_by="c", code="pass", may_die=True)


def _said(attempts: str) -> Report:
    return parse(f'{BEGUN}\nnoise\n\n{ENDED}{{"attempts": {attempts}, "told": {{}}}}\nmore noise')


def test_the_page_is_what_the_suite_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main([str(ROOT), "--check"]) == 0, capsys.readouterr().out


def test_the_page_names_every_attack_once() -> None:
    text = (ROOT / table.PAGE).read_text(encoding="utf-8")
    names = [attack.name for attack in table.attacks()]
    assert len(set(names)) == len(names) > 50
    for name in names:
        assert text.count(f"\n| {name} | ") == 1


def test_what_the_page_says_of_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Attack(name="the moon", tried="x", stopped_by="nothing", code="pass", limit="It is far.")
    monkeypatch.setattr(table.test_fault, "ATTACKS", [limit])
    assert "| the moon | x | **succeeds**, see below | nothing |" in table.render()
    assert "**the moon.** It is far." in table.render()


@pytest.mark.parametrize("attack", table.attacks(), ids=lambda attack: attack.name)
def test_programs_compile(attack: Attack) -> None:
    ast.parse(program(attack))
    assert (HELD in program(attack)) == bool(attack.probe)


def test_a_refusal_is_a_refusal() -> None:
    report = _said('{"x": "EPERM", "y": "EACCES"}')
    assert not_made(ATTACK, report) is None
    assert succeeded(ATTACK, report, None) is None


def test_what_is_not_refused_has_succeeded() -> None:
    report = _said('{"x": "EPERM", "y": "done"}')
    assert not_made(ATTACK, report) is None
    assert succeeded(ATTACK, report, None) == "not refused: y"
    assert succeeded(ATTACK, report, "harm") == "harm; not refused: y"


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (parse("bash: python3: command not found"), "did not run"),
        (parse(f"{BEGUN}\nTraceback (most recent call last):"), "broke off"),
        (parse(BEGUN), "broke off"),
        (_said("{}"), "tried nothing"),
        (_said('{"x": "ENOSYS"}'), "failed in another way: {'x': 'ENOSYS'}"),
    ],
)
def test_what_was_not_made_does_not_count(report: Report, why: str) -> None:
    assert why in (not_made(ATTACK, report) or "")


def test_only_some_may_die() -> None:
    assert not_made(DEADLY, parse(BEGUN)) is None
    assert "broke off" in (not_made(DEADLY, parse(f"{BEGUN}\nTraceback")) or "")
    assert "did not run" in (not_made(DEADLY, parse("")) or "")
