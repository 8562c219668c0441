# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rollouts as an operator sees them: batches in their order, a stop at the first that fails, and a way back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.desk import Desk
from ansible_collections.carve.vps.tests.integration.support import box, exists, inside, limits, start_time

NAMES = [f"x-{number}" for number in range(1, 7)]
# By the label ``stage`` first: what is for tests goes before what is for customers.
ORDER = ["x-5", "x-6", "x-1", "x-2", "x-3", "x-4"]
OWN = "198.51.100.6"
GATE: dict[str, Any] = {"timeout": 60}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, base_template: dict[str, Any]) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"), base_template)
    made.manifest |= {
        "fleet": "carve-x-rollout",
        "networks": {"public": {"mode": "routed", "subnet": "198.51.100.0/24"}},
        "templates": {"base": base_template, "app": app(1)},
        "policy": {"allow": ["restart", "rebuild"], "rollout": {}},
        "defaults": {"template": "app", "template_policy": "rebuild", "stop_timeout": 20, "ram": "96M"},
        "containers": {
            name: {"labels": {"stage": "a-test" if name in ORDER[:2] else "b-sold"}} for name in NAMES
        },
    }  # fmt: skip
    made.manifest["containers"]["x-6"]["network"] = {"eth0": {"on": "public", "ip": OWN}}
    rollout(made, GATE)
    # The first one also creates them all.
    code, output = made.carve("apply", "--yes")
    assert code == 0, output
    made.first = output
    yield made
    made.manifest["containers"] = {}
    code, output = made.carve("apply", "--yes", "--allow", "destroy")
    assert code == 0 and not exists("x-1"), output


def app(version: int) -> dict[str, Any]:
    return {"from": "base", "commands": [f"echo {version} >/etc/app"]}


def rollout(desk: Desk, gate: dict[str, Any], **more: Any) -> None:
    desk.manifest["policy"]["rollout"] = {"canary": 1, "batch": 2, "order": ["stage"], "gate": gate, **more}


def batches(output: str) -> list[str]:
    """Who was in which batch, in the order in which they came."""
    return re.findall(r"^Batch \d+ of \d+(?:, the canary)?: (.*) on desk$", output, re.MULTILINE)


def inits() -> dict[str, str]:
    return {name: start_time(name) for name in NAMES}


def versions() -> dict[str, str]:
    return {name: inside(name, "cat", "/etc/app") for name in NAMES}


def as_declared(desk: Desk) -> None:
    code, output = desk.carve("drift")
    assert code == 0, output
    assert list(Path(Paths().kept).iterdir()) == []
    assert list(Path(Paths().staging).iterdir()) == []


def test_canary_and_batches_in_the_declared_order(desk: Desk) -> None:
    expected = [", ".join(part) for part in (ORDER[:1], ORDER[1:3], ORDER[3:5], ORDER[5:])]
    assert batches(desk.first) == expected
    assert desk.first.count(", the canary: x-5 on desk") == 1
    born = [int(start_time(name)) for name in ORDER]
    for earlier, later in ((born[:1], born[1:3]), (born[1:3], born[3:5]), (born[3:5], born[5:])):
        assert max(earlier) < min(later)
    as_declared(desk)
    # With nothing to do there is no batch.
    code, output = desk.carve("apply", "--yes")
    assert code == 0 and batches(output) == [] and "The fleet is as declared." in output
    # Another policy for one run; what is held back is no member.
    desk.manifest["containers"]["x-2"]["cpus"] = 1
    desk.manifest["containers"]["x-3"]["ram"] = "112M"
    code, output = desk.carve("apply", "--yes", "-e", json.dumps({"carve_rollout": {"batch": "100%", "canary": 0}}))
    assert code == 0 and batches(output) == ["x-2, x-3"], output
    code, output = desk.carve("apply", "--yes", "-e", "carve_rollout=false")
    assert code == 0 and "The fleet is as declared." in output


def test_check_mode_shows_the_whole_plan_and_rolls_nothing_out(desk: Desk) -> None:
    desk.manifest["containers"]["x-3"].pop("ram", None)
    desk.manifest["defaults"]["ram"] = "100M"
    code, output = desk.carve("apply", "--check")
    assert code == 2 and batches(output) == [], output
    assert output.count("~ container x-1") == 1
    assert str(100 << 20) not in limits("x-1").values()
    code, output = desk.carve("apply", "--yes")
    assert code == 0, output
    as_declared(desk)


def test_the_first_batch_that_fails_is_the_last(desk: Desk) -> None:
    rollout(desk, {"timeout": 5, "command": ["test", "!", "-e", "/broken"]})
    inside("x-6", "touch", "/broken")
    before = inits()
    desk.manifest["defaults"]["ram"] = "128M"
    code, output = desk.carve("apply", "--yes")
    assert code == 1, output
    assert batches(output) == ["x-5", "x-6, x-1"]
    assert "container x-6: gate: test ended with 1" in output
    assert "The rollout stopped at batch 2 of 4." in output
    assert "done: x-5, x-1\nfailed: x-6\nnot tried: x-2, x-3, x-4\n" in output, output
    assert "Applied: 3 changed, 3 not tried. 1 node failed." in output
    changed = {name for name in NAMES if str(128 << 20) in limits(name).values()}
    assert changed == {"x-5", "x-6", "x-1"}
    assert inits() == before
    # Mended, the next run does what is left.
    inside("x-6", "rm", "/broken")
    code, output = desk.carve("apply", "--yes")
    assert code == 0 and batches(output) == ["x-2", "x-3, x-4"], output
    as_declared(desk)


def test_a_template_that_fails_its_gate_is_rolled_back(desk: Desk) -> None:
    rollout(desk, {"timeout": 20, "command": ["sh", "-c", 'test "$(hostname)" != x-1 || grep -q 1 /etc/app']})
    for name in NAMES:
        inside(name, "touch", "/root/data")
    before, records = inits(), {name: box(name).record for name in NAMES}
    desk.manifest["templates"]["app"] = app(2)
    code, output = desk.carve("apply", "--yes")
    assert code == 1, output
    assert batches(output) == ["x-5", "x-6, x-1"]
    assert "rebuild ROLLED BACK" in output and "container x-1: gate: sh ended with 1" in output
    assert f"container x-1: rolled back to app@{records['x-1'].digest}" in output
    assert "done: x-5, x-6\nfailed: x-1\nnot tried: x-2, x-3, x-4\n" in output, output
    assert versions() == {**dict.fromkeys(NAMES, "1"), "x-5": "2", "x-6": "2"}
    # It serves again as it was.
    assert box("x-1").record == records["x-1"]
    assert inside("x-1", "ls", "/root") == "data"
    assert inside("x-1", "systemctl", "is-system-running", "--wait") == "running"
    assert inside("x-1", "cat", "/etc/machine-id") == records["x-1"].uuid
    assert {name for name in NAMES if inits()[name] == before[name]} == {"x-2", "x-3", "x-4"}
    assert list(Path(Paths().kept).iterdir()) == []
    # Mended, the next run does what is left, and keeps nothing.
    desk.manifest["templates"]["app"] = app(3)
    rollout(desk, GATE)
    code, output = desk.carve("apply", "--yes")
    assert code == 0, output
    assert set(versions().values()) == {"3"}
    as_declared(desk)


def test_a_gate_of_a_port_and_a_strict_init(desk: Desk) -> None:
    server = "import socket, time; s = socket.socket(); s.bind(('{}', 8080)); s.listen(); time.sleep(600)"
    for name, address in (("x-5", "127.0.0.1"), ("x-6", OWN)):
        inside(name, "systemd-run", "--quiet", "--unit=server", "python3", "-c", server.format(address))
    rollout(desk, {"timeout": 5, "port": 8080})
    desk.manifest["defaults"]["ram"] = "132M"
    code, output = desk.carve("apply", "--yes")
    assert code == 1 and batches(output) == ["x-5", "x-6, x-1"], output
    assert "container x-1: gate: port 8080 does not accept: Connection refused" in output
    assert "container x-6" not in output.partition("error:")[2]
    inside("x-2", "systemd-run", "--quiet", "--wait", "--unit=sick", "false", check=False)
    rollout(desk, {"timeout": 5, "init": ["running"]}, canary=0)
    code, output = desk.carve("apply", "--yes")
    assert code == 1 and "container x-2: gate: its init is degraded: sick.service failed" in output, output
    inside("x-2", "systemctl", "reset-failed")
    code, output = desk.carve("apply", "--yes")
    assert code == 0, output
    as_declared(desk)


def test_a_saved_plan_is_rolled_out_or_refused(desk: Desk) -> None:
    rollout(desk, GATE)
    desk.manifest["defaults"]["ram"] = "136M"
    assert desk.carve("plan", "--out", "saved.plan")[0] == 2
    code, output = desk.carve("apply", "--plan", "saved.plan")
    assert code == 0 and len(batches(output)) == 4, output
    desk.manifest["defaults"]["ram"] = "140M"
    code, output = desk.carve("apply", "--plan", "saved.plan")
    assert code == 1 and "changed since the plan was made" in output and batches(output) == [], output
    desk.manifest["defaults"]["ram"] = "136M"
    as_declared(desk)


def test_what_is_no_longer_declared_goes_last(desk: Desk) -> None:
    del desk.manifest["containers"]["x-5"]
    desk.manifest["containers"]["x-4"]["cpus"] = 1
    code, output = desk.carve("apply", "--yes", "--allow", "destroy")
    assert code == 0 and batches(output) == ["x-4", "x-5"] and not exists("x-5"), output
    as_declared(desk)
