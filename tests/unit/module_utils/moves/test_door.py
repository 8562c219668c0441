# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the key of a move opens, and what it does not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from ansible_collections.carve.vps.plugins.module_utils.moves import answer, arrive, remote, session
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

SERVER = "rsync --server -lHogDtpAXrSe.iLsfxCIvu --delete --stats -@-1 --numeric-ids . "
COMPRESSED = SERVER.replace("--delete", "--compress-level=1 --compress-choice=zstd --delete")
AGAIN = "rsync --server -lHogDtpAXIRSe.LsfxCIvu --stats -@-1 --numeric-ids . "


@pytest.mark.parametrize(
    "place", ["containers/web-1/upper/", "containers/x/copy/", "templates/debian-13/1f4360e1dee7-0a0b0c/"]
)
def test_rsync_may_write_what_a_move_sends(place: str) -> None:
    assert arrive._SENDING.fullmatch(SERVER + place)
    assert arrive._SENDING.fullmatch(AGAIN + place)
    assert arrive._SENDING.fullmatch(COMPRESSED + place)


def test_rsync_need_not_wait_for_what_only_answers_need() -> None:
    """A container stands still while its last files and its memory are sent."""
    script = f"import sys; import {arrive.__name__}; print(*(name for name in sys.modules if '.module_utils.' in name))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert {name.partition(".module_utils.")[2] for name in done.stdout.split()} == {"moves", "moves.arrive", "paths"}


@pytest.mark.parametrize(
    "command",
    [
        SERVER + "/etc/",
        SERVER + "containers/../../etc/upper/",
        SERVER + "containers/web-1/root/",
        SERVER + "containers/web-1/upper/ /etc/",
        SERVER + "templates/debian-13/1f4360e1dee7/",
        SERVER.replace("--server", "--server --sender") + "containers/web-1/upper/",
        SERVER.replace("--stats", "--stats --log-file=/etc/passwd") + "containers/web-1/upper/",
        SERVER + "containers/web-1/upper/\nid",
        "carve adopt web-1 more",
        "carve reboot web-1",
        "carve adopt ../x",
        "id",
        "",
    ],
)
def test_nothing_else_is_run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", command)
    monkeypatch.setattr(arrive.os, "execv", lambda *_words: pytest.fail("a program was run"))
    monkeypatch.setattr(answer.arrival, "VERBS", {"adopt": lambda *_words: pytest.fail("something was done")})
    assert arrive.main([]) == 0
    assert "error" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("ident", "key"),
    [
        ("../x", "ssh-ed25519 AAAA"),
        ("x", 'ssh-ed25519 AAAA"\ncommand="id" ssh-ed25519 BBBB'),
        ("x", "ssh-rsa AAAA"),
        ("x y", "ssh-ed25519 AAAA"),
    ],
)
def test_a_door_is_not_opened_to_what_carve_has_not_made(ident: str, key: str) -> None:
    with pytest.raises(remote.MoveError, match="none that Carve makes"):
        session.open_for(Paths(base="/nowhere", run="/nowhere"), ident, key, None, None)


def test_a_port_of_which_another_has_one_address_is_not_free() -> None:
    """sshd would listen on the other addresses, and whoever calls this one would reach a stranger."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert not session._is_free(None, port)
        assert not session._is_free("127.0.0.1", port)
    assert session._is_free(None, port)
