# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form of /proc/user_beancounters."""

from __future__ import annotations

import re

from ansible_collections.carve.vps.plugins.module_utils import beancounters
from hypothesis import given
from hypothesis import strategies as st

LEVELS = {
    "numproc": {"held": 12, "limit": 400},
    "physpages": {"held": 2048, "barrier": beancounters.UNLIMITED, "limit": 131072},
}
TOTALS = {"fail.numproc": 3, "cpu_us": 5}
PEAKS = {"numproc": 40}
# What a monitor of OpenVZ's days goes by, such as munin's.
LINE = re.compile(r"^(?: *(\d+):)? +([a-z]+) +([\d-]+) +([\d-]+) +([\d-]+) +([\d-]+) +([\d-]+)$")


def test_a_row_has_what_is_known_and_nothing_else() -> None:
    rows = beancounters.rows(LEVELS, TOTALS, PEAKS)
    assert list(rows) == list(beancounters.RESOURCES)
    assert len(rows) == 21
    assert rows["numproc"] == {"held": 12, "maxheld": 40, "barrier": None, "limit": 400, "failcnt": 3}
    assert rows["numfile"] == dict.fromkeys(beancounters.COLUMNS)


def test_the_text_is_openvzs() -> None:
    lines = beancounters.as_text(101, beancounters.rows(LEVELS, TOTALS, PEAKS)).splitlines()
    assert lines[0] == "Version: 2.5"
    assert lines[1] == (
        "       uid  resource                     held              maxheld              barrier                limit"
        "              failcnt"
    )
    assert lines[2] == (
        "      101:  kmemsize                        -                    -                    -                    -"
        "                    -"
    )
    assert lines[7] == (
        "            numproc                        12                   40                    -                  400"
        "                    3"
    )
    assert lines[8].split()[3] == "9223372036854775807"
    assert [line.split()[0] for line in lines].count("dummy") == 4
    assert lines[-1].split()[0] == "swappages"


@given(st.integers(1, 99999999), st.dictionaries(st.sampled_from(beancounters.RESOURCES), st.integers(0, 1 << 63)))
def test_every_line_can_be_parsed(uid: int, held: dict[str, int]) -> None:
    rows = beancounters.rows({name: {"held": value} for name, value in held.items()}, {}, {})
    lines = [LINE.match(line) for line in beancounters.as_text(uid, rows).splitlines()[2:]]
    found = {match[2]: match[3] for match in lines if match}
    assert None not in lines and lines[0] and lines[0][1] == str(uid)
    assert {name: value for name, value in found.items() if value not in ("-", "0") or name in held} == {
        name: str(value) for name, value in held.items()
    }
