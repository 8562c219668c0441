# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database with a connected client: moved there and back while it runs, suspended over a power cut, brought back from
a snapshot with its memory, and moved off a node together with one that cannot be moved so."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from ansible_collections.carve.vps.tests.integration.support import wait_for
from ansible_collections.carve.vps.tests.lab.live import GROUP, NAME, Live

# Each takes minutes here. It is the second move from a node that shows that what was made anew can be moved again.
ROUNDS = int(os.environ.get("CARVE_LAB_ROUNDS", "1"))


def test_a_connection_and_all_limits_survive_moves(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    limits = live.limits()
    assert live.fitness() == {"fit": True, "findings": []}
    for _round in range(ROUNDS):
        for _way in ("there", "back"):
            words = live.migrate()
            assert f"moved from {live.other().name} to {live.at.name} live, frozen for" in words, words
            times = live.goes_on()
            longest = max(after - before for before, after in pairwise(times))
            with capsys.disabled():
                still = words.partition("frozen for ")[2].split()[0]
                print(f"\nfrozen for {still} s; the longest that the client has waited so far: {longest:.1f} s")
            assert live.limits() == limits
            assert live.fitness() == {"fit": True, "findings": []}
            assert live.where() == [live.at.name] and live.leftovers() == ""
    assert "No drift" in live.fleet.carve("drift").ok().output


def test_it_stays_suspended_over_a_power_cut(live: Live) -> None:
    one, limits = live.one, live.limits()
    live.pause()
    live.options["state"] = "suspended"
    assert f"{NAME} suspended" in live.fleet.carve("apply", "--yes").ok().words()
    assert live.where() == []
    one.power_cut()
    one.boot()
    live.lead()
    state = "systemctl show --property ActiveState --value carve.service"
    wait_for("carve.service", lambda: one.run(state) in ("active", "failed"), 300)
    assert one.run(f"test -e {GROUP}/cgroup.procs", check=False).startswith("1")
    assert "No changes" in live.fleet.carve("apply", "--yes").ok().output
    del live.options["state"]
    assert f"{NAME} resumed" in live.fleet.carve("apply", "--yes").ok().words()
    live.unpause()
    live.goes_on()
    assert live.limits() == limits and live.leftovers() == ""


def test_a_snapshot_brings_its_memory_back(live: Live) -> None:
    live.pause()
    live.inside("systemd-run --unit counter /bin/sleep 77777; echo then >/root/state")
    look = "cat /root/state; systemctl is-active redis-server counter; systemctl show --property MainPID counter"
    then = live.inside(look)
    live.fleet.carve("snapshot", "--container", NAME, "--name", "running", "--memory").ok()
    live.unpause()
    live.goes_on()
    live.pause()
    # Its client is about to be left behind by a database that has forgotten its last answers.
    live.end()
    live.inside("echo now >/root/state; rm /usr/bin/redis-cli; systemctl stop redis-server counter")
    live.fleet.carve("rollback", "--container", NAME, "--name", "running", "--allow", "restart").ok()
    assert live.inside(look) == then and then.startswith("then\nactive\nactive")
    assert live.run_id in live.inside("redis-cli INFO server")
    live.fleet.carve("snapshot", "--container", NAME, "--name", "running", "--delete").ok()
    assert live.leftovers() == ""


def test_a_drain_moves_live_what_can_be_and_the_others_by_a_restart(live: Live) -> None:
    containers = live.fleet.manifest["containers"]
    tiny = {"template": "tiny", "stop_timeout": 0}
    containers["plain"] = {**tiny, "node": live.at.name}
    # Declared, and yet not fit: what is bound into it is the node's.
    mounts = {"/srv": {"source": "/srv", "read_only": True}}
    containers["bound"] = {**tiny, "node": live.at.name, "live_migration": True, "mounts": mounts}
    live.fleet.carve("apply", "--yes").ok()
    for name in ("plain", "bound"):
        del containers[name]["node"]
    source, there = live.at, live.other()
    words = live.fleet.carve("drain", "--node", source.name, "--method", "auto").ok().words()
    live.at = there
    assert f"{NAME}: moved from {source.name} to {there.name} live, frozen for" in words
    assert "(by a restart: it is not declared live_migration: true)" in words
    assert "(by a restart: mounts: directories of the node cannot come along)" in words
    assert live.run_id in live.inside("redis-cli INFO server")
    assert "No drift" in live.fleet.carve("drift").ok().output
