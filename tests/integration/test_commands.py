# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way: what a person types, from the manifest to containers that run, and back."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.tests.integration.desk import CARVE, Desk
from ansible_collections.carve.vps.tests.integration.support import (
    exists,
    force_remove,
    inside,
    limits,
    pid,
    start_time,
)

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def desk(tmp_path: Path, base_template: dict[str, Any]) -> Iterator[Desk]:
    force_remove("c-")
    made = Desk(tmp_path, base_template)
    yield made
    made.manifest["containers"] = {}
    code, output = made.carve("apply", "--yes", "--allow", "destroy")
    assert code == 0, output


def test_from_the_manifest_to_running_containers_and_back(desk: Desk) -> None:
    assert desk.carve("validate") == (0, "fleet carve-test-desk: 1 node, 2 containers: valid\n")
    code, output = desk.carve("plan")
    assert code == 2 and "+ container c-1" in output and "+ container c-2" in output
    assert not exists("c-1")
    code, output = desk.carve("apply", "--yes")
    assert code == 0, output
    for verb in ("plan", "drift"):
        code, output = desk.carve(verb)
        assert code == 0 and "The fleet is as declared." in output, output

    # Without a terminal nothing is asked, so nothing is done.
    desk.manifest["containers"]["c"]["ram"] = "128M"
    code, output = desk.carve("apply")
    assert code == 1 and "add --yes" in output
    assert desk.carve("drift")[0] == 2
    born = start_time("c-1")
    code, output = desk.carve("apply", "--yes")
    assert code == 0 and "ram" in output and "96M → 128M" in output, output
    assert start_time("c-1") == born
    assert str(128 << 20) in limits("c-1").values()

    # Tasks run inside, through the node, with no SSH server there.
    code, output = desk.ansible("carve_containers", "ansible.builtin.raw", "hostname")
    assert code == 0 and "c-1" in output and "c-2" in output
    code, output = desk.ansible("label_zone_a", "carve.vps.node_info")
    assert code == 0 and '"fleet": "carve-test-desk"' in output

    # What is no longer declared is held back, and said so.
    desk.manifest["containers"]["c"]["count"] = 1
    desk.manifest["containers"]["c"]["network"]["eth0"]["ip"] = "198.18.114.10"
    code, output = desk.carve("apply", "--yes")
    assert code == 2 and "needs allow: destroy" in output and exists("c-2")
    code, output = desk.carve("destroy", "-e", "carve_destroy=another-fleet")
    assert code == 1 and exists("c-1")
    code, output = desk.carve("destroy", "-e", "carve_destroy=carve-test-desk")
    assert code == 0 and not exists("c-1") and not exists("c-2"), output


def test_a_saved_plan_is_carried_out_exactly_or_refused(desk: Desk) -> None:
    desk.manifest["containers"]["c"]["count"] = 1
    desk.manifest["containers"]["c"]["network"]["eth0"]["ip"] = "198.18.114.10"
    code, output = desk.carve("plan", "--out", "first.plan")
    assert code == 2, output
    saved = json.loads((desk.place / "first.plan").read_text(encoding="utf-8"))
    assert (desk.place / "first.plan").stat().st_mode & 0o777 == 0o600
    assert saved["fleet"] == "carve-test-desk"
    code, output = desk.carve("apply", "--plan", "first.plan")
    assert code == 0 and pid("c-1"), output

    # The declaration has moved since.
    desk.manifest["containers"]["c"]["ram"] = "128M"
    assert desk.carve("plan", "--out", "second.plan")[0] == 2
    desk.manifest["containers"]["c"]["ram"] = "160M"
    code, output = desk.carve("apply", "--plan", "second.plan")
    assert code == 1 and "changed since the plan was made" in output
    # The node has moved since.
    desk.manifest["containers"]["c"]["ram"] = "128M"
    inside("c-1", "hostname", "moved")
    code, output = desk.carve("apply", "--plan", "second.plan")
    assert code == 1 and "changed since the plan was made" in output
    assert str(96 << 20) in limits("c-1").values()


def test_on_a_terminal_apply_shows_the_plan_and_asks(desk: Desk) -> None:
    desk.write()
    for answer, expected in (("no", 1), ("yes", 0)):
        code, seen = _type_at_the_prompt(desk.place, answer)
        assert code == expected, seen
        assert "+ container c-1" in seen.partition("Write yes")[0]
        assert exists("c-1") == (code == 0)


def _type_at_the_prompt(place: Path, answer: str) -> tuple[int, str]:
    """Run ``carve apply`` on a terminal of its own and answer its question; the exit code and what was shown."""
    child, screen = pty.fork()
    if child == 0:
        os.chdir(place)
        os.execv(CARVE[0], [*CARVE, "apply", "fleet.yml"])
    seen, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        # Ansible throws away what was typed before it asks: whoever is quicker types again.
        if select.select([screen], [], [], 2)[0]:
            try:
                seen += os.read(screen, 4096)
            except OSError:
                break
        elif b"Write yes" in seen:
            os.write(screen, f"{answer}\r".encode())
    else:
        os.kill(child, signal.SIGKILL)
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def test_a_bad_manifest_is_told_once_and_changes_nothing(desk: Desk) -> None:
    desk.manifest["containers"]["c"]["ram"] = "plenty"
    desk.manifest["containers"]["c"]["flavour"] = "small"
    for verb in ("validate", "plan", "apply", "drift"):
        code, output = desk.carve(verb, *(["--yes"] if verb == "apply" else []))
        assert code == 1
        assert output.count("'plenty' is not a size") == 1, output
        assert "did you mean flavor?" in output
        assert "Traceback" not in output
    assert not exists("c-1")
    desk.manifest["containers"] = {}


def test_no_secret_in_any_output(desk: Desk) -> None:
    (desk.place / "password").write_text("vault\n", encoding="utf-8")
    vault = str(Path(sys.executable).with_name("ansible-vault"))
    code, encrypted = desk.run(
        vault, "encrypt_string", "--vault-password-file", "password", f"echo {SECRET} >/etc/token"
    )
    assert code == 0
    block = encrypted[encrypted.index("!vault") : encrypted.rindex("\n")]
    desk.manifest["templates"]["keyed"] = {"from": "base", "commands": ["COMMAND"]}
    desk.manifest["defaults"]["template"] = "keyed"
    desk.manifest["containers"] = {"c-1": {}}
    desk.write()
    text = (desk.place / "fleet.yml").read_text(encoding="utf-8").replace("- COMMAND", f"- {block}")
    (desk.place / "fleet.yml").write_text(text, encoding="utf-8")
    options = ["--vault-password-file", "password", "-vvv", "--diff"]
    for verb in (["plan", "fleet.yml", "--out", "saved.plan"], ["apply", "fleet.yml", "--yes"], ["drift", "fleet.yml"]):
        code, output = desk.run(*CARVE, *verb, *options)
        assert code in (0, 2), output
        assert SECRET not in output
    assert SECRET not in (desk.place / "saved.plan").read_text(encoding="utf-8")
    assert inside("c-1", "cat", "/etc/token") == SECRET
    desk.manifest["templates"].pop("keyed")
    desk.manifest["defaults"]["template"] = "base"


def test_a_saved_plan_brings_its_leave(desk: Desk) -> None:
    assert desk.carve("apply", "--yes")[0] == 0
    del desk.manifest["containers"]["c"]
    assert desk.carve("plan", "--allow", "destroy", "--out", "go.plan")[0] == 2
    code, output = desk.carve("apply", "--plan", "go.plan")
    assert code == 0 and not exists("c-1"), output
