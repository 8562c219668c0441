# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The quick yes or no is jsonschema's yes or no."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import schema, shape
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from unit.plugin_utils.test_manifest_properties import GOOD, keys, places, quick, values

RULES = schema.manifest_schema()
FITS = shape.compiled(RULES)
SLOW = Draft202012Validator(RULES)


def as_text(value: Any) -> Any:
    """As the loader gives it: names are text."""
    if isinstance(value, dict):
        return {str(key): as_text(item) for key, item in value.items()}
    return [as_text(item) for item in value] if isinstance(value, list) else value


def test_a_good_manifest_fits() -> None:
    assert FITS(GOOD)


@quick
@given(values)
def test_of_anything(value: Any) -> None:
    assert not FITS(as_text(value)) or SLOW.is_valid(as_text(value))


@quick
@given(st.data())
def test_of_a_manifest_with_something_else_in_it(data: st.DataObject) -> None:
    """Where it says no, jsonschema may still find nothing, and that costs only time; but hardly ever."""
    changed = copy.deepcopy(GOOD)
    path = data.draw(st.sampled_from(places(changed)[1:]))
    holder = changed
    for part in path[:-1]:
        holder = holder[part]
    if isinstance(holder, dict) and data.draw(st.booleans()):
        holder[data.draw(keys)] = data.draw(values)
    else:
        holder[path[-1]] = data.draw(values)
    assert FITS(as_text(changed)) == SLOW.is_valid(as_text(changed))


@pytest.mark.parametrize("rules", [{"oneOf": []}, {"$ref": "#/$defs/a", "type": "string"}, {"enum": [1]}])
def test_what_is_not_known_is_not_passed_over(rules: dict[str, Any]) -> None:
    with pytest.raises(shape.Unknown):
        shape.compiled(rules)
