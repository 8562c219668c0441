# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facets together, held against the field table."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils import facets, hook, model
from ansible_collections.carve.vps.plugins.module_utils.facets.base import Facet


def test_every_option_is_honoured_by_a_facet_that_looks_at_it() -> None:
    """What the kernel or the root filesystem can tell is looked at; the rest is the record's alone."""
    rows = {row for facet in facets.ALL for row in (*facet.live_rows, *facet.file_rows)}
    for field in model.CONTAINER:
        if field.facet not in ("power", "policy", "rootfs", "users", "snapshots", "boot", "network"):
            looked_at = {*facets.BY_NAME[field.facet].live_rows, *facets.BY_NAME[field.facet].file_rows}
            assert looked_at >= set(model.meanings(field))
    inner = {f"network.{field.name}" for field in model.RESOLVED_INTERFACE}
    assert {row for row in rows if row.startswith("network.")} == inner - {"network.mode"}
    assert rows <= {field.name for field in model.CONTAINER} | inner


def test_the_hook_calls_every_facet_that_has_something_to_do_at_a_start() -> None:
    """It loads none of them to find out, but goes by what the record mentions."""
    for facet in facets.ALL:
        if facet.late or type(facet).at_start is not Facet.at_start:
            assert any(text in f'"{row}"' for row in facet.live_rows for text in hook.LATE), facet.name
