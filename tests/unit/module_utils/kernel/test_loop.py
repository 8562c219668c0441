# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images as the programs that make them leave them: their filesystem, and the sectors that it asks for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import images
from ansible_collections.carve.vps.plugins.module_utils.kernel import loop
from ansible_collections.carve.vps.plugins.module_utils.paths import SEARCH


def made(command: list[str], image: Path) -> str:
    program = shutil.which(command[0], path=SEARCH)
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    with image.open("wb") as handle:
        handle.truncate(320 << 20)
    subprocess.run([program, *command[1:], str(image)], check=True, capture_output=True)
    return str(image)


@pytest.mark.parametrize("kind", [images.XFS, images.EXT4])
def test_what_carve_makes_fits_on_disks_with_large_sectors(kind: str, tmp_path: Path) -> None:
    image = made(images.command(kind, None), tmp_path / "image")
    assert loop.kind_of(image) == kind
    assert loop.sector(Path(image).read_bytes()[:2048]) == 4096


def test_an_xfs_for_small_sectors_is_known(tmp_path: Path) -> None:
    image = made(["mkfs.xfs", "-q", "-s", "size=512"], tmp_path / "image")
    assert loop.sector(Path(image).read_bytes()[:2048]) == 512
