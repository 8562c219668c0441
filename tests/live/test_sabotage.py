# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live moves that go wrong at every stage: one copy runs in the end, from its memory, and the next run cleans up."""

from __future__ import annotations

import contextlib
import os
import re
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
WIRE = "ens6"  # between the two machines
PATIENCE = 1200  # seconds that a move may take on a busy host
# CRIU, but for what happens first at one of its commands.
_SABOTAGED = """#!/bin/sh
case "$1" in {command}) {does} ;; esac
exec /usr/sbin/criu.real "$@"
"""
_FAILS, _DAWDLES = 'echo "Error (sabotage:1): sabotaged" >&2; exit 1', "sleep 30"


@contextlib.contextmanager
def _criu(machine: Machine, command: str, does: str) -> Iterator[None]:
    script = shlex.quote(_SABOTAGED.format(command=command, does=does))
    machine.run(f"mv /usr/sbin/criu /usr/sbin/criu.real; printf %s {script} >/usr/sbin/criu; chmod +x /usr/sbin/criu")
    try:
        yield
    finally:
        machine.run("mv /usr/sbin/criu.real /usr/sbin/criu")


@contextlib.contextmanager
def _thin(machine: Machine) -> Iterator[None]:
    """What goes from a machine to the other one takes minutes, also when compressed: something can happen to it."""
    machine.run(f"tc qdisc replace dev {WIRE} root tbf rate 1mbit burst 64kb latency 500ms")
    try:
        yield
    finally:
        machine.run(f"tc qdisc del dev {WIRE} root", check=False)


@contextlib.contextmanager
def _cut(machine: Machine) -> Iterator[None]:
    """Nothing that the other machine sends to this one comes there."""
    machine.run("nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority -500; }';"
                f"nft add rule inet cut in iifname {WIRE} drop")  # fmt: skip
    try:
        yield
    finally:
        machine.run("nft delete table inet cut")


@pytest.fixture
def whole(live: Live) -> Iterator[Live]:
    """It runs on one node before and after, by the same connection; what a failed move leaves, the next has removed."""
    (name,) = live.where()
    live.at = live.one if name == live.one.name else live.two  # a test that failed may have left it there
    yield live
    assert live.where() == [live.at.name]
    live.goes_on()
    assert "No changes" in live.fleet.carve("apply", "--yes").ok().output
    assert live.leftovers() == ""


def _stays(live: Live, *words: str) -> str:
    run = live.try_to_migrate()
    assert run.status == 1, run.output
    for text in (f"{NAME}: stays where it was", *words):
        assert text in run.words(), run.output
    return run.words()


def test_an_address_that_is_taken_is_named_before_anything_stops(whole: Live) -> None:
    # The other one of its two: by this one its client would reach itself.
    whole.other().run(f"ip address add {V6}/128 dev lo")
    try:
        _stays(whole, f"its address {V6} is this node's, on lo")
    finally:
        whole.other().run(f"ip address del {V6}/128 dev lo")


def test_a_dump_that_fails(whole: Live) -> None:
    with _criu(whole.at, "dump", _FAILS):
        _stays(whole, "CRIU does not checkpoint it")


def test_a_restore_that_fails_at_the_destination(whole: Live) -> None:
    with _criu(whole.other(), "restore", _FAILS):
        _stays(whole)


@contextlib.contextmanager
def _full(machine: Machine, *more: str) -> Iterator[None]:
    fill = "fallocate -l $(($(df --output=avail -B1 . | tail -n1) - (10 << 20))) fill"
    machine.run("; ".join(["cd /var/lib/carve", fill, *more]))
    try:
        yield
    finally:
        machine.run("cd /var/lib/carve && rm -f fill fill.*")


def test_a_destination_that_is_full(whole: Live) -> None:
    with _full(whole.other()):
        assert "there is no room on the disk: it needs" in _stays(whole)


# To the last block, those that ext4 keeps for root as well, and at once: to write them takes longer than the memory.
_TO_THE_LAST = (
    "n=0; for size in 64M 4M 256K; do while fallocate -l $size fill.$n 2>/dev/null; do n=$((n+1)); done; done",
    "cat /dev/zero >fill.last 2>/dev/null; true",
)


def test_a_destination_that_fills_while_its_memory_is_sent(whole: Live) -> None:
    with _its_memory_on_the_way(whole) as process, _full(whole.other(), *_TO_THE_LAST):
        words = _said(process)
    # In rsync's words, where they come through.
    assert re.search("stays where it was: .*(No space left on device|as on a full disk)", words)


def test_a_destination_whose_program_is_killed_while_it_makes_it_anew(whole: Live) -> None:
    """It is asked again, and makes nothing twice of the same images."""
    with _asked_for(whole) as process:
        whole.other().run("pkill -KILL -f '^/usr/bin/python3 -IS /usr/lib/carve/arrive'")
        output, _nothing = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output
    whole.at = whole.other()


def _begin(live: Live) -> subprocess.Popen[str]:
    return live.fleet.begin(CARVE, "migrate", str(live.fleet.path), "--move", NAME, "--to", live.other().name,
                            "--method", "live")  # fmt: skip


def _until(what: str, machine: Machine, command: str) -> None:
    wait_for(what, lambda: machine.run(command, check=False).startswith("0"), PATIENCE)


@contextlib.contextmanager
def _its_memory_on_the_way(live: Live) -> Iterator[subprocess.Popen[str]]:
    """A move of which some images are at the destination, and others are not."""
    process = _begin(live)
    _until("its memory to be written", live.at, f"test -d {STORE}/memory.ahead")
    with _thin(live.at):
        _until("its memory on the way", live.other(), f"ls {INCOMING}/memory/*.img")
        yield process


@contextlib.contextmanager
def _asked_for(live: Live) -> Iterator[subprocess.Popen[str]]:
    """A move whose destination was asked to make it anew, and has not said yet whether it could."""
    with _criu(live.other(), "restore", _DAWDLES):
        process = _begin(live)
        _until("the destination to be asked", live.other(), f"test -d {STORE}")
        yield process


def _said(process: subprocess.Popen[str]) -> str:
    output, _nothing = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    return " ".join(output.split())


def test_the_network_is_cut_while_its_memory_is_sent(whole: Live) -> None:
    """The destination was not asked to make it anew: the source needs nobody's word to go on."""
    with _its_memory_on_the_way(whole) as process, _cut(whole.other()):
        words = _said(process)
    assert f"{NAME}: stays where it was: copying to" in words


def test_the_network_is_cut_when_the_destination_was_asked(whole: Live) -> None:
    """For longer than the source waits: it must not begin again before it knows that nobody else has."""
    with _asked_for(whole) as process, _cut(whole.other()):
        words = _said(process)
        assert "run the same move again" in words
        assert whole.at.name not in whole.where()
    whole.migrate()


def test_the_controller_is_killed_while_its_memory_is_sent(whole: Live) -> None:
    with _its_memory_on_the_way(whole) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    # What runs on the source goes on without it.
    gone = f"! test -e /var/lib/carve/departing/{NAME}"
    wait_for("an end", lambda: len(whole.where()) == 1 and whole.at.run(gone, check=False).startswith("0"), 300)
    # Nobody has to look where it is: the same move finds it, or finds that nothing is left to do.
    whole.migrate()


def test_the_source_is_switched_off_after_the_destination_has_it(whole: Live) -> None:
    if whole.at is whole.two:
        whole.migrate()  # the client is there
    source, there = whole.at, whole.other()
    with _asked_for(whole) as process:
        source.power_cut()
        _said(process)
        wait_for("it goes on", lambda: whole.where() == [there.name], 300)
        source.boot()
    whole.lead()
    assert whole.where() == [there.name]
    # What is left at its source learns by the same move what became of it.
    whole.migrate()


def test_what_cannot_be_dumped_moves_by_a_restart_where_that_is_allowed(live: Live) -> None:
    """The last: its connection does not survive."""
    there = live.other()
    with _criu(live.at, "dump", _FAILS):
        words = live.try_to_migrate("auto").ok().words()
    assert f"{NAME}: moved from {live.at.name} to {there.name}, away for" in words
    assert re.search(r"\(by a restart: CRIU does not checkpoint it: .*sabotaged\)", words)
    live.at = there
    assert live.where() == [there.name] and live.leftovers() == ""
    assert "No changes" in live.fleet.carve("apply", "--yes").ok().output
