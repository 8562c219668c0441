# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands after the node has restarted is what stood before: bridges, order, addresses, limits."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import boot, info
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.tests.integration.support import (
    Fleet,
    addresses,
    host,
    inside,
    limits,
    pid,
    pings,
    start_time,
    wait_for,
)

NAMES = ("t-first", "t-second", "t-third")
BRIDGE = "br-carvetest"


@pytest.fixture
def node(fleet: Fleet, others_hidden: None) -> Fleet:
    """Three containers in order, one that does not start with the node, one that is declared stopped."""
    for order, name in enumerate(NAMES):
        network = {"eth0": {"on": "lan", "ip": [f"10.213.0.2{order}", f"fd00:213::2{order}"]}}
        fleet.declare(name, ram="96M", start_order=10 * order, network=network)
    fleet.declare("t-manual", ram="96M", autostart=False)
    fleet.declare("t-stopped", ram="96M", state="stopped")
    fleet.apply()
    return fleet


def _forget_what_a_restart_forgets() -> None:
    """The bridge, the hook's notes and the control groups are gone with the kernel that had them."""
    subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
    for name in (*NAMES, "t-manual", "t-stopped"):
        Path(Paths().run, f"{name}.monitor").unlink(missing_ok=True)
        host().cgroup.remove_leftovers(name)
        assert not os.path.ismount(f"{Paths().container(name)}/root")


def _stands(fleet: Fleet) -> None:
    for order, name in enumerate(NAMES):
        assert addresses(name) == {f"10.213.0.2{order}/24", f"fd00:213::2{order}/64"}
        assert str(96 << 20) in limits(name).values()
    assert [start_time(name) for name in NAMES] == sorted((start_time(name) for name in NAMES), key=int)
    assert lxc.init_pid(host(), "t-stopped") is None
    pings("t-first", "10.213.0.21")
    fleet.containers["t-manual"]["state"] = "keep"
    assert [step for step in fleet.check()["steps"] if step["name"] != "t-manual"] == []


def test_a_clean_restart(node: Fleet) -> None:
    assert boot.stop(host()) == {}
    assert all(lxc.init_pid(host(), name) is None for name in NAMES)
    _forget_what_a_restart_forgets()
    assert boot.start(host()) == {}
    assert lxc.init_pid(host(), "t-manual") is None
    _stands(node)


def test_a_power_cut(node: Fleet) -> None:
    for name in (*NAMES, "t-manual"):
        init = pid(name)
        monitor = int(Path(Paths().run, f"{name}.monitor").read_text(encoding="ascii"))
        for process in (monitor, init):
            os.kill(process, signal.SIGKILL)
        wait_for("it to be gone", lambda init=init: not lxc.is_alive(init))
        subprocess.run(["umount", "-l", f"{Paths().container(name)}/root"], check=False)
    _forget_what_a_restart_forgets()
    wait_for("control groups to empty", lambda: not any(Path(d).is_dir() for d in host().cgroup.directories("t-first")))
    assert boot.start(host()) == {}
    _stands(node)


def test_one_that_cannot_start_holds_no_other_back_and_is_named(node: Fleet) -> None:
    boot.stop(host())
    (Path(Paths().container("t-first")) / "config").write_text("lxc.nonsense = 1\n", encoding="utf-8")
    failures = boot.start(host())
    assert list(failures) == ["t-first"]
    assert "t-first does not start" in str(failures["t-first"])
    assert pid("t-second") and pid("t-third")
    told = info.gather()["containers"]
    assert "t-first does not start" in told["t-first"]["start_failure"]
    assert told["t-second"]["start_failure"] is None
    node.run()
    assert info.gather()["containers"]["t-first"]["start_failure"] is None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("multi-user.target.wants/carve.service", f"ExecStart={LIBRARY}/boot start"),
        ("multi-user.target.wants/carve-shutdown.service", f"ExecStop={LIBRARY}/boot stop"),
        ("timers.target.wants/carve-usage.timer", "OnUnitActiveSec=1min"),
        ("carve-usage.service", f"ExecStart={LIBRARY}/usage"),
        ("timers.target.wants/carve-snapshots.timer", "OnCalendar=*:0/5"),
        ("carve-snapshots.service", f"ExecStart={LIBRARY}/scheduled"),
    ],
)
def test_the_units_are_such_as_systemd_can_read(name: str, line: str) -> None:
    unit = Path("/etc/systemd/system", name)
    assert line in unit.read_text(encoding="utf-8")
    if ".wants/" in name:
        assert str(unit.readlink()) == f"../{unit.name}"
        unit = unit.parent.parent / unit.name
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], check=False, capture_output=True, text=True
    )
    assert unit.name not in verify.stderr


def test_the_program_says_how_it_is_called() -> None:
    usage = subprocess.run([f"{LIBRARY}/boot", "sideways"], check=False, capture_output=True, text=True)
    assert usage.returncode == 2 and usage.stderr == "usage: boot start | stop | again NAME\n"


def test_boot_waits_its_turn(node: Fleet) -> None:
    """The program itself, as systemd calls it: with everything running it has nothing to do."""
    born = start_time("t-first")
    result = subprocess.run([f"{LIBRARY}/boot", "start"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert start_time("t-first") == born
    assert inside("t-first", "hostname") == "t-first"
