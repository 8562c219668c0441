# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of two nodes, by the commands that people type: containers are placed, found, moved and never made twice."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.moves import departure
from ansible_collections.carve.vps.tests.integration.desk import Desk
from ansible_collections.carve.vps.tests.integration.own_node import FLEET, run
from ansible_collections.carve.vps.tests.integration.support import box, exists, host, inside, pid, start_time
from ansible_collections.carve.vps.tests.integration.two_nodes import Node, two_nodes

NAMES = ("n1", "n2")


class Two(Desk):
    """Somebody with two nodes; Ansible reaches each by a Python that starts in its mount namespace."""

    def __init__(self, place: Path, template: dict[str, Any], nodes: tuple[Node, Node]) -> None:
        super().__init__(place, template)
        self.nodes = dict(zip(NAMES, nodes, strict=True))
        listed = {}
        for name, node in self.nodes.items():
            with node.here():
                pass
            python = place / f"python-{name}"
            namespace = f"/proc/{os.getpid()}/fd/{node.namespace}"
            python.write_text(f'#!/bin/sh\nexec nsenter --mount={namespace} /usr/bin/python3 "$@"\n', encoding="ascii")
            python.chmod(0o755)
            listed[name] = {
                "ansible_connection": "local", "ansible_python_interpreter": str(python),
                "ansible_host": "127.0.0.1", "capacity": {"ram": "1G"},
            }  # fmt: skip
        # No bridge: there is one kernel, and the two would have to share it.
        public = {"mode": "routed", "subnet": "198.51.100.0/24"}
        self.manifest.update(
            fleet=FLEET, networks={"public": public}, nodes=listed,
            containers={"x": {"count": 3, "network": {"eth0": {"on": "public", "ip": "auto"}}}},
            defaults={"template": "base", "ram": "64M", "stop_timeout": 0},
        )  # fmt: skip

    def where(self) -> dict[str, str]:
        """Which node has which container, by a look at both."""
        found: dict[str, str] = {}
        for node in NAMES:
            with self.nodes[node].here():
                for name in ("x-1", "x-2", "x-3"):
                    if exists(name):
                        assert name not in found, f"{name} is on both nodes"
                        assert pid(name)
                        found[name] = node
        return found

    def good(self, verb: str, *options: str) -> str:
        code, output = self.carve(verb, *options)
        assert code == 0, output
        return output


@pytest.fixture
def two(tmp_path: Path, base_template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with two_nodes() as nodes:
        yield Two(tmp_path, base_template, nodes)


def _addresses(two: Two) -> dict[str, list[str]]:
    found = {}
    for name, node in two.where().items():
        with two.nodes[node].here():
            found[name] = box(name).record.fields["network.eth0.ip"]
    return found


def test_containers_are_placed_found_drained_and_brought_back(two: Two) -> None:
    output = two.good("apply", "--yes")
    at = two.where()
    assert set(at) == {"x-1", "x-2", "x-3"} and set(at.values()) == {"n1", "n2"}, output
    given = _addresses(two)
    assert len({address for found in given.values() for address in found}) == 3
    assert "No changes" in two.good("plan") and "as declared" in two.good("drift")

    # Emptied: what ran there runs on the other node, with its data and its address, and is at home there.
    goes = sorted(name for name, node in at.items() if node == "n1")
    with two.nodes["n1"].here():
        inside(goes[0], "sh", "-c", "echo mine > /root/data")
    with two.nodes["n2"].here():
        born = {name: start_time(name) for name, node in at.items() if node == "n2"}
    output = two.good("drain", "-e", "carve_drain=n1", "--check")
    would = f"{goes[0]}: would move from n1 to n2 by a restart (it is not declared live_migration: true)"
    assert would in output and two.where() == at, output
    taken = given[goes[0]][0].partition("/")[0]
    run("ip", "address", "add", f"{taken}/32", "dev", "lo")
    try:
        code, output = two.carve("drain", "-e", "carve_drain=n1", "--check")
    finally:
        run("ip", "address", "del", f"{taken}/32", "dev", "lo")
    words = f"{goes[0]}: stays where it was: its address {taken} is this node's, on lo"
    assert code == 1 and words in output and all(f"{name}: would move" in output for name in goes[1:]), output
    output = two.good("drain", "-e", "carve_drain=n1")
    assert re.search(rf"{goes[0]}: moved from n1 to n2", output), output
    assert set(two.where().values()) == {"n2"} and _addresses(two) == given
    with two.nodes["n2"].here():
        assert inside(goes[0], "cat", "/root/data") == "mine"
        assert {name: start_time(name) for name in born} == born
    assert "No changes" in two.good("plan")
    # Somebody else, whose machine remembers nothing, sees the same.
    for file in (two.place / "cache").rglob("*"):
        if file.is_file():
            file.unlink()
    assert "No changes" in two.good("plan")
    assert two.ansible("x-1", "ansible.builtin.raw", "hostname")[1].rstrip().endswith("x-1")

    # And back to where they would be placed today.
    two.good("migrate", "-e", "carve_move=all")
    assert two.where() == at and _addresses(two) == given
    assert "as declared" in two.good("drift")
    assert "Nothing moves." in two.good("migrate", "-e", "carve_move=all")


def test_one_that_is_pinned_elsewhere_is_reported_and_moved(two: Two) -> None:
    two.manifest["containers"] = {"x-1": {"node": "n1"}}
    two.good("apply", "--yes")
    two.manifest["containers"]["x-1"]["node"] = "n2"
    for verb in ("plan", "drift"):
        code, output = two.carve(verb)
        assert code == 2 and "> container x-1" in output and "+ container" not in output, output
    code, output = two.carve("apply", "--yes", "--allow", "destroy")
    assert code == 2 and two.where() == {"x-1": "n1"}, output
    two.good("migrate", "-e", "carve_move=x-1")
    assert two.where() == {"x-1": "n2"} and "as declared" in two.good("drift")

    # What cannot be meant changes nothing.
    for options, words in (
        (["-e", "carve_move=x-1", "-e", "carve_to=n1"], "is pinned by node: n2; write node: n1 first"),
        (["-e", "carve_move=x-9"], "there is no container 'x-9'"),
        (["-e", "carve_drain=n9"], "there is no node 'n9'"),
        ([], "nothing is to be moved; write -e carve_move=NAME"),
    ):
        code, output = two.carve("migrate", *options)
        assert code == 1 and words in output, output
    output = two.good("drain", "-e", "carve_drain=n2")
    assert "x-1 stays: it is pinned by node: n2" in output and two.where() == {"x-1": "n2"}


@pytest.mark.parametrize("arrived", [False, True])
def test_what_a_broken_move_has_set_aside_is_put_right_by_apply(two: Two, arrived: bool) -> None:
    two.manifest["containers"] = {"x-1": {"node": "n1"}}
    two.good("apply", "--yes")
    if arrived:
        # The other node has it already, and this one was lost before it could give up its copy.
        two.manifest["containers"]["x-1"]["node"] = "n2"
        two.good("migrate", "-e", "carve_move=x-1")
        with two.nodes["n1"].here():
            _set_aside_a_copy(two)
    else:
        with two.nodes["n1"].here():
            journey = departure._Journey(host(), "x-1", SimpleNamespace(node="n2"))  # type: ignore[arg-type]
            journey._was_running = True
            journey._leave(box("x-1"))
        code, output = two.carve("restore", "--container", "x-1", "--to", "n2", "--place", "/nowhere")
        assert code == 1 and "there is a container x-1 on n1 already" in output, output
        two.manifest["containers"]["x-1"]["node"] = "n2"
        output = two.good("migrate", "-e", "carve_move=x-1", "--check")
        two.manifest["containers"]["x-1"]["node"] = "n1"
        assert "by a restart (it is set aside by a move that did not end, which goes on first)" in output, output
    code, output = two.carve("plan")
    assert code == 2 and ("discard" if arrived else "return") in output, output
    two.good("apply", "--yes")
    assert two.where() == {"x-1": "n2" if arrived else "n1"}
    assert "as declared" in two.good("drift")
    with two.nodes["n1"].here():
        assert list(Path("/var/lib/carve/departing").iterdir()) == []


def _set_aside_a_copy(two: Two) -> None:
    with two.nodes["n2"].here():
        kept = Path("/var/lib/carve/containers/x-1/carve.json").read_text(encoding="utf-8")
    aside = Path("/var/lib/carve/departing/x-1")
    aside.mkdir(parents=True)
    (aside / "carve.json").write_text(kept, encoding="utf-8")
