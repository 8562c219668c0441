# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attach connection on a node that is this machine's shell, with tools of LXC that enter nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible_collections.carve.vps.plugins.connection import attach as plugin
from ansible_collections.carve.vps.plugins.plugin_utils import attach

# They know one container, `web-1`, whose state is in the file `state`.
LXC_ATTACH = """#!/bin/sh
name=$4
if [ "$name" != web-1 ] || [ "$(cat {state})" != RUNNING ]; then
    echo "lxc-attach: $name: attach.c: get_attach_context: 406 Connection refused - Failed to get init pid" >&2
    exit 1
fi
while [ "$1" != -- ]; do shift; done
shift
HOME={home} exec "$@"
"""
LXC_INFO = """#!/bin/sh
if [ "$4" != web-1 ]; then echo "$4 doesn't exist" >&2; exit 1; fi
cat {state}
"""


class PlayContext:
    def copy(self) -> PlayContext:
        return PlayContext()


class Node:
    """A connection as Ansible's own are: commands are a text for the shell, data go in and out as bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: list[str] = []
        self.become: object = None
        self.closed = False
        self.failure: Exception | None = None

    def set_become_plugin(self, become: object) -> None:
        self.become = become

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        self.commands.append(cmd)
        if self.failure and "lxc-attach" in cmd:
            raise self.failure  # pylint: disable=raising-bad-type
        environment = {**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", cmd], input=in_data or b"", capture_output=True, check=False, env=environment
        )
        return done.returncode, done.stdout, done.stderr

    def close(self) -> None:
        self.closed = True

    def reset(self) -> None:
        raise AssertionError("other containers share the connection to the node")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "state").write_text("RUNNING\n", encoding="utf-8")
    (tmp_path / "home").mkdir()
    for name, text in (("lxc-attach", LXC_ATTACH), ("lxc-info", LXC_INFO)):
        (tools / name).write_text(text.format(state=tmp_path / "state", home=tmp_path / "home"), encoding="utf-8")
        (tools / name).chmod(0o755)
    return Node(tools)


Connect = Callable[..., plugin.Connection]


@pytest.fixture
def connect(node: Node) -> Connect:
    def make(**options: object) -> plugin.Connection:
        connection = plugin.Connection(PlayContext(), shell=object())
        connection._inner, connection._inner_name = node, "ssh"
        connection._options = {
            "container": "web-1",
            "node": "node1",
            "node_become": None,
            "lxc_path": "/var/lib/carve/containers",
            **options,
        }
        return connection

    return make


def stop(node: Node) -> None:
    (node.path.parent / "state").write_text("STOPPED\n", encoding="utf-8")


def test_commands_keep_code_output_and_input(connect: Connect, tmp_path: Path) -> None:
    answer = connect().exec_command("pwd; cat; echo wrong >&2; exit 3", in_data=b"\0\xff\n")
    assert answer == (3, f"{tmp_path}/home\n".encode() + b"\0\xff\n", b"wrong\n")


def test_become_is_answered_by_the_inner_connection(connect: Connect, node: Node) -> None:
    connection = connect()
    connection.become = become = object()
    connection.exec_command("true")
    assert node.become is become


def test_a_command_that_speaks_of_lxc_is_no_lost_container(connect: Connect, node: Node) -> None:
    answer = connect().exec_command("echo 'lxc-attach: web-1: Failed to get init pid' >&2; exit 1")
    assert answer[0] == 1
    assert len(node.commands) == 2  # the node was asked, and knew better


def test_a_stopped_container_is_unreachable(connect: Connect, node: Node) -> None:
    stop(node)
    with pytest.raises(AnsibleConnectionFailure, match=r"'web-1' on node 'node1' is stopped"):
        connect().exec_command("true")


def test_a_container_that_is_not_there_is_unreachable(connect: Connect) -> None:
    with pytest.raises(AnsibleConnectionFailure, match=r"there is no container 'web-2' on node 'node1'"):
        connect(container="web-2").exec_command("true")


def test_a_stopped_container_is_told_from_a_become_that_failed(connect: Connect, node: Node) -> None:
    """The local connection raises where the others answer."""
    node.failure = AnsibleError("Premature end of stream waiting for become success.")
    with pytest.raises(AnsibleError, match="Premature end"):
        connect().exec_command("true")
    stop(node)
    with pytest.raises(AnsibleConnectionFailure, match="is stopped"):
        connect().exec_command("true")


def test_a_node_that_does_not_answer_is_named(connect: Connect, node: Node) -> None:
    node.failure = AnsibleConnectionFailure("Failed to connect to the host via ssh: refused")
    with pytest.raises(AnsibleConnectionFailure, match=r"'web-1': the ssh connection to its node 'node1'") as caught:
        connect().exec_command("true")
    assert caught.value.__cause__ is node.failure
    assert len(node.commands) == 1  # nor is it asked again


@pytest.mark.parametrize("option", ["container", "node"])
def test_what_is_needed_is_asked_for(connect: Connect, option: str) -> None:
    with pytest.raises(AnsibleError, match=f"set carve_{option} for the host"):
        connect(**{option: None}).exec_command("true")


@pytest.mark.parametrize(("option", "of_node", "sudo"), [(None, True, True), (False, True, False), (True, False, True)])
def test_privilege_is_the_nodes_unless_the_option_says_otherwise(
    connect: Connect, option: bool | None, of_node: bool, sudo: bool
) -> None:
    connection = connect(node_become=option)
    connection._node_become = of_node
    assert connection._target().become is sudo


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 250])
def test_files_come_through_whole(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(attach, "CHUNK", 100)
    source, inside, back = tmp_path / "source", tmp_path / "in side'é", tmp_path / "back"
    source.write_bytes(os.urandom(size))
    connection = connect()
    connection.put_file(str(source), str(inside))
    assert inside.read_bytes() == source.read_bytes()
    connection.fetch_file(str(inside), str(back))
    assert back.read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_a_file_that_can_not_be_put_leaves_nothing(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")
    with pytest.raises(AnsibleError, match=r"container 'web-1' on node 'node1': failed to put .*nowhere"):
        connect().put_file(str(source), str(tmp_path / "nowhere" / "inside"))
    monkeypatch.setattr(attach, "commit_script", lambda part, path, size: "false")
    with pytest.raises(AnsibleError, match="failed to put"):
        connect().put_file(str(source), str(tmp_path / "inside"))
    assert not list(tmp_path.rglob("*.part"))


def test_files_that_are_not_there_are_named(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(AnsibleFileNotFound, match="missing"):
        connect().put_file(str(tmp_path / "missing"), str(tmp_path / "inside"))
    with pytest.raises(AnsibleError, match=r"failed to fetch .*missing.*is no file"):
        connect().fetch_file(str(tmp_path / "missing"), str(tmp_path / "back"))


def test_files_need_the_container_to_run(connect: Connect, node: Node, tmp_path: Path) -> None:
    stop(node)
    source = tmp_path / "source"
    source.write_bytes(b"data")
    with pytest.raises(AnsibleConnectionFailure, match="is stopped"):
        connect().put_file(str(source), str(tmp_path / "inside"))


def test_reset_leaves_the_node_to_the_others(connect: Connect, node: Node) -> None:
    connection = connect()
    connection.exec_command("true")
    assert connection.connected
    connection.reset()
    assert not connection.connected
    assert node.closed


def test_the_node_is_reached_by_its_own_variables() -> None:
    hostvars = {"node1": {"inventory_hostname": "node1", "ansible_user": "deploy"}}
    variables = {"inventory_hostname": "web-1", "ansible_user": "other", "hostvars": hostvars}
    node, known = plugin._node_variables("node1", variables)
    assert node["ansible_user"] == "deploy"
    assert known is node


@pytest.mark.parametrize("hostvars", [None, {}])
def test_a_node_outside_the_inventory_is_reached_by_the_containers(hostvars: dict[str, object] | None) -> None:
    variables = {"inventory_hostname": "web-1", "ansible_user": "other", "hostvars": hostvars}
    node, known = plugin._node_variables("node1", variables)
    assert node["ansible_user"] == "other"
    assert node["inventory_hostname"] == "node1"  # ssh falls back to it for the address
    assert known is None
