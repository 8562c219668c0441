# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The field table reads what is declared, and says what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import kinds, model
from ansible_collections.carve.vps.plugins.module_utils.model import Problem
from hypothesis import given
from hypothesis import strategies as st

TABLES = {
    "container": model.CONTAINER,
    "interface": model.INTERFACE,
    "network": model.NETWORK,
    "resolved": model.RESOLVED_INTERFACE,
    "build": model.BUILD,
    "template": model.TEMPLATE,
    "mount": model.MOUNT,
    "device": model.DEVICE,
    "card": model.CARD,
}
DEFAULTS = {
    "state": "running", "template_policy": "warn", "protect": False, "autostart": True, "start_order": 100,
    "start_delay": 0, "stop_timeout": 60,
}  # fmt: skip
by_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=5,
)


@by_table
def test_rows_are_named_once_and_make_sense(table: tuple[kinds.Field, ...]) -> None:
    assert len({field.name for field in table}) == len(table)
    for field in table:
        assert field.reach in model.REACHES
        assert field.kind in kinds.KINDS
        assert bool(field.choices) == (field.kind in ("choice", "features"))
        if field.default is not None:
            assert kinds.KINDS[field.kind].parse(field.default, field) == field.default


@by_table
@given(data=st.data())
def test_whatever_is_written_is_read_or_refused(table: tuple[kinds.Field, ...], data: st.DataObject) -> None:
    raw = data.draw(st.dictionaries(st.sampled_from([field.name for field in table]) | st.text(max_size=5), junk))
    found, problems = model.canonical(table, raw, ("here",))
    assert all(problem.path[0] == "here" and problem.message for problem in problems)
    assert set(found) <= {field.name for field in table}


@by_table
@given(data=st.data())
def test_canonical_values_are_their_own_canonical_form(table: tuple[kinds.Field, ...], data: st.DataObject) -> None:
    raw = data.draw(st.fixed_dictionaries({}, optional={f.name: junk | st.just(f.example) for f in table}))
    found, _problems = model.canonical(table, raw)
    again, _problems = model.canonical(table, found)
    assert {name: again[name] for name in found} == found


def test_nothing_declared_is_the_defaults() -> None:
    assert model.canonical(model.CONTAINER, {}) == (DEFAULTS, [])


def test_an_option_without_a_value_is_not_declared() -> None:
    assert model.canonical(model.CONTAINER, {"ram": None, "autostart": None}) == (DEFAULTS, [])


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("ram", "512M", 512 << 20),
        ("cpus", "1.50", 1.5),
        ("cpu_set", "3,0-1", "0-1,3"),
        ("processes", "400", 400),
        ("protect", "yes", True),
        ("nameservers", "2001:DB8:0::53", ["2001:db8::53"]),
        ("nameservers", ["192.0.2.53", "::1"], ["192.0.2.53", "::1"]),
        ("search_domains", "example.net", ["example.net"]),
        ("hosts", {"b": "::0:1", "a": "10.0.0.1"}, {"a": "10.0.0.1", "b": "::1"}),
        ("hosts", {1: "10.0.0.1", "a": "10.0.0.2"}, {"1": "10.0.0.1", "a": "10.0.0.2"}),
        ("ssh_keys", [" ssh-ed25519 AAAA me "], ["ssh-ed25519 AAAA me"]),
        ("ssh_keys", [], []),
    ],
)
def test_values(name: str, value: Any, canonical: Any) -> None:
    found, problems = model.canonical(model.CONTAINER, {name: value})
    assert (found[name], problems) == (canonical, [])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("swap", "1K", "'1K' is less than a page of memory (4K), and would be none; write 0, or 4K or more"),
        ("ram", "1M", "'1M' is less than 4M, the least that can be given; write a size with its unit such as 512M"),
        ("state", "on", "'on' is not known here; write one of running, stopped, suspended, absent, keep"),
        ("rma", "1G", "unknown option; did you mean ram?"),
        ("processes", 2, "2 is out of range; write a whole number from 8 to 4194304"),
        ("nameservers", ["10.0.0.1", "10.0.0.1"], "'10.0.0.1' is listed twice; write it once"),
        ("hosts", ["a"], "is not a map; write names with an address each, such as db.internal: 10.20.0.5"),
        ("ssh_keys", ["a\nb"], "'a\\nb' is not one line of text; write a string without control characters"),
    ],
)
def test_problems(name: str, value: Any, message: str) -> None:
    found, problems = model.canonical(model.CONTAINER, {name: value}, ("containers", "web"))
    assert problems == [Problem(("containers", "web", name), message)]
    assert found == {option: default for option, default in DEFAULTS.items() if option != name}
    assert str(problems[0]) == f"containers.web.{name}: {message}"


def test_what_is_required_is_missed() -> None:
    assert model.canonical(model.INTERFACE, {}) == (
        {"trusted": False},
        [Problem(("on",), "is missing; write on: public")],
    )
    assert model.canonical(model.NETWORK, {"subnet": "10.0.0.0/8"})[1] == [
        Problem(("mode",), "is missing; write mode: bridged or routed")
    ]


@pytest.mark.parametrize("value", ["{{ ram }}", "{% if x %}1G{% endif %}"])
def test_expressions_are_left_to_their_task(value: str) -> None:
    found, problems = model.canonical(model.CONTAINER, {"ram": value, "ssh_keys": [value], "hosts": {value: "::1"}})
    assert (found, problems) == (DEFAULTS, [])
    # Options with rows of their own are read one by one.
    assert model.canonical(model.TEMPLATE, {"build": {"suite": value}})[0] == {"build": {"suite": value}}


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("ram", 1536 << 20, "1.5G"),
        ("cpus", 1.5, "1.5"),
        ("protect", True, "true"),
        ("nameservers", ["10.0.0.1", "::1"], "10.0.0.1, ::1"),
        ("nameservers", [], "none"),
        ("hosts", {"b": "::1", "a": "::2"}, "a=::2, b=::1"),
        ("network.eth0.ip", ["10.0.0.1/24"], "10.0.0.1/24"),
        ("network.eth0.mtu", 1400, "1400"),
        ("swap", 0, "0"),
        ("swap", None, None),
        ("config", "a = b", "a = b"),
    ],
)
def test_values_are_shown_as_they_are_written(path: str, value: Any, text: str | None) -> None:
    assert model.show(path, value) == text


@pytest.mark.parametrize("path", ["rum", "network.eth0.rum", ""])
def test_no_row(path: str) -> None:
    with pytest.raises(KeyError):
        model.row(path)
