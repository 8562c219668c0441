# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of whole runs: the callback and the playbooks, with nodes that answer as they are told."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unit.callback.conftest import Stage
from unit.callback.recorded import busy, carried_out, result, step

GROW = step("db", "change", "live", "declared", ("ram", "2G", "3G"))
GROWN = {**GROW, "status": "done"}
HELD = step("db", "rebuild", "rebuild", "template has changed", held="needs allow: rebuild")
NOTHING = "No changes. The fleet is as declared."


def test_nothing_to_do_is_one_line_and_one_call(stage: Stage) -> None:
    stage.node("node1", result())
    for playbook in ("plan", "apply"):
        ran = stage.run(f"carve.vps.{playbook}")
        assert (ran.code, ran.err, ran.lines) == (0, "", [NOTHING])
        assert re.fullmatch(r"\d+\.\d\d s \(node1: observe 0\.03\)", ran.out.splitlines()[-1])
    assert [call["check"] for call in stage.calls("node1")] == [True, False]


def test_plan_shows_nodes_in_order_and_changes_nothing(stage: Stage) -> None:
    stage.node("node10", result(GROW))
    stage.node("node2", result(*busy()))
    ran = stage.run("carve.vps.plan")
    assert (ran.code, ran.err) == (0, "")
    assert [line for line in ran.lines if line.startswith("node")] == ["node2", "node10"]
    assert ran.lines[-1] == (
        "Plan: 1 to build, 4 to create, 6 to change, 1 to restart, 1 to rebuild, 1 to destroy. 3 held back."
    )
    assert ran.summary is not None
    assert (ran.summary["verb"], ran.summary["differences"], ran.summary["held"]) == ("plan", 13, 3)
    assert [call["check"] for node in ("node2", "node10") for call in stage.calls(node)] == [True, True]
    assert stat.S_IMODE((stage.directory / "summary.json").stat().st_mode) == 0o600


def test_apply_tells_what_was_done(stage: Stage) -> None:
    stage.node("node1", result(*busy()), result(*carried_out(busy())))
    ran = stage.run("carve.vps.apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[-1] == "Applied: 1 built, 4 created, 5 changed. 3 held back."
    assert ran.summary is not None
    assert (ran.summary["differences"], ran.summary["counts"]["done"]["create"]) == (3, 4)
    assert len(stage.calls("node1")) == 1


def test_failed_and_unreachable_nodes_are_named(stage: Stage) -> None:
    stage.node("node1", result(), result(GROWN))
    stage.node("node2", result(), result({**GROW, "status": "failed"}, failed=True, msg="x", errors=["db: no space"]))
    stage.node("node3", result(), {"crash": "out of tune"})
    stage.node("node4", result(), ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    ran = stage.run("carve.vps.apply")
    assert ran.code != 0
    assert "node2\n  ~ container db                                     change FAILED\n" in ran.out
    assert "  error: db: no space\n" in ran.out
    assert re.search(r"^node3\n  error: (.*\n    )*.*out of tune", ran.out, re.MULTILINE)
    assert re.search(r"^node4\n  unreachable: .*Connection refused$", ran.out, re.MULTILINE)
    assert ran.lines[-1] == "Applied: 1 changed, 1 failed. 2 nodes failed, 1 node unreachable."
    assert ran.summary is not None
    assert {error["node"] for error in ran.summary["errors"]} == {"node2", "node3", "node4"}
    assert "Traceback" not in ran.err


def test_drift_has_its_own_words(stage: Stage) -> None:
    stage.node("node1", result(GROW))
    ran = stage.run("carve.vps.drift")
    assert "      ram        3G declared, 2G found  (declared)" in ran.lines
    assert ran.lines[-1] == "Drift: 1 different."
    assert [call["check"] for call in stage.calls("node1")] == [True]
    stage.node("node1", result())
    assert stage.run("carve.vps.drift").lines == ["No drift. The fleet is as declared."]


def test_validate_contacts_no_node(stage: Stage) -> None:
    stage.node("node1", result(), ansible_connection="ssh", ansible_host="192.0.2.1")
    ran = stage.run("carve.vps.validate")
    assert (ran.code, ran.out, ran.err) == (0, "fleet fleet1: 1 node, 0 containers: valid\n", "")


@pytest.mark.parametrize("verb", ["validate", "plan", "apply", "drift", "destroy"])
def test_an_inventory_without_nodes_is_a_failure(stage: Stage, verb: str) -> None:
    ran = stage.run(f"carve.vps.{verb}")
    assert ran.code != 0
    assert ran.lines[0].startswith("There is no node in this inventory.")


def test_a_limit_that_leaves_no_node_is_an_error(stage: Stage) -> None:
    stage.node("node1", result())
    inventory = stage.directory / "more.ini"
    inventory.write_text("web-1\n", encoding="utf-8")
    ran = stage.run("carve.vps.apply", "-i", str(inventory), "--limit", "web-1")
    assert "error: no node is left to work on" in ran.out
    assert ran.summary is not None and ran.summary["errors"]
    assert stage.calls("node1") == []


def test_limit_and_serial_keep_their_meaning(stage: Stage) -> None:
    for name in ("node1", "node2", "node3"):
        stage.node(name, result(), result(failed=True, msg="no", errors=["no"]) if name == "node1" else result(GROWN))
    stage.run("carve.vps.apply", "--limit", "node3")
    assert [len(stage.calls(name)) for name in stage.nodes] == [0, 0, 1]
    ran = stage.run("carve.vps.apply", "-e", "carve_serial=1")
    # As with every play: a batch of which all have failed ends the run.
    assert (ran.code != 0, [len(stage.calls(name)) for name in stage.nodes]) == (True, [1, 0, 1])


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ([], ["restart"]),
        (["-e", "carve_allow=destroy"], ["destroy"]),
        (["-e", "carve_allow='rebuild, destroy'"], ["rebuild", "destroy"]),
        (["-e", '{"carve_allow": ["rebuild"]}'], ["rebuild"]),
        (["-e", "carve_allow="], []),
    ],
)
def test_the_operators_leave_goes_before_the_manifests(stage: Stage, words: list[str], allowed: list[str]) -> None:
    stage.node("node1", result())
    stage.run("carve.vps.plan", *words)
    assert stage.calls("node1")[0]["allow"] == allowed


# --- saved plans


def test_a_saved_plan_is_applied_or_refused(stage: Stage) -> None:
    stage.node("node1", result(GROW), result(GROWN))
    ran = stage.run("carve.vps.plan", "-e", "carve_plan_file=x.plan")
    assert ran.lines[-1] == "The plan is in x.plan."
    path = stage.directory / "x.plan"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    saved = json.loads(path.read_text("utf-8"))
    assert (saved["fleet"], saved["nodes"]) == ("fleet1", {"node1": {"fingerprint": "f00d", "steps": [GROW]}})

    ran = stage.run("carve.vps.apply", "-e", f"carve_saved_plan={path}")
    assert (ran.code, ran.lines[-1]) == (0, "Applied: 1 changed.")
    assert [(call["check"], call["expect"]) for call in stage.calls("node1")] == [(True, None), (False, "f00d")]

    stage.node("node1", result(GROW, fingerprint="beef"))
    ran = stage.run("carve.vps.apply", "-e", f"carve_saved_plan={path}")
    assert (ran.code != 0, ran.lines[:2]) == (True, ["node1", "  error: it has moved"])


def test_a_node_that_is_not_in_the_saved_plan_is_refused_and_not_called(stage: Stage) -> None:
    stage.node("node1", result(GROW), result(GROWN))
    stage.run("carve.vps.plan", "-e", "carve_plan_file=x.plan")
    path = stage.directory / "x.plan"
    saved = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**saved, "nodes": {}}), encoding="utf-8")
    ran = stage.run("carve.vps.apply", "-e", f"carve_saved_plan={path}")
    assert ran.code != 0
    assert ran.lines[0] == "node1"
    assert re.fullmatch(r"  error: /.*x\.plan \(made 2\d{3}-.*Z\) has no plan for node1; plan again, .*", ran.lines[1])
    assert len(stage.calls("node1")) == 1


# --- asking


def on_a_terminal(stage: Stage, playbook: str, *words: str, answer: str | None = None) -> tuple[int, str]:
    """Runs a playbook on a terminal; types ``answer`` when it is asked for."""
    command = stage.command(playbook, *words)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(stage.directory)
        os.execve(command[0], command, stage.environment(TERM="xterm", COLUMNS="100"))
    seen, until = b"", time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
        elif answer is not None and re.search(rb"Write [^\r\n]*:\r?\n?$", seen):
            # Ansible throws away what is typed before it listens; it shows what it has heard.
            os.write(terminal, answer.encode() + b"\r")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


def test_what_was_shown_and_confirmed_is_what_is_done(stage: Stage) -> None:
    stage.node("node1", result(GROW), result(GROWN))
    stage.node("node2", result(HELD))
    code, seen = on_a_terminal(stage, "carve.vps.apply", "-e", "carve_ask=true", answer="yes")
    assert code == 0, seen
    assert plain(seen).index("Plan: 1 to change, 1 to rebuild. 1 held back.") < plain(seen).index("Applied: 1 changed.")
    assert [(call["check"], call["expect"]) for call in stage.calls("node1")] == [(True, None), (False, "f00d")]
    # Nothing was shown that would be done there, so there is nothing to call it for.
    assert [call["check"] for call in stage.calls("node2")] == [True]
    summary = stage.summary()
    assert summary is not None
    assert (summary["differences"], summary["held"], summary["counts"]["done"]) == (1, 1, {"change": 1})


def test_a_plan_that_is_not_confirmed_is_not_applied(stage: Stage) -> None:
    stage.node("node1", result(GROW))
    code, seen = on_a_terminal(stage, "carve.vps.apply", "-e", "carve_ask=true", answer="no")
    assert (code != 0, "Not applied. Nothing was changed." in seen) == (True, True)
    ran = stage.run("carve.vps.apply", "-e", "carve_ask=true")
    assert (ran.code != 0, "Not applied. Nothing was changed." in ran.lines) == (True, True)
    assert [call["check"] for call in stage.calls("node1")] == [True, True]


def test_nothing_is_asked_when_there_is_nothing_to_do(stage: Stage) -> None:
    stage.node("node1", result())
    ran = stage.run("carve.vps.apply", "-e", "carve_ask=true")
    assert (ran.code, ran.err, ran.lines) == (0, "", [NOTHING])
    stage.node("node1", result(HELD))
    ran = stage.run("carve.vps.apply", "-e", "carve_ask=true")
    assert (ran.code, ran.err, ran.lines[-1]) == (0, "", "Plan: 1 to rebuild. 1 held back.")
    assert [call["check"] for call in stage.calls("node1")] == [True, True]


def test_a_node_that_moved_after_the_plan_was_shown_is_left_alone(stage: Stage) -> None:
    stage.node("node1", result(GROW), result(GROWN, fingerprint="beef"))
    code, seen = on_a_terminal(stage, "carve.vps.apply", "-e", "carve_ask=true", answer="yes")
    assert (code != 0, "error: it has moved" in seen) == (True, True)


GONE = step("db", "destroy", "destroy", "no longer declared", ("state", "running", None))


def test_destroy_wants_the_name_of_the_fleet(stage: Stage) -> None:
    stage.node("node1", result(GONE), result({**GONE, "status": "done"}))
    ran = stage.run("carve.vps.destroy", "-e", "carve_destroy=other")
    assert ran.code != 0
    assert ran.lines[0] == "Nothing was destroyed. Confirm with the name of the fleet: -e carve_destroy=fleet1"
    assert stage.calls("node1") == []

    ran = stage.run("carve.vps.destroy")
    assert (ran.code != 0, "Nothing was destroyed." in ran.out) == (True, True)
    code, _seen = on_a_terminal(stage, "carve.vps.destroy", answer="yes")
    assert code != 0
    assert [call["check"] for call in stage.calls("node1")] == [True, True]

    code, seen = on_a_terminal(stage, "carve.vps.destroy", answer="fleet1")
    assert (code, "Applied: 1 destroyed." in seen) == (0, True)
    call = stage.calls("node1")[-1]
    assert (call["check"], call["expect"], call["allow"], call["prune"]) == (False, "f00d", ["destroy"], True)
    # Nothing is declared any more but what is guarded, which stays.
    assert call["containers"] == {"db": {"state": "absent", "protect": True}}


def test_the_name_is_asked_for_once_however_many_nodes_there_are(stage: Stage) -> None:
    for name in ("node1", "node2"):
        stage.node(name, result(GONE), result({**GONE, "status": "done"}))
    # Both of one fleet, as nodes really are.
    stage.nodes["node2"] = stage.nodes["node2"].replace("fleet2", "fleet1")
    code, seen = on_a_terminal(stage, "carve.vps.destroy", "-e", "carve_serial=1", answer="fleet1")
    assert (code, "Applied: 2 destroyed." in seen) == (0, True), seen
    assert [call["check"] for call in stage.calls("node1")] == [True, True, False, False]


def test_destroy_by_name_is_one_call(stage: Stage) -> None:
    stage.node("node1", result(GONE), result({**GONE, "status": "done"}))
    ran = stage.run("carve.vps.destroy", "-e", "carve_destroy=fleet1")
    assert (ran.code, ran.lines[-1]) == (0, "Applied: 1 destroyed.")
    assert [call["check"] for call in stage.calls("node1")] == [False]


def test_nothing_left_to_destroy(stage: Stage) -> None:
    stage.node("node1", result())
    ran = stage.run("carve.vps.destroy")
    assert (ran.code, ran.lines) == (0, ["Nothing of the fleet is left to destroy."])


# --- progress


def test_a_terminal_shows_one_line_while_work_runs_and_nothing_is_left_of_it(stage: Stage) -> None:
    stage.node("node1", result(), result(GROWN), seconds=3.5)
    code, seen = on_a_terminal(stage, "carve.vps.apply")
    assert code == 0
    assert re.search(r"\r\x1b\[Knode1: applying, \d+ s\r\x1b\[K", seen)
    left = re.sub(r"[^\n]*\r\x1b\[K", "", seen)
    assert "applying" not in left
    assert plain(left).startswith("node1\n  ~ container db ")
    assert "\x1b[33m" in left


def test_elsewhere_there_is_a_line_every_ten_seconds(stage: Stage) -> None:
    stage.node("node1", result(), result(GROWN), seconds=11)
    ran = stage.run("carve.vps.apply")
    assert re.match(r"node1: applying, 1\d s\n(node1: applying, \d\d s\n)*node1\n  ~ container db ", ran.out)
    assert "\x1b" not in ran.out and "\r" not in ran.out


# --- the command

FLEET = """\
plugin: carve.vps.fleet
version: 1
fleet: fleet1
templates: {debian-13: {build: {suite: trixie}}}
nodes: {node1: {ansible_connection: local}}
containers: {web: {template: debian-13, ram: 512M}}
"""


def carve(stage: Stage, *words: str, fleet: str = FLEET) -> tuple[int, str, str]:
    (stage.directory / "fleet.yml").write_text(fleet, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.carve.vps.plugins.plugin_utils.cli", *words],
        cwd=stage.directory, env=stage.environment(), check=False, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_commands_exit_codes(stage: Stage) -> None:
    for found, expected in ((result(), 0), (result(GROW), 2), (result(failed=True, msg="x", errors=["x"]), 1)):
        stage.node("node1", found)
        for verb in ("plan", "drift"):
            code, out, err = carve(stage, verb, "fleet.yml")
            assert (code, err) == (expected, ""), out
    stage.node("node1", result(HELD))
    assert carve(stage, "apply", "fleet.yml", "--yes", "--allow", "restart, destroy")[0] == 2
    assert stage.calls("node1")[-1]["allow"] == ["restart", "destroy"]
    stage.node("node1", result(GROW), result(GROWN))
    assert carve(stage, "plan", "fleet.yml", "--out", "a plan")[0] == 2
    code, out, _err = carve(stage, "apply", "fleet.yml", "--plan", "a plan")
    assert (code, "Applied: 1 changed." in out) == (0, True)
    assert carve(stage, "validate", "fleet.yml") == (0, "fleet fleet1: 1 node, 1 container: valid\n", "")


def test_a_bad_manifest_fails_with_its_own_errors(stage: Stage) -> None:
    stage.node("node1", result())
    code, out, err = carve(stage, "plan", "fleet.yml", fleet=FLEET.replace("ram:", "ramm:"))
    assert (code, out) == (1, "")
    assert "fleet.yml:6: containers.web.ramm: unknown option; did you mean ram?\n" in err
    assert "Traceback" not in err
    assert stage.calls("node1") == []


# --- other tasks, as in bootstrap and in users' own playbooks

TASKS = """\
- hosts: carve_nodes
  gather_facts: false
  tasks:
    - name: Say
      ansible.builtin.debug:
        msg: "first\\nsecond"
    - name: Show
      ansible.builtin.debug:
        var: carve_desired.allow
    - name: Say in a loop
      ansible.builtin.debug:
        msg: "number {{ item }}"
      loop: [1, 2]
    - name: Check quietly
      ansible.builtin.assert:
        that: true
    - name: Packages installed
      ansible.builtin.command: "true"
    - name: Nothing changed
      ansible.builtin.command: "true"
      changed_when: false
    - name: Settings written
      ansible.builtin.command: "echo {{ item }}"
      loop: [1, 2]
      notify: Restarted
    - name: Not needed
      ansible.builtin.command: "false"
      when: false
    - name: May fail
      ansible.builtin.command: "false"
      ignore_errors: true
  handlers:
    - name: Restarted
      ansible.builtin.command: "true"
"""


def test_of_other_tasks_what_changed_and_what_they_say_is_shown(stage: Stage) -> None:
    stage.node("node1", result())
    ran = stage.tasks(TASKS)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "node1: first",
        "  second",
        "node1: {",
        '    "carve_desired.allow": [',
        '      "restart"',
        "    ]",
        "  }",
        "node1: number 1",
        "node1: number 2",
        "node1: Packages installed",
        "node1: Settings written",
        "node1: Restarted",
        "3 changed.",
    ]
    more = stage.tasks(TASKS, "-v").out
    assert "node1: Settings written (1)" in more
    assert '"cmd": [' in more
    assert "node1: failed, ignored: May fail" in more


FAILING = """\
- hosts: carve_nodes
  gather_facts: false
  tasks:
    - name: Break
      ansible.builtin.{action}
"""


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        (
            'shell: "echo out; echo one >&2; echo two >&2; exit 3"',
            ["node1: failed: Break", "  non-zero return code", "  rc: 3",
             "  cmd: echo out; echo one >&2; echo two >&2; exit 3", "  stdout: out", "  stderr:", "    one", "    two"],
        ),
        ('command: "ls {{ item }}"\n      loop: [/, /none]', [
            "node1: failed: Break (/none)", "  non-zero return code", "  rc: 2", "  cmd: ls /none",
            "  stderr: ls: cannot access '/none': No such file or directory"]),
        ("fail:\n        msg: too old", ["node1: too old"]),
        ("command: echo {{ nobody }}", ["node1: failed: Break", "  'nobody' is undefined"]),
    ],
)  # fmt: skip
def test_failures_of_other_tasks_are_shown_in_full(stage: Stage, action: str, shown: list[str]) -> None:
    stage.node("node1", result())
    ran = stage.tasks(FAILING.replace("{action}", action))
    assert ran.code == 2
    assert ran.lines[: len(shown)] == shown
    assert ran.summary is not None
    assert [error["node"] for error in ran.summary["errors"]] == ["node1"]


def test_what_no_log_hides_stays_hidden(stage: Stage) -> None:
    stage.node("node1", result())
    secret = 'shell: "echo geheim; exit 1"\n      no_log: true'
    for words in ([], ["-vv"]):
        assert "geheim" not in stage.tasks(FAILING.replace("{action}", secret), *words).out


def test_a_loop_over_a_module_of_ours_is_shown_as_one_plan(stage: Stage) -> None:
    stage.node("node1", result(GROW))
    text = FAILING.replace("ansible.builtin.{action}", "carve.vps.node: {fleet: fleet1}\n      loop: [1, 2]")
    ran = stage.tasks(text.replace("gather_facts: false", "gather_facts: false\n  check_mode: true"))
    assert ran.lines[0] == "node1"
    assert ran.lines[-1] == "Plan: 1 to change."


def test_a_reader_that_goes_away_is_no_error(stage: Stage, tmp_path: Path) -> None:
    stage.node("node1", result(*busy()))
    process = subprocess.Popen(
        stage.command("carve.vps.plan"), env=stage.environment(), cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.wait(timeout=60)
    process.stderr.close()
    assert "Callback dispatch" not in errors
    assert stage.summary() is not None
