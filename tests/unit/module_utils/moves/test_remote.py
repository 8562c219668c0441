# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rsync 3.5.0 said, and whether a container that runs can have been the cause."""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.plugins.module_utils.moves.remote import only_of_changes

_END = (
    "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]"
)


@pytest.mark.parametrize(
    "line",
    [
        'rsync: [sender] read errors mapping "/proc/7/fd/9/big": No data available (61)',
        'rsync: [sender] send_files failed to open "/proc/7/fd/9/dir/f": Too many levels of symbolic links (40)',
        'file has vanished: "/proc/7/fd/9/dir/f"',
        "ERROR: big failed verification -- update discarded.",
        "",
    ],
)
def test_files_that_changed_meanwhile(line: str) -> None:
    assert only_of_changes([line, _END])


@pytest.mark.parametrize(
    "line",
    [
        'rsync: [receiver] mkstemp "/var/lib/carve/incoming/.f.x" failed: No space left on device (28)',
        'rsync: [generator] recv_generator: mkdir "/x" failed: No space left on device (28)',
        "Connection to 192.0.2.1 closed by remote host.",
    ],
)
def test_what_only_the_other_side_or_the_line_can_say(line: str) -> None:
    assert not only_of_changes(['rsync: [sender] read errors mapping "/f": No data available (61)', line, _END])
