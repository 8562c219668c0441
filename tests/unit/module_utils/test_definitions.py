# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The version of a template follows from its definition, and from what it starts from."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import definitions
from hypothesis import given
from hypothesis import strategies as st

SHA = "0123456789abcdef" * 4
FAMILY: dict[str, Any] = {
    "debian": {"build": {"suite": "trixie", "packages": ["openssh-server"]}},
    "web": {"from": "debian", "packages": ["nginx-light"], "commands": ["true"]},
    "shop": {"from": "web"},
    "archive": {"archive": "/srv/root.tar", "sha256": SHA},
}


def digests(raw: dict[str, Any]) -> dict[str, str]:
    templates, problems = definitions.parse(raw)
    assert not problems
    return {name: template.digest for name, template in templates.items()}


def test_each_has_its_own_version_and_parent() -> None:
    templates, problems = definitions.parse(FAMILY)
    assert not problems
    assert {name: t.parent for name, t in templates.items()} == {
        "debian": None, "web": "debian", "shop": "web", "archive": None,
    }  # fmt: skip
    assert len({t.digest for t in templates.values()}) == 4
    assert all(len(t.digest) == 12 and int(t.digest, 16) >= 0 for t in templates.values())


@given(st.permutations(sorted(FAMILY)))
def test_the_order_of_declaration_means_nothing(order: list[str]) -> None:
    assert digests({name: dict(reversed(FAMILY[name].items())) for name in order}) == digests(FAMILY)


@pytest.mark.parametrize(
    ("name", "definition", "changed"),
    [
        ("debian", {"build": {"suite": "bookworm", "packages": ["openssh-server"]}}, {"debian", "web", "shop"}),
        ("debian", {"build": {"suite": "trixie"}}, {"debian", "web", "shop"}),
        ("web", {"from": "debian", "packages": ["nginx-light"]}, {"web", "shop"}),
        ("web", {"from": "archive", "packages": ["nginx-light"], "commands": ["true"]}, {"web", "shop"}),
        ("shop", {"from": "web", "commands": ["true"]}, {"shop"}),
        ("archive", {"archive": "/srv/root.tar", "sha256": SHA[::-1]}, {"archive"}),
        ("other", {"from": "shop"}, {"other"}),
    ],
)
def test_a_change_is_a_new_version_of_all_that_start_from_it(name: str, definition: Any, changed: set[str]) -> None:
    before, after = digests(FAMILY), digests({**FAMILY, name: definition})
    assert {n for n in after if after[n] != before.get(n)} == changed


def test_one_line_and_a_list_of_one_are_the_same_version() -> None:
    assert digests({"a": {"build": {"suite": "x"}, "packages": "vim"}}) == digests(
        {"a": {"build": {"suite": " x"}, "packages": ["vim"]}}
    )


@pytest.mark.parametrize(
    ("raw", "where", "message"),
    [
        ({"a": {"from": "a"}}, "templates.a.from", "starts from itself by way of 'a'; write another one"),
        ({"a": {"from": "nowhere"}}, "templates.a.from", "there is no template 'nowhere'; write one of a"),
        (
            {"a": {"from": "b"}, 1: FAMILY["debian"]},
            "templates.a.from",
            "there is no template 'b'; write one of 1, a",
        ),
        ({"a": {}}, "templates.a", "has none of them; write exactly one of build:, archive: (with sha256:) or from:"),
        (
            {"a": {"from": "b", "build": {"suite": "x"}}, "b": FAMILY["debian"]},
            "templates.a",
            "has build and from; write exactly one of build:, archive: (with sha256:) or from:",
        ),
        ({"a": {"build": {}}}, "templates.a.build.suite", "is missing; write suite: trixie"),
        ({"a": {"build": []}}, "templates.a.build.suite", "is missing; write suite: trixie"),
        (
            {"a": {"archive": "/x", "sha256": "beef"}},
            "templates.a.sha256",
            "is not the archive's digest; write what sha256sum prints for it",
        ),
        (
            {"a": {"archive": "/x"}},
            "templates.a.sha256",
            "is not the archive's digest; write what sha256sum prints for it",
        ),
        (
            {"a": {"archive": "x.tar", "sha256": SHA}},
            "templates.a.archive",
            "'x.tar' is no path and no URL; write one such as /srv/root.tar.xz",
        ),
        ({"a": {"build": {"suite": "x"}, "sha256": SHA}}, "templates.a.sha256", "belongs to archive: only; delete it"),
        ({"a": "debian"}, "templates.a", "is not a map; write build:, archive: or from: below it"),
        (
            {"A": {"build": {"suite": "x"}}},
            "templates.A",
            "'A' is not a DNS label; write lower-case letters, digits and dashes, such as 'a'",
        ),
    ],
)
def test_bad_definitions(raw: dict[str, Any], where: str, message: str) -> None:
    templates, problems = definitions.parse(raw)
    assert [str(problem) for problem in problems] == [f"{where}: {message}"]
    assert "a" not in templates


def test_a_circle_is_told_of_each_in_it() -> None:
    templates, problems = definitions.parse(
        {"a": {"from": "b"}, "b": {"from": "c"}, "c": {"from": "a"}, "d": {"from": "a"}}
    )
    assert templates == {}
    assert {problem.path for problem in problems} == {("templates", name, "from") for name in "abcd"}


def test_one_bad_template_is_told_of_once_and_spoils_what_starts_from_it() -> None:
    templates, problems = definitions.parse({"bad": {}, "child": {"from": "bad"}, "good": FAMILY["debian"]})
    assert set(templates) == {"good"}
    assert [problem.path for problem in problems] == [("templates", "bad")]


parts = (
    st.none()
    | st.sampled_from(["a", "b", "1", "/x", SHA, "{{ x }}", ""])
    | st.integers(0, 2)
    | st.lists(st.text(max_size=2))
)
bodies = parts | st.dictionaries(
    st.sampled_from(["build", "archive", "sha256", "from", "packages", "commands", "x"]),
    parts | st.dictionaries(st.sampled_from(["suite", "packages"]) | st.integers(), parts, max_size=2),
    max_size=4,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "A"]) | st.integers(0, 2), bodies, max_size=4))
def test_whatever_is_written_is_read_or_refused(raw: dict[Any, Any]) -> None:
    templates, problems = definitions.parse(raw)
    assert set(templates) <= {str(name) for name in raw}
    assert all(template.parent is None or template.parent in templates for template in templates.values())
    assert all(str(problem) for problem in problems)
