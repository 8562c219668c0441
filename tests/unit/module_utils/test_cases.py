# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option has a test of the one shape, or a reason why it has another one: a new row fails until it has either."""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.plugins.module_utils import model
from ansible_collections.carve.vps.tests.unit.module_utils import cases

_NO_QUOTA = "needs quota, which the machines that run the integration tests need not have; the lab's nodes have it"
# What no case is about: why, and the test that is about it.
OTHERWISE: dict[str, tuple[str, str]] = {
    "state": (
        "it is what the shape itself moves",
        "integration/test_lifecycle.py::test_create_stop_keep_and_absent",
    ),
    "template": (
        "a change takes a rebuild, after which the container is not the same one",
        "integration/test_templates.py::test_versions_stand_side_by_side_and_a_change_replaces_nothing_by_itself",
    ),
    "template_policy": (
        "it shows only when a template changes",
        "integration/test_templates.py::test_versions_stand_side_by_side_and_a_change_replaces_nothing_by_itself",
    ),
    "protect": (
        "it shows only when a container is to go",
        "integration/test_lifecycle.py::test_what_is_no_longer_declared_goes_only_by_leave",
    ),
    "id": (
        "a container keeps the first, whatever is declared then",
        "integration/test_options_boot.py::test_a_range_of_ids_is_given_once",
    ),
    "disk": (
        "without quota it only grows, and what grew by hand is not taken back; it is never undone",
        "integration/test_options_disk.py::test_a_filesystem_of_its_own_through_a_life",
    ),
    "inodes": (
        "without quota they are given with the filesystem, and never changed",
        "integration/test_options_disk.py::test_inodes_and_little_space",
    ),
    "disk_users": (_NO_QUOTA, "lab/test_disk.py::test_users_and_groups_through_all_that_can_happen"),
    "disk_groups": (_NO_QUOTA, "lab/test_disk.py::test_users_and_groups_through_all_that_can_happen"),
    "snapshots.memory": (
        "it shows only where memory can be kept, which takes CRIU and version 2 of control groups: the lab's nodes",
        "live/test_live.py::test_a_snapshot_brings_its_memory_back",
    ),
    "features.ppp": (
        "the kernels of the machines that run the integration tests need not have a driver for it",
        "integration/test_options_host.py::test_what_the_node_has_not_is_refused",
    ),
}
# What nobody can change by hand behind Carve's back.
NOT_SPOILT = {
    "drop_capabilities": "nobody gives a process back what is out of its bounding set (capabilities(7))",
    "snapshots": "schedules stand in the record and nowhere else",
    "stop_timeout": "it stands in the record and nowhere else",
}
FOUND = cases.in_files()
# Rows below an option's own keys.
BELOW = {field.name: field.rows for field in model.CONTAINER if field.rows}


def wanted() -> dict[str, tuple[str, str]]:
    """Everything that an option can be, and what a case of it is like: its option as the case has it, and a word."""
    rows = {field.name: (field.name, "") for field in model.CONTAINER if not field.spelling}
    # Another word for an option is a word in a case of that option.
    rows |= {field.name: (field.spelling[0], field.name) for field in model.CONTAINER if field.spelling}
    rows |= {f"{name}.{row.name}": (name, row.name) for name, below in BELOW.items() for row in below}
    rows |= {f"features.{one}": ("features", one) for field in model.CONTAINER for one in field.choices
             if field.name == "features"}  # fmt: skip
    rows["network"] = ("network.*", "")
    rows |= {f"network.{row.name}": (f"network.*.{row.name}", "") for row in model.INTERFACE}
    rows |= {f"networks.{row.name}": (f"networks.*.{row.name}", "") for row in model.NETWORK}
    return rows


def of(option: str, word: str, found: list[cases.Found]) -> list[cases.Found]:
    return [case for case in found if _fits(case.option, option) and (not word or word in case.words)]


def _fits(path: str, pattern: str) -> bool:
    parts, wanted_parts = path.split("."), pattern.split(".")
    return len(parts) >= len(wanted_parts) and all(w in ("*", p) for p, w in zip(parts, wanted_parts, strict=False))


@pytest.mark.parametrize("name", wanted())
def test_every_option_has_a_case_or_a_reason(name: str) -> None:
    found = of(*wanted()[name], FOUND)
    assert bool(found) != (name in OTHERWISE), f"write a case of {name}, or why there is none, and not both"


@pytest.mark.parametrize("name", wanted())
def test_every_option_is_spoilt_by_hand_where_somebody_can(name: str) -> None:
    option, word = wanted()[name]
    if name not in OTHERWISE and not word:
        assert any(case.spoilt for case in of(option, word, FOUND)) != (name in NOT_SPOILT), name


@pytest.mark.parametrize(("name", "why", "test"), [(name, *rest) for name, rest in OTHERWISE.items()])
def test_reasons_name_tests_that_there_are(name: str, why: str, test: str) -> None:
    file, _sep, function = test.partition("::")
    assert name in wanted() and why
    assert function in cases.functions(cases.TESTS / file), test


def test_cases_are_of_options_that_there_are() -> None:
    rows = {option for option, _word in wanted().values()}
    assert {case.option for case in FOUND if not any(_fits(case.option, row) for row in rows)} == set()
    assert set(NOT_SPOILT) <= rows


WRITTEN = """
def test_one(fleet):
    prove(fleet, "t", [Case("ram", {"ram": 1}, {"ram": 2}, read, 1, 2, None), Case("cpus", {"cpulimit": 1}, few(cpus=2),
                       *of("x"))])

def test_two(fleet):
    Case("swap", {}, {}, read, 1, 2, spoil)

def helper(fleet):
    prove(fleet, "t", [Case("processes", {}, {}, read, 1, 2, spoil)])
"""


def test_a_case_counts_only_where_a_test_proves_it() -> None:
    found = cases.in_text(WRITTEN, "test_x.py")
    assert [(case.test, case.option, case.spoilt) for case in found] == [
        ("test_x.py::test_one", "ram", False),
        ("test_x.py::test_one", "cpus", True),
    ]
    assert of("cpus", "cpulimit", found) and of("cpus", "cpus", found) and not of("swap", "", found)
    with pytest.raises(ValueError, match="to be read where the case is written"):
        cases.in_text('def test_x(fleet): prove(fleet, "t", [Case(name, {}, {}, read, 1, 2, None)])')
