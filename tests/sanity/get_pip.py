# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the pip bootstrap script that ansible-test would download: installs the pip that Python has."""

from __future__ import annotations

import subprocess
import sys

# Meant for the script that this one replaces.
ITS_OWN = ("--no-setuptools", "--no-wheel")

if __name__ == "__main__":
    subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
    subprocess.check_call(
        [sys.executable, "-m", "pip", "install", "--quiet", *(a for a in sys.argv[1:] if a not in ITS_OWN)]
    )
