# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that are measured, each behind the same door (`base.Contender`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from contenders import carve, incus, lxc_container
from contenders.base import Bench, Contender

# In the order in which they run: what Carve's bootstrap does to the kernel's limits then serves the others too.
FAMILIES: dict[str, Callable[[Bench], AbstractContextManager[list[Contender]]]] = {
    "carve": carve.contest,
    "lxc_container": lxc_container.contest,
    "incus": incus.contest,
}
