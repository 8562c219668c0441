# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's argument specifications, made from the field table."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from . import kinds, model
from .kinds import Field


def option(field: Field) -> dict[str, Any]:
    """One row as Ansible wants it. Limits of numbers are not for Ansible to check: the table's own parser does."""
    spec = dict(kinds.KINDS[field.kind].ansible)
    if field.required:
        spec["required"] = True
    if field.default is not None:
        spec["default"] = copy.deepcopy(field.default)
    if field.public:
        spec["no_log"] = False
    # Why a feature cannot be given is more than Ansible would say.
    if field.choices and field.kind != "features":
        spec["choices"] = list(field.choices)
    return spec


def container_spec() -> dict[str, dict[str, Any]]:
    """The options of a container."""
    return {field.name: option(field) for field in model.CONTAINER}


def gate_spec() -> dict[str, Any]:
    """The option ``gate``."""
    return {"type": "dict", "options": {field.name: option(field) for field in model.GATE}}


def one_container(params: Mapping[str, Any]) -> dict[str, Any]:
    """A node's desired state from the options of ``carve.vps.container``: that one container, and no other touched."""
    own = {field.name: params[field.name] for field in model.CONTAINER if params.get(field.name) is not None}
    rest = {name: value for name, value in params.items() if name not in container_spec() and name != "name"}
    return {**rest, "containers": {params["name"]: own}, "prune": False}
