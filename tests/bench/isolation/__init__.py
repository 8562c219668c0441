# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers get, measured: each measurement is a function of the stage in a file of its own, listed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .disk import bandwidth, operations, shares
from .network import network_rates
from .processors import idle_share, limits, weights
from .stage import Row, Stage

# How far from what is asked for each may be, as a share of it, on a machine that does nothing else. What is not here is
# shown and held to nothing: the scheduler of a disk goes by more than weights.
TOLERANCE: Mapping[str, float] = {
    "weights": 0.1, "limits": 0.05, "bandwidth": 0.1, "operations": 0.1, "network": 0.1
}  # fmt: skip

# By name, in the order of the table.
MEASUREMENTS: Mapping[str, Callable[[Stage], Iterator[Row]]] = {
    "weights": weights,
    "limits": limits,
    "idle": idle_share,
    "bandwidth": bandwidth,
    "operations": operations,
    "shares": shares,
    "network": network_rates,
}
