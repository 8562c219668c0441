# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specifications come from the field table."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils import argspec, desired, model


def test_every_option_of_a_container_is_an_argument() -> None:
    spec = argspec.container_spec()
    assert list(spec) == [field.name for field in model.CONTAINER]
    assert spec["state"] == {
        "type": "str",
        "default": "running",
        "choices": ["running", "stopped", "suspended", "absent", "keep"],
    }
    assert spec["ram"] == {"type": "str"}
    assert spec["nameservers"] == {"type": "list", "elements": "str"}
    assert spec["cpus"] == {"type": "float"}


def test_a_required_row_is_a_required_argument() -> None:
    assert argspec.option(model.INTERFACE[0]) == {"type": "str", "required": True}


def test_a_spec_that_is_changed_changes_no_other() -> None:
    argspec.container_spec()["state"]["choices"].append("x")
    assert "x" not in argspec.container_spec()["state"]["choices"]


def test_one_container_is_a_node_that_nothing_is_pruned_from() -> None:
    params = {
        **{name: spec.get("default") for name, spec in argspec.container_spec().items()},
        "name": "web-1", "fleet": "acme", "template": "debian-13", "cpus": 1.5,
        "templates": {"debian-13": {"build": {"suite": "trixie"}}}, "networks": {}, "allow": [], "secrets": [],
    }  # fmt: skip
    node = argspec.one_container(params)
    assert node["prune"] is False
    assert node["containers"] == {
        "web-1": {"state": "running", "template": "debian-13", "template_policy": "warn", "protect": False,
                  "cpus": 1.5, "autostart": True, "start_order": 100, "start_delay": 0, "stop_timeout": 60},
    }  # fmt: skip
    assert "name" not in node and "template" not in node
    wanted, problems = desired.build(node)
    assert problems == []
    assert wanted.containers["web-1"]["cpus"] == 1.5
