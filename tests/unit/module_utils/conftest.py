# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of the property-based tests: no deadlines, for machines are shared; what was found failing is kept."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

settings.register_profile("carve", deadline=None, database=DirectoryBasedExampleDatabase(".cache/hypothesis"))
settings.load_profile("carve")
