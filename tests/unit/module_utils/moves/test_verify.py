# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a container that was made anew answers as it did where it came from."""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.plugins.module_utils.moves import verify
from ansible_collections.carve.vps.plugins.module_utils.moves.remote import MoveError

from unit.module_utils.facets import boxes


def _hear(monkeypatch: pytest.MonkeyPatch, *looks: set[str]) -> list[set[str]]:
    left = list(looks)
    monkeypatch.setattr(verify, "answering", lambda _box: left.pop(0))
    return left


def test_it_may_take_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    left = _hear(monkeypatch, {"192.0.2.1"}, set(), {"2001:db8::1", "192.0.2.9"}, set())
    verify.answers(boxes.box({"id": 20}), ["192.0.2.1", "2001:db8::1"])
    assert len(left) == 1, "it was asked on when everything had been heard"


def test_one_that_stays_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _hear(monkeypatch, *[{"192.0.2.1"}] * 5)
    with pytest.raises(MoveError, match=r"runs here, but does not answer for 2001:db8::1$"):
        verify.answers(boxes.box({"id": 20}), ["192.0.2.1", "2001:db8::1"])


def test_who_has_not_answered_before_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    _hear(monkeypatch)
    verify.answers(boxes.box({"id": 20}), [])
