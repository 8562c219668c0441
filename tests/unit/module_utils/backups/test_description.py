# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backup says of itself, and what becomes of its record."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from ansible_collections.carve.vps.plugins.module_utils.backups import description
from ansible_collections.carve.vps.plugins.module_utils.backups.description import BackupError
from ansible_collections.carve.vps.plugins.module_utils.record import Record

FIELDS = {"id": 4242, "template": "base", "state": "running", "hostname": "db", "ram": 1 << 28,
          "network.eth0.ip": ["10.0.0.5/24"], "network.eth0.bridge": "br0"}  # fmt: skip
RECORD = Record("acme", "db", "1a2b", "overlay", FIELDS, build="c0ffee")
ABOUT = {"taken": "2026-11-22T12:00:00Z", "frozen_s": 0.01, "bytes": 10, "files": 2}
CONTENT = description.describe(RECORD, "b1", ABOUT, {}, {"name": "base", "digest": "1a2b", "build": "c0ffee"})


def test_it_is_read_as_it_was_written() -> None:
    found = description.opened(description.sealed(CONTENT), "here")
    assert found == CONTENT and found["record"] == asdict(RECORD)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"sha256": "00"}', '"x"'])
def test_what_is_no_description_is_said_to_be_damaged(text: str) -> None:
    with pytest.raises(BackupError, match=r"^here is damaged"):
        description.opened(text, "here")


def test_one_changed_letter_shows() -> None:
    text = description.sealed(CONTENT).replace("10.0.0.5", "10.0.0.6")
    with pytest.raises(BackupError, match="here is damaged: it is not as it was written"):
        description.opened(text, "here")


def test_what_another_version_has_made_is_not_guessed_at() -> None:
    with pytest.raises(BackupError, match="another version of Carve"):
        description.opened(description.sealed({**CONTENT, "version": 2}), "here")


def test_what_carve_has_written_is_plain() -> None:
    description.require_plain(json.loads(description.sealed(CONTENT)), "here")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("template", "name"), "../../etc"),
        (("template", "digest"), "../1a"),
        (("template", "build"), "c0/ff"),
        (("record", "digest"), "x" * 4),
        (("record", "name"), "Db"),
        (("record", "fields", "template"), "../base"),
        (("record", "fields", "hostname"), "db\nlxc.hook.pre-start = /bin/true"),
        (("record", "fields", "network.eth0.ip"), ["10.0.0.5/24\r"]),
    ],
)
def test_what_is_not_is_refused_however_whole_it_is(place: tuple[str, ...], value: object) -> None:
    content = json.loads(description.sealed(CONTENT))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(BackupError, match=r"^here "):
        description.require_plain(description.opened(description.sealed(content), "here"), "here")


def test_under_its_own_name_it_is_the_same_container() -> None:
    made = description.record_for(json.loads(description.sealed(CONTENT)), "db", 77)
    assert (made.uuid, made.digest, made.build, made.slot) == (RECORD.uuid, "1a2b", "c0ffee", 77)
    assert made.fields == {**FIELDS, "id": 77, "state": "stopped"}


def test_under_another_name_it_is_another_container() -> None:
    """Two of them can run on one node: no address, no host name, no identity is on both."""
    made = description.record_for(CONTENT, "db-2", 77)
    assert made.uuid != RECORD.uuid and made.name == "db-2"
    assert made.fields == {"id": 77, "template": "base", "state": "stopped", "hostname": "db-2", "ram": 1 << 28}


def test_a_host_name_that_was_given_stays() -> None:
    content = {**CONTENT, "record": {**asdict(RECORD), "fields": {**FIELDS, "hostname": "www.example.net"}}}
    assert description.record_for(content, "db-2", 77).fields["hostname"] == "www.example.net"
