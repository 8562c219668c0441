# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database with a connected client: moved there and back while it runs, suspended over a power cut, brought back from
a snapshot with its memory, moved off a node together with one that cannot be moved so, and made again of a backup."""

from __future__ import annotations

import os
import shlex
from itertools import pairwise
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.support import wait_for
from ansible_collections.carve.vps.tests.lab.live import GROUP, NAME, Live
from ansible_collections.carve.vps.tests.lab.machine import SEGMENT

AGAIN = "again"
# Every file's content, and what else it is: kind, mode, owner, links, size, time.
_CONTENT = (
    "cd / && find root/kept var/lib/redis etc/redis -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum;"
    # But for the size of directories, which is their filesystem's affair.
    "find root/kept etc/redis -type d -printf '%p %y %m %u %g %n %T@\\n' "
    "-o -printf '%p %y %m %u %g %n %s %T@ %l\\n' | sort"
)
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


def test_suspended_without_the_manifest_it_is_moved_and_resumed(live: Live) -> None:
    def ask(state: str, *options: str) -> dict[str, Any]:
        return live.fleet.module(live.at, "checkpoint", f"name={NAME} fleet=lab state={state}", *options)

    limits = live.limits()
    live.pause()
    assert ask("suspended", "--check")["changed"] and live.where() == [live.at.name]
    came = ask("suspended")
    assert came["changed"] and came["images_bytes"] > 1 << 20 and live.where() == [], came
    assert ask("suspended", "--check")["changed"] is False and ask("suspended")["changed"] is False
    # Whoever starts it by hand would have it forget all it knew.
    assert not live.at.run(f"lxc-start -P /var/lib/carve/containers -n {NAME}", check=False).startswith("0")
    there = live.other()
    live.try_to_migrate("auto").ok()
    live.at = there
    assert live.where() == []
    assert ask("resumed", "--check")["changed"] and live.where() == []
    assert ask("resumed")["changed"] and live.where() == [live.at.name]
    live.unpause()
    live.goes_on()
    assert ask("resumed")["changed"] is False
    assert "No changes" in live.fleet.carve("apply", "--yes").ok().output
    assert live.limits() == limits and live.leftovers() == ""


def test_a_snapshot_brings_its_memory_back(live: Live) -> None:
    live.pause()
    live.inside("systemd-run --unit counter /bin/sleep 77777; echo then >/root/state")
    look = "cat /root/state; systemctl is-active redis-server counter; systemctl show --property MainPID counter"
    then = live.inside(look)
    live.fleet.carve("snapshot", "--container", NAME, "--name", "running", "--memory").ok()
    live.unpause()
    live.goes_on()
    # Another one by schedule, of the client's connection as well: neither of the two ends by it.
    live.options["snapshots"] = {"yearly": {"every": "366d", "keep": 1, "memory": True}}
    live.fleet.carve("apply", "--yes").ok()
    live.at.run("systemctl start carve-snapshots.service")
    live.goes_on()
    del live.options["snapshots"]
    live.fleet.carve("apply", "--yes").ok()
    (name,) = set(found := live.fleet.info(live.at)["containers"][NAME]["snapshots"]) - {"running"}
    assert name.startswith("yearly-") and found[name]["memory_bytes"] > 1 << 20, found
    live.fleet.carve("snapshot", "--container", NAME, "--name", name, "--delete").ok()
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
    # Somebody inside may be a nuisance: what the node lets through is the declared one, and a move ends with that.
    live.inside("ip link set eth0 address 02:00:00:00:00:07")
    source, there = live.at, live.other()
    words = live.fleet.carve("drain", "--node", source.name, "--method", "auto").ok().words()
    live.at = there
    assert f"{NAME}: moved from {source.name} to {there.name} live, frozen for" in words
    assert "(by a restart: it is not declared live_migration: true)" in words
    assert "(by a restart: mounts: directories of the node cannot come along)" in words
    assert live.run_id in live.inside("redis-cli INFO server")
    assert "No drift" in live.fleet.carve("drift").ok().output


def test_a_backup_comes_back_on_the_other_node_under_another_name(live: Live) -> None:
    """What it had is destroyed meanwhile; its template and its data come from the place, byte by byte."""
    source, there = live.at, live.other()
    live.inside(
        "mkdir -p /root/kept && cd /root/kept && head -c 3000001 /dev/urandom >data && ln data hard && mkfifo pipe &&"
        "ln -s data soft && truncate -s 5M hole && install -o nobody -m 4751 data program"
    )
    live.inside("redis-cli SET customer 'is still here' && systemctl disable --now redis-server")
    before = live.inside(_CONTENT)
    source.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/backups")
    key = source.run("cat /root/.ssh/backups.pub")
    there.run(f"mkdir -p -m 700 /root/.ssh /srv/backups && echo {shlex.quote(key)} >>/root/.ssh/authorized_keys")
    host_key = " ".join(there.run("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    place = f"ssh://root@{SEGMENT[0]}.{there.index}/srv/backups"
    secure = ("--ssh-key", "/root/.ssh/backups", "--host-key", host_key)
    live.fleet.carve("backup", "--container", NAME, "--name", "kept", "--place", place, *secure).ok()
    live.fleet.manifest["containers"].clear()
    live.fleet.carve("apply", "--yes", "--allow", "destroy").ok()
    where = ("--place", "/srv/backups", "--to", there.name)
    live.fleet.carve("restore", "--container", NAME, "--name", "kept", *where, "--as", AGAIN).ok()
    live.fleet.manifest["containers"][AGAIN] = {"template": "base", "node": there.name, "stop_timeout": 20}
    live.fleet.carve("apply", "--yes").ok()
    assert live.inside(_CONTENT, there, AGAIN) == before
    assert "is still here" in live.inside("systemctl start redis-server; redis-cli GET customer", there, AGAIN)
