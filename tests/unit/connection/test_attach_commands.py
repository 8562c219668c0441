# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the attach connection gives to a node, and what it makes of the answers."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.plugin_utils import attach

TARGET = attach.Target(container="web-1", node="node1", lxc_path="/var/lib/carve/containers")
SUDO = attach.Target(container="web-1", node="node1", lxc_path="/var/lib/carve/containers", become=True)

AWKWARD = ["", "a b", "it's", '"$HOME" `id` $(id) \\', "two\nlines", "* ? [a]", "é漢字", "-n", "~", "a;b&&c|d>e #f"]


def shell(script: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["/bin/sh", "-c", script], input=data, capture_output=True, check=False)


def test_a_command_is_run_by_the_shell_of_the_container() -> None:
    argv = shlex.split(TARGET.command("echo hi"))
    assert argv[:5] == ["lxc-attach", "-P", "/var/lib/carve/containers", "-n", "web-1"]
    assert argv[-4:-1] == ["--", "/bin/sh", "-c"]
    assert shell(argv[-1]).stdout == b"hi\n"


def test_nothing_of_the_nodes_environment_gets_in() -> None:
    argv = shlex.split(TARGET.command("env"))
    options = argv[: argv.index("--")]
    assert "--clear-env" in options
    given = {options[at + 1].partition("=")[0] for at, option in enumerate(options) if option == "--set-var"}
    assert given == {"PATH", "HOME", "USER", "LOGNAME", "SHELL"}


@pytest.mark.parametrize("text", AWKWARD)
def test_every_command_passes_the_nodes_shell_unchanged(text: str) -> None:
    inside = shlex.join(["printf", "%s", text])
    # What the node's shell, for real, takes for the last argument.
    arrived = shell(f'set -- {TARGET.command(inside)}\nfor last; do :; done; printf %s "$last"').stdout.decode()
    assert shell(arrived).stdout.decode() == text


@pytest.mark.parametrize("name", ["web 1; reboot", "$(reboot)", "-x", "a'b"])
def test_names_are_arguments_and_nothing_else(name: str) -> None:
    target = attach.Target(container=name, node="n", lxc_path="/p q")
    assert shlex.split(target.state_command()) == ["lxc-info", "-P", "/p q", "-n", name, "-s", "-H"]
    assert shlex.split(target.command("id"))[1:5] == ["-P", "/p q", "-n", name]


def test_privilege_on_the_node_never_asks() -> None:
    assert shlex.split(SUDO.command("id"))[:3] == ["sudo", "-n", "lxc-attach"]
    assert shlex.split(SUDO.state_command())[:3] == ["sudo", "-n", "lxc-info"]


@pytest.mark.parametrize(
    ("target", "returncode", "stderr", "blamed"),
    [
        (TARGET, 1, b"lxc-attach: web-1: ../src/lxc/attach.c: 406 Connection refused - Failed to get init pid", True),
        (TARGET, 127, b"sh: 1: lxc-attach: not found", True),
        (TARGET, 0, b"lxc-attach: something that did no harm", False),
        (TARGET, 1, b"sudo: a password is required", False),  # said inside: there is no sudo on the way
        (SUDO, 1, b"sudo: a password is required", True),
        (TARGET, 1, b"no such file", False),
    ],
)
def test_only_words_of_lxc_and_sudo_make_it_ask_the_node(
    target: attach.Target, returncode: int, stderr: bytes, blamed: bool
) -> None:
    assert target.blames_lxc(returncode, stderr) is blamed


def test_a_running_container_is_not_to_blame() -> None:
    assert TARGET.explain(0, b"RUNNING\n", b"") is None


@pytest.mark.parametrize(
    ("target", "answer", "words"),
    [
        (TARGET, (0, b"STOPPED\n", b""), ["stopped, not running", "state: running"]),
        (TARGET, (0, b"STARTING\n", b""), ["starting, not running"]),
        (TARGET, (1, b"", b"web-1 doesn't exist\n"), ["there is no container", "/var/lib/carve/containers", "become"]),
        (TARGET, (1, b"", b"Insufficent privileges to control web-1\n"), ["carve_node_become: true"]),
        (TARGET, (127, b"", b"sh: 1: lxc-info: not found\n"), ["aren't installed", "carve.vps.bootstrap"]),
        (SUDO, (1, b"", b"sudo: a password is required\n"), ["sudo on the node refuses", "without a password"]),
        (SUDO, (127, b"", b"sh: 1: sudo: not found\n"), ["aren't installed", "sudo: not found"]),
        (TARGET, (1, b"", b"odd\n"), ["can't tell its state (odd)"]),
        (TARGET, (3, b"", b""), ["lxc-info ended with 3"]),
    ],
)
def test_troubles_name_container_and_node_and_the_remedy(
    target: attach.Target, answer: tuple[int, bytes, bytes], words: list[str]
) -> None:
    message = target.explain(*answer)
    assert message is not None
    for word in ["'web-1'", "'node1'", *words]:
        assert word in message


def test_with_sudo_a_missing_container_is_no_matter_of_privilege() -> None:
    message = SUDO.explain(1, b"", b"web-1 doesn't exist\n")
    assert message is not None and "become" not in message


def test_a_file_arrives_in_parts_under_its_name_only_when_whole(tmp_path: Path) -> None:
    path, part = tmp_path / "a b'é", tmp_path / "a b'é.part"
    assert shell(attach.write_script(str(part), first=True, empty=False), b"one\0\n\xff").returncode == 0
    assert shell(attach.write_script(str(part), first=False, empty=False), b"two").returncode == 0
    assert not path.exists()
    assert shell(attach.commit_script(str(part), str(path), 9)).returncode == 0
    assert path.read_bytes() == b"one\0\n\xfftwo"
    assert not part.exists()


def test_a_file_that_came_short_never_gets_its_name(tmp_path: Path) -> None:
    path, part = tmp_path / "f", tmp_path / "f.part"
    path.write_bytes(b"old")
    shell(attach.write_script(str(part), first=True, empty=False), b"hal")
    assert shell(attach.commit_script(str(part), str(path), 6)).returncode != 0
    assert path.read_bytes() == b"old"
    assert shell(attach.discard_script(str(part))).returncode == 0
    assert not part.exists()


def test_an_empty_file_is_written_without_reading(tmp_path: Path) -> None:
    part = tmp_path / "f.part"
    part.write_bytes(b"left over")
    script = attach.write_script(str(part), first=True, empty=True)
    # Standard input stays open, as ssh leaves it: a script that reads it would hang.
    with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=10) == 0
    assert part.read_bytes() == b""


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25])
def test_a_file_is_read_in_chunks(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a b'é"
    path.write_bytes(bytes(range(size)))
    chunks: list[bytes] = []
    while True:
        chunks.append(shell(attach.read_script(str(path), len(chunks), chunk=10)).stdout)
        if len(chunks[-1]) != 10:
            break
    assert b"".join(chunks) == path.read_bytes()


def test_a_file_of_the_kernels_is_read_whole() -> None:
    """Blocks of a file under /proc come short, which must not be taken for its end."""
    path = Path("/proc/filesystems")
    assert shell(attach.read_script(str(path), 0, attach.CHUNK)).stdout == path.read_bytes() != b""


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_not_read_as_an_empty_one(tmp_path: Path, name: str) -> None:
    answer = shell(attach.read_script(str(tmp_path / name), 0, attach.CHUNK))
    assert answer.returncode != 0
    assert b"is no file" in answer.stderr
