# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command ``carve`` makes of what is typed, and of what came of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import cli
from ansible_collections.carve.vps.plugins.plugin_utils.cli import Request, UsageError


def variables(line: list[str]) -> dict[str, Any]:
    return dict(json.loads(line[line.index("-e") + 1])) if "-e" in line else {}


def line(*words: str, terminal: bool = True) -> list[str]:
    return cli.command(cli.parse(words), terminal, "ansible-playbook")


@pytest.mark.parametrize("verb", ["bootstrap", "validate", "plan", "drift", "usage", "destroy"])
def test_a_verb_is_a_playbook(verb: str) -> None:
    assert line(verb, "fleet.yml") == ["ansible-playbook", "-i", "fleet.yml", f"carve.vps.{verb}"]


def test_what_is_not_ours_is_passed_on_unchanged() -> None:
    rest = ["--limit", "node1", "-vv", "-e", "a=b c", "--forks=20", "--diff"]
    assert line("plan", "fleet.yml", *rest)[4:] == rest


def test_our_options_may_stand_anywhere_and_be_written_either_way(tmp_path: Path) -> None:
    out = tmp_path / "a plan"
    for words in (["--out", str(out), "f.yml"], ["f.yml", "--out", str(out)], ["f.yml", f"--out={out}"]):
        assert variables(line("plan", *words)) == {"carve_plan_file": str(out)}


def test_paths_are_made_absolute() -> None:
    assert variables(line("plan", "f.yml", "--out", "x.plan")) == {"carve_plan_file": str(Path.cwd() / "x.plan")}


def test_apply_asks_on_a_terminal() -> None:
    assert variables(line("apply", "f.yml")) == {"carve_ask": True}


@pytest.mark.parametrize("rest", [["--yes"], ["--check"], ["-C"]])
def test_apply_does_not_ask(rest: list[str]) -> None:
    for terminal in (True, False):
        assert variables(line("apply", "f.yml", *rest, terminal=terminal)) == {}


def test_a_saved_plan_is_not_asked_for_again() -> None:
    found = variables(line("apply", "f.yml", "--plan", "/x.plan", "--allow", "restart,rebuild", terminal=False))
    assert found == {"carve_saved_plan": "/x.plan", "carve_allow": "restart,rebuild"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "snapshot f.yml --container db --name s --memory",
            {"carve_of": "db", "carve_name": "s", "carve_memory": True},
        ),
        ("drain f.yml --node a --method live", {"carve_drain": "a", "carve_method": "live"}),
        ("snapshot f.yml --container web-1,web-2 --name s", {"carve_of": "web-1,web-2", "carve_name": "s"}),
        (
            "snapshot f.yml --container all --name s --delete",
            {"carve_of": "all", "carve_name": "s", "carve_snapshot_state": "absent"},
        ),
        (
            "rollback f.yml --container db --name s --allow restart",
            {"carve_of": "db", "carve_name": "s", "carve_allow": "restart"},
        ),
        ("backup f.yml --container db --place /srv/b", {"carve_of": "db", "carve_place": "/srv/b"}),
        (
            "restore f.yml --container db --place /srv/b --to node2 --as db-2",
            {"carve_of": "db", "carve_place": "/srv/b", "carve_to": "node2", "carve_as": "db-2"},
        ),
        (
            "backup f.yml --container db --place ssh://b/srv --ssh-key /root/key --host-key 'ssh-ed25519 AAAA'",
            {"carve_of": "db", "carve_place": "ssh://b/srv", "carve_ssh_key": "/root/key",
             "carve_host_key": "ssh-ed25519 AAAA"},
        ),
        ("usage f.yml --container db", {"carve_usage": "db"}),
    ],
)  # fmt: skip
def test_whom_it_is_about(words: str, expected: dict[str, str]) -> None:
    assert variables(line(*shlex.split(words), terminal=False)) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plam", "f.yml"], "there is no verb 'plam'; did you mean plan?"),
        (["zzz", "f.yml"], f"there is no verb 'zzz'; the verbs are {', '.join(cli.VERBS)}"),
        (["plan"], "write the manifest after the verb: carve plan fleet.yml"),
        (["plan", "--limit", "node1", "f.yml"], "write the manifest after the verb: carve plan fleet.yml"),
        (["apply", "f.yml", "--out", "x"], "--out is an option of plan, not of apply"),
        (["drift", "f.yml", "--allow", "restart"], "--allow is an option of plan and apply and rollback, not of drift"),
        (["snapshot", "f.yml", "--container", "web-1"], "snapshot needs --name"),
        (["restore", "f.yml", "--container", "db", "--place", "/srv/b"], "restore needs --to"),
        (["backup", "f.yml", "--delete"], "--delete is an option of snapshot, not of backup"),
        (["destroy", "f.yml", "--yes"], "--yes is an option of apply, not of destroy"),
        (["plan", "f.yml", "--out"], "--out needs a value"),
        (
            ["apply", "f.yml"],
            "apply asks before it changes anything, and this is no terminal; add --yes or --plan FILE",
        ),
    ],
)
def test_what_cannot_be_meant(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        line(*words, terminal=False)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("code", "summary", "expected"),
    [
        (0, {"differences": 0, "errors": []}, 0),
        (0, {"differences": 3, "errors": []}, 2),
        (0, {"differences": 3, "errors": [{"node": "", "message": "x"}]}, 1),
        (2, {"differences": 3, "errors": []}, 1),
        (4, None, 1),
        (0, None, 1),
        (-15, None, 1),
    ],
)
def test_exit_codes(code: int, summary: dict[str, Any] | None, expected: int) -> None:
    assert cli.exit_code(Request("plan", "f.yml"), code, summary) == expected


def test_listing_is_no_failure() -> None:
    assert cli.exit_code(Request("plan", "f.yml", rest=["--list-hosts"]), 0, None) == 0


def test_the_environment_lets_only_manifests_in_unless_told_otherwise() -> None:
    found = cli.environment({"PATH": "/bin"}, Request("plan", "f.yml"), "/r.json")
    assert found["ANSIBLE_STDOUT_CALLBACK"] == "carve.vps.plan"
    assert found["ANSIBLE_INVENTORY_ENABLED"] == "carve.vps.fleet"
    assert found["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] == "1"
    assert found["CARVE_RESULT_FILE"] == "/r.json"
    assert found["PATH"] == "/bin"
    for rest in (["-i", "more.ini"], ["--inventory=more.ini"], ["-imore.ini"]):
        found = cli.environment({}, Request("plan", "f.yml", rest=rest), "/r.json")
        assert found["ANSIBLE_INVENTORY_ENABLED"].startswith("carve.vps.fleet,host_list,")


def test_the_operators_own_settings_stay() -> None:
    found = cli.environment({"ANSIBLE_PIPELINING": "0", "ANSIBLE_FORKS": "9"}, Request("plan", "f.yml"), "/r")
    assert (found["ANSIBLE_PIPELINING"], found["ANSIBLE_FORKS"]) == ("0", "9")


# --- as a process, with an ansible-playbook that only does as it is told


def carve(tmp_path: Path, script: str, *words: str) -> subprocess.Popen[str]:
    """``carve`` under a Python beside which there is an ``ansible-playbook`` made of ``script``."""
    fake = tmp_path / "bin/ansible-playbook"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    python = str(tmp_path / "bin/python")
    start = f"import sys; sys.executable = {python!r}\nfrom {cli.__name__} import main\nsys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", start, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_it_runs_the_playbook_and_reads_what_came_of_it(tmp_path: Path) -> None:
    (tmp_path / "f.yml").touch()
    script = 'echo "$@"; echo \'{"differences": 1, "errors": []}\' >"$CARVE_RESULT_FILE"'
    assert outcome(carve(tmp_path, script, "drift", "f.yml", "-v")) == (2, "-i f.yml carve.vps.drift -v\n", "")


def test_without_words_it_helps(tmp_path: Path) -> None:
    code, out, err = outcome(carve(tmp_path, "exit 0"))
    assert (code, err) == (1, "")
    assert all(f"\n  {verb} " in out for verb in cli.VERBS)


def test_a_missing_manifest(tmp_path: Path) -> None:
    assert outcome(carve(tmp_path, "exit 0", "plan", "f.yml")) == (1, "", "carve: there is no manifest f.yml\n")


def test_a_signal_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "f.yml").touch()
    process = carve(
        tmp_path, "trap 'echo stopped; exit 3' TERM; touch up; while :; do sleep 0.1; done", "plan", "f.yml"
    )
    until = time.monotonic() + 30
    while not (tmp_path / "up").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert outcome(process) == (1, "stopped\n", "")
