# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab keeps its things, and what is the same for all of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / ".cache" / "lab"
IMAGES = ROOT / "images"
MACHINES = ROOT / "machines"
KEY = ROOT / "key"


class LabError(Exception):
    """What went wrong, in words for the person who runs the lab."""


def key() -> Path:
    """The lab's own SSH key, made once."""
    if not KEY.exists():
        ROOT.mkdir(parents=True, exist_ok=True)
        # Made aside: of two that make it at once, the later wins whole.
        aside = ROOT / f"key.{os.getpid()}"
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "carve-lab", "-f", str(aside))
        aside.with_suffix(aside.suffix + ".pub").replace(KEY.with_suffix(".pub"))
        aside.replace(KEY)
    return KEY


def output(*command: str, **options: object) -> str:
    """The output of a program; its own words are the error where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise LabError(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout}{done.stderr}".rstrip())
    return str(done.stdout)
