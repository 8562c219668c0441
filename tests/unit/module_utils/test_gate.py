# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gate hears of a program that is the container's: neither its silence nor its talk may last for ever."""

from __future__ import annotations

import subprocess
import time

import pytest
from ansible_collections.carve.vps.plugins.module_utils import gate


def heard(script: str, seconds: float) -> tuple[int | None, bytes]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return gate._hear(process, time.monotonic() + seconds)
    finally:
        process.kill()
        process.wait()


def test_an_answer() -> None:
    assert heard("echo well; exit 3", 10) == (3, b"well\n")


def test_what_is_left_behind_may_hold_the_pipe() -> None:
    status, said = heard("(sleep 20 &) ; echo well", 10)
    assert (status, said) == (0, b"well\n")


@pytest.mark.parametrize("script", ["sleep 20", "exec 1>&- 2>&-; sleep 20", "yes"])
def test_one_that_does_not_end_has_no_status_and_little_to_say(script: str) -> None:
    status, said = heard(script, 1)
    assert status is None and len(said) <= 1 << 16
