# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live moves that go wrong at every stage: one copy runs in the end, from its memory, and the next run cleans up."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.carve.vps.tests.integration.support import wait_for
from ansible_collections.carve.vps.tests.lab.live import NAME, STORE, V6, Live
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.support import CARVE

INCOMING = f"/var/lib/carve/incoming/containers/{NAME}"
# CRIU, but for one of its commands.
_BROKEN = """#!/bin/sh
case "$1" in {command}) echo "Error (sabotage:1): sabotaged" >&2; exit 1 ;; esac
exec /usr/sbin/criu.real "$@"
"""


class _Broken:
    """A machine whose CRIU fails at one of its commands."""

    def __init__(self, machine: Machine, command: str) -> None:
        self._machine, self._command = machine, command

    def __enter__(self) -> None:
        script = shlex.quote(_BROKEN.format(command=self._command))
        self._machine.run(
            f"mv /usr/sbin/criu /usr/sbin/criu.real; printf %s {script} >/usr/sbin/criu; chmod +x /usr/sbin/criu"
        )

    def __exit__(self, *_: object) -> None:
        self._machine.run("mv /usr/sbin/criu.real /usr/sbin/criu")


@pytest.fixture
def whole(live: Live) -> Iterator[Live]:
    """It runs on one node before and after, by the same connection; what a failed move leaves, the next has removed."""
    assert live.where() == [live.at.name]
    yield live
    assert live.where() == [live.at.name]
    live.goes_on()
    assert "No changes" in live.fleet.carve("apply", "--yes").ok().output
    assert live.leftovers() == ""


def _stays(live: Live, *words: str) -> None:
    run = live.try_to_migrate()
    assert run.status == 1, run.output
    for text in (f"{NAME}: stays where it was", *words):
        assert text in run.words(), run.output


def test_an_address_that_is_taken_is_named_before_anything_stops(whole: Live) -> None:
    # The other one of its two: by this one its client would reach itself.
    whole.other().run(f"ip address add {V6}/128 dev lo")
    try:
        _stays(whole, f"its address {V6} is this node's, on lo")
    finally:
        whole.other().run(f"ip address del {V6}/128 dev lo")


def test_a_dump_that_fails(whole: Live) -> None:
    with _Broken(whole.at, "dump"):
        _stays(whole, "CRIU does not checkpoint it")


def test_a_restore_that_fails_at_the_destination(whole: Live) -> None:
    with _Broken(whole.other(), "restore"):
        _stays(whole)


def test_a_destination_that_is_full(whole: Live) -> None:
    """With room for its files, and not for its memory."""
    there = whole.other()
    there.run("cd /var/lib/carve && fallocate -l $(($(df --output=avail -B1 . | tail -n1) - (10 << 20))) fill")
    try:
        _stays(whole, "No space left on device")
    finally:
        there.run("rm /var/lib/carve/fill")


def _begin(live: Live) -> subprocess.Popen[str]:
    there = live.other()
    process = live.fleet.begin(CARVE, "migrate", str(live.fleet.path), "--move", NAME, "--to", there.name,
                               "--method", "live")  # fmt: skip
    wait_for(
        "its memory on the way", lambda: there.run(f"ls {INCOMING}/memory/*.img", check=False).startswith("0"), 300
    )
    return process


def test_the_network_is_cut_while_its_memory_is_sent(whole: Live) -> None:
    """For longer than the source waits: it must not begin again before it knows that nobody else has."""
    process = _begin(whole)
    there = whole.other()
    there.run("nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority -500; }';"
              "nft add rule inet cut in iifname ens6 drop")  # fmt: skip
    try:
        output, _nothing = process.communicate(timeout=400)
    finally:
        there.run("nft delete table inet cut")
    assert process.returncode == 1 and "run the same move again" in " ".join(output.split()), output
    assert whole.where() == []
    whole.migrate()


def test_the_controller_is_killed_while_its_memory_is_sent(whole: Live) -> None:
    process = _begin(whole)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for("an end", lambda: len(whole.where()) == 1, 300)
    (name,) = whole.where()
    if name == whole.at.name:
        whole.migrate()
    else:
        # It has gone on without a controller; the same move finds nothing left to do.
        run = whole.try_to_migrate()
        whole.at = whole.other()
        run.ok()


def test_the_source_is_switched_off_after_the_destination_has_it(whole: Live) -> None:
    if whole.at is whole.two:
        whole.migrate()  # the client is there
    source, there = whole.at, whole.other()
    process = _begin(whole)
    wait_for("it is there", lambda: there.run(f"test -d {STORE}", check=False).startswith("0"), 300)
    source.power_cut()
    process.communicate(timeout=400)
    source.boot()
    whole.lead()
    wait_for("it goes on", lambda: whole.where() == [there.name], 300)
    whole.at = there
    # What is left at its source knows by the same move what became of it.
    whole.fleet.carve("migrate", "--move", NAME, "--to", there.name).ok()
