# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's LXC configuration, what was changed in it by hand, and what its monitor answers."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import files, record
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host

from unit.module_utils.facets import boxes

DISORDER = (("lines in another order, repeated or blank",), ())
FIELDS: dict[str, Any] = {
    "ram": 1 << 29, "cpus": 1.5, "processes": 400, "hostname": "web.example.net", "network.eth0.mode": "bridged",
    "network.eth0.mac": "02:00:00:00:00:01", "network.eth0.bridge": "br-lan", "network.eth0.ip": ["10.20.0.5/24"],
}  # fmt: skip


def written(tmp_path: Path, version: int = 2) -> tuple[Host, Box, Path]:
    """A container whose configuration has just been written."""
    host = boxes.host(tmp_path, version)
    box = boxes.box(FIELDS, directory=str(tmp_path))
    batch = files.Batch()
    lxc.write_config(host, box, batch)
    batch.commit()
    return host, box, tmp_path / "config"


@pytest.mark.parametrize(("version", "prefix"), [(1, "lxc.cgroup."), (2, "lxc.cgroup2.")])
def test_the_whole_file_follows_from_the_record(tmp_path: Path, version: int, prefix: str) -> None:
    host, box, config = written(tmp_path, version)
    lines = config.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Written by Carve")
    options = [line.partition(" = ")[0] for line in lines if not line.startswith("#")]
    assert all(option.startswith("lxc.") for option in options)
    assert f"lxc.rootfs.path = dir:{tmp_path}/root" in lines
    assert "lxc.idmap = u 0 1310720 65536" in lines
    assert "lxc.uts.name = web.example.net" in lines
    assert "lxc.net.0.ipv4.address = 10.20.0.5/24" in lines
    assert f"{prefix}pids.max = 400" in lines
    assert {
        option.startswith(prefix) for option in options if option.startswith("lxc.cgroup") and "dir" not in option
    } == {True}
    assert config.stat().st_mode & 0o777 == 0o600
    assert lxc.strange_lines(host, box) is None


def test_a_staged_container_is_written_for_where_it_will_lie(tmp_path: Path) -> None:
    text = lxc.render(boxes.host(tmp_path), boxes.box(FIELDS, directory="/staging/web.new"), "/containers/web")
    assert "lxc.rootfs.path = dir:/containers/web/root\n" in text
    assert "/staging" not in text


@pytest.mark.parametrize(
    ("before", "after", "strange"),
    [
        ("", "lxc.extra = 1\n", (("lxc.extra = 1",), ())),
        ("lxc.tty.max = 0\n", "", ((), ("lxc.tty.max = 0",))),
        ("lxc.tty.max = 0", "lxc.tty.max = 4", (("lxc.tty.max = 4",), ("lxc.tty.max = 0",))),
        ("lxc.tty.max = 0\n", "lxc.tty.max = 0\nlxc.tty.max = 0\n", DISORDER),
        ("lxc.tty.max = 0\n", "lxc.tty.max = 0\n\n", DISORDER),
    ],
)  # fmt: skip
def test_what_was_changed_by_hand_is_named(tmp_path: Path, before: str, after: str, strange: Any) -> None:
    host, box, config = written(tmp_path)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(before, after, 1) if before else text + after, encoding="utf-8")
    assert lxc.strange_lines(host, box) == strange


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_file_that_is_gone_or_garbage_is_all_strange(tmp_path: Path, content: bytes | None) -> None:
    host, box, config = written(tmp_path)
    wanted = [line for line in config.read_text(encoding="utf-8").splitlines() if line]
    config.unlink()
    if content is not None:
        config.write_bytes(content)
    strange = lxc.strange_lines(host, box)
    assert strange is not None
    assert set(strange[1]) == set(wanted)


def test_containers_are_those_with_a_record_of_their_name(tmp_path: Path) -> None:
    host = boxes.host(tmp_path)
    assert (lxc.names(host), lxc.containers(host)) == ([], [])
    host.paths.make()
    for name, recorded in (("web", "web"), ("moved", "web"), ("strange", None)):
        directory = Path(host.paths.container(name))
        directory.mkdir()
        if recorded:
            batch = files.Batch()
            record.Record("acme", recorded, "d", "overlay", {"id": 20}).save(str(directory), batch)
            batch.commit()
    (Path(host.paths.containers) / "file").touch()
    assert lxc.names(host) == ["file", "moved", "strange", "web"]
    assert [(box.name, box.pid) for box in lxc.containers(host)] == [("web", None)]


@contextlib.contextmanager
def monitor(host: Host, name: str, answer: bytes) -> Iterator[None]:
    """A monitor's command socket that answers one question."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        server.bind(f"\0{host.paths.containers}/{name}/command")
        server.listen()

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                question, ancillary, _flags, _from = connection.recvmsg(64, 64)
                assert struct.unpack("@iiP", question)[0] == 4  # LXC_CMD_GET_INIT_PID
                assert struct.unpack("=iii", ancillary[0][2])[0] == os.getpid()
                connection.send(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    ("answer", "pid"),
    [
        (struct.pack("@iiP", 0, 0, 4711), 4711),
        (struct.pack("@iiP", -1, 0, 4711), None),
        (struct.pack("@iiP", 0, 0, 0), None),
        (struct.pack("@iiP", 0, 0, (1 << 64) - 3), None),
        (b"short", None),
        (b"", None),
    ],
)
def test_the_monitor_is_asked_for_the_init(tmp_path: Path, answer: bytes, pid: int | None) -> None:
    host = boxes.host(tmp_path)
    assert lxc.init_pid(host, "web") is None
    with monitor(host, "web", answer):
        assert lxc.init_pid(host, "web") == pid


def test_a_monitor_that_does_not_answer_is_no_stopped_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lxc, "_ANSWERING", 0.1)
    host = boxes.host(tmp_path)
    directory = Path(host.paths.container("web"))
    directory.mkdir(parents=True)
    batch = files.Batch()
    record.Record("acme", "web", "d", "overlay", {"id": 20}).save(str(directory), batch)
    batch.commit()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"\0{host.paths.containers}/web/command")
        server.listen(0)
        with pytest.raises(TimeoutError, match=r"monitor of container web does not answer"):
            lxc.init_pid(host, "web")
        # The one who has just asked waits still: there is no room for another.
        with pytest.raises(TimeoutError, match=r"monitor of container web does not answer"):
            lxc.containers(host)
        unclear: dict[str, Exception] = {}
        assert lxc.containers(host, unclear) == [] and list(unclear) == ["web"]
    assert [box.pid for box in lxc.containers(host)] == [None]


def test_who_is_alive() -> None:
    assert lxc.is_alive(os.getpid())
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert not lxc.is_alive(ended.pid)  # it has a number still, until it is waited for
    assert not lxc.is_alive(ended.pid)
