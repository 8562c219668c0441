# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of the property-based tests: no deadlines, for machines are shared; what failed once is tried again."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

FAILED_ONCE = DirectoryBasedExampleDatabase(".cache/hypothesis")

settings.register_profile("carve", max_examples=60, deadline=None, database=FAILED_ONCE)
settings.load_profile("carve")
