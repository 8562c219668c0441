# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a container stands still while it moves, by how much memory it has touched and how it is moved. Called by
`./dev bench migrate`; on two machines of the lab, under emulation: what counts is how the rows compare."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.integration.support import rootfs_archive, wait_for
from ansible_collections.carve.vps.tests.lab import nodes
from ansible_collections.carve.vps.tests.lab.machine import Machine
from ansible_collections.carve.vps.tests.lab.nodes import Pair
from ansible_collections.carve.vps.tests.lab.support import archives_served

import machine as this_machine

NAME = "mover"
# Not to be compressed, as a cache's or a database's memory is not; none of it is written to again.
_HOLD = "import os, time; held = os.urandom({mib} << 20); open('/run/held', 'w').close(); time.sleep(1e6)"
# A kernel that does not say which pages were written to, as CRIU sees it.
_NO_TRACKING = """#!/bin/sh
case "$*" in *mem_dirty_track*) exit 1 ;; esac
exec /usr/sbin/criu.real "$@"
"""
_COLUMNS = {
    "memory ahead": "ahead_s", "still": "away_s", "dump": "dump_s", "send memory": "memory_s",
    "send files": "second_pass_s", "make anew": "start_s",
}  # fmt: skip
RESTART, LIVE, LIVE_AHEAD = "by a restart", "live, nothing sent ahead", "live"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench migrate", description=__doc__)
    parser.add_argument("mib", nargs="*", type=int, default=[32, 256, 1024], help="touched memory (32 256 1024)")
    sizes = parser.parse_args(argv).mib
    print(this_machine.describe(), flush=True)
    rows = []
    with (
        tempfile.TemporaryDirectory() as directory,
        nodes.pair(Path(directory)) as pair,
        archives_served(base=rootfs_archive()) as templates,
    ):
        pair.fleet.manifest["templates"] = templates
        options = {"template": "base", "live_migration": True, "stop_timeout": 30, "node": pair.one.name}
        pair.fleet.manifest["containers"] = {NAME: options}
        pair.fleet.carve("apply", "--yes").ok()
        del options["node"]
        for row in _measured(pair, sizes):
            rows.append(row)
            print(*row, sep="\t", file=sys.stderr, flush=True)
        pair.fleet.carve("destroy", "-e", "carve_destroy=lab").ok()  # the machines may be kept
    print(_table(rows))
    return 0


def _measured(pair: Pair, sizes: Sequence[int]) -> Iterator[list[str]]:
    source, there = pair.one, pair.two
    for mib in sizes:
        for how in (RESTART, LIVE, LIVE_AHEAD):
            _hold(source, mib)
            with _without_tracking(source, how == LIVE):
                came = _move(pair, there, "restart" if how == RESTART else "live")
            sent = sum(came.get(f"{part}_bytes", 0) for part in ("ahead", "memory")) / (1 << 20)
            yield [f"{mib} MiB", how, *(_shown(came.get(key)) for key in _COLUMNS.values()), f"{sent:.0f} MiB"]
            source, there = there, source


def _hold(at: Machine, mib: int) -> None:
    attach = f"lxc-attach -P /var/lib/carve/containers -n {NAME} --clear-env -- sh -c"
    up = f"{attach} 'systemctl is-system-running --wait'"
    wait_for("it to boot", lambda: at.run(up, check=False).split()[1:] in (["running"], ["degraded"]), 300)
    script = shlex.quote(_HOLD.format(mib=mib))
    begin = f"rm -f /run/held; systemctl stop holder 2>/dev/null; systemd-run --unit holder python3 -c {script}"
    at.run(f"{attach} {shlex.quote(begin)}")
    wait_for("its memory", lambda: at.run(f"{attach} 'test -e /run/held'", check=False).startswith("0"), 300)


@contextmanager
def _without_tracking(at: Machine, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    at.run("mv /usr/sbin/criu /usr/sbin/criu.real")
    try:
        at.run(f"printf %s {shlex.quote(_NO_TRACKING)} >/usr/sbin/criu && chmod +x /usr/sbin/criu")
        yield
    finally:
        at.run("mv /usr/sbin/criu.real /usr/sbin/criu")


def _move(pair: Pair, there: Machine, method: str) -> dict[str, Any]:
    wanted = {"carve_move": NAME, "carve_to": there.name, "carve_method": method}
    # Not by the command: Ansible's own way to show results has each on a line.
    run = pair.fleet.play("migrate", "-v", "-e", json.dumps(wanted)).ok()
    found = [json.loads(text) for text in re.findall(r"=> (\{.*\})$", run.output, re.MULTILINE)]
    (came,) = [one["moves"][NAME] for one in found if NAME in (one.get("moves") or {})]
    assert came["method"] == method, came
    return dict(came)


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = ["touched", "moved", *(f"{name}, s" for name in _COLUMNS), "memory sent"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
