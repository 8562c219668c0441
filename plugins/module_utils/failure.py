# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module's run says that it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def failure(errors: Sequence[str]) -> dict[str, Any]:
    """The result of a module that failed, all reasons in it; it never raises what went wrong."""
    return {"failed": True, "msg": "\n".join(errors), "errors": list(errors)}
