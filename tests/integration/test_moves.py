# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container goes to another node and takes along everything that it is; whatever happens, one copy runs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import boot, info, record, usage
from ansible_collections.carve.vps.plugins.module_utils.host import Box
from ansible_collections.carve.vps.plugins.module_utils.kernel import frames
from ansible_collections.carve.vps.plugins.module_utils.moves import departure, ends, verify
from ansible_collections.carve.vps.plugins.module_utils.moves.remote import LineBroken, NotBegun, Remote
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.tests.integration import killed_move
from ansible_collections.carve.vps.tests.integration.own_node import BRIDGE, FLEET, NETWORKS, run
from ansible_collections.carve.vps.tests.integration.snapshot_support import did
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    addresses,
    box,
    exists,
    host,
    inside,
    limits,
    pid,
    start_time,
    wait_for,
)
from ansible_collections.carve.vps.tests.integration.two_nodes import Node, two_nodes

NAME = "x-mover"
SESSION = "test-move"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
LAN = ["10.214.0.20", "fd00:214::20"]
Result = dict[str, Any]


class Pair:
    """Two nodes of one fleet, with one running container on the first."""

    def __init__(self, one: Node, other: Node, template: dict[str, Any]) -> None:
        self.one, self.other = one, other
        # How often keys were exchanged in the last move.
        self.connections = 0
        self.fleet = Fleet(FLEET, {"base": template})
        self.fleet.networks = {name: dict(options) for name, options in NETWORKS.items()}
        with other.here():
            self._apply()
        network = {"eth0": {"on": "lan", "ip": LAN}, "eth1": {"on": "public", "ip": ["198.51.100.7"]}}
        self.fleet.declare(NAME, ram="96M", processes=300, network=network, stop_timeout=0)
        with one.here():
            self._apply()

    def _apply(self) -> None:
        result = self.fleet.run(ALL)
        assert not result.get("failed"), result["msg"]

    def options(self, source: Node, destination: Node) -> Result:
        """What the modules are told: first the source makes a key, then the destination opens its door."""
        common = {"session": SESSION, "fleet": FLEET}
        with source.here():
            prepared = ends.at_source({**common, "state": "prepared", "containers": [NAME]}, check=False)
            assert not prepared.get("failed"), prepared["msg"]
        door = {"state": "open", "address": "127.0.0.1", "port": None, "networks": self.fleet.networks}
        with destination.here():
            opened = ends.at_destination({**common, **door, "key": prepared["key"], "bridges": prepared["bridges"]})
            assert not opened.get("failed"), opened["msg"]
        where = {"destination": "other", "address": "127.0.0.1", "port": opened["port"], "host_key": opened["host_key"]}
        return {**common, "state": "done", "containers": [NAME], **where}

    def move(self, source: Node, destination: Node) -> Result:
        options = self.options(source, destination)
        try:
            with source.here():
                result = ends.at_source(options, check=False)
            with destination.here():
                log = Path(Paths().move(SESSION), "log").read_text(encoding="utf-8")
            self.connections = log.count("Accepted publickey")
            return result
        finally:
            self.shut(destination)

    def previewed(self, source: Node, destination: Node, **more: Any) -> Result:
        """What a move would come to, as the playbook asks for it in check mode."""
        common = {"session": SESSION, "fleet": FLEET, "containers": [NAME], **more}
        with source.here():
            asked = ends.at_source({**common, "state": "prepared"}, check=True)
            assert not asked.get("failed"), asked["msg"]
        door = {"session": SESSION, "fleet": FLEET, "state": "open", "networks": self.fleet.networks}
        with destination.here():
            questions = {"bridges": asked["bridges"], "questions": asked["questions"]}
            told = ends.at_destination({**door, **questions}, check=True)
            assert not told.get("failed"), told["msg"]
            assert not Path(Paths().move(SESSION)).exists() and not any(Path(Paths().incoming).iterdir())
        with source.here():
            result = ends.at_source({**common, "state": "done", "answers": told["answers"]}, check=True)
            assert not Path(Paths().move(SESSION)).exists() and not any(Path(Paths().departing).iterdir())
        return result

    def shut(self, destination: Node) -> None:
        with destination.here():
            ends.at_destination({"state": "closed", "session": SESSION, "fleet": FLEET})

    def killed(self, point: str) -> bool:
        """Whether a move was killed at this point."""
        options = self.options(self.one, self.other)
        result = subprocess.run(
            [sys.executable, killed_move.__file__, f"/proc/{os.getpid()}/fd/{self.one.namespace}", point],
            input=json.dumps(options), text=True, capture_output=True, check=False, env=ENVIRONMENT,
        )  # fmt: skip
        self.shut(self.other)
        assert result.returncode == 0 or not result.stderr, result.stderr
        return result.returncode == -9


@pytest.fixture
def pair(base_template: dict[str, Any]) -> Iterator[Pair]:
    with two_nodes() as (one, other):
        yield Pair(one, other, base_template)


def _live_in(name: str) -> None:
    """Leave every kind of trace that an overlay's upper layer knows."""
    script = (
        "echo mine > /root/data; chown 1000:1000 /root/data; ln /root/data /root/linked; mkfifo /root/pipe;"
        "rm /etc/debian_version; rm -r /etc/cron.daily; mkdir /etc/cron.daily; echo one > /etc/cron.daily/one;"
        "echo '# changed' >> /etc/profile; ln -s /nowhere /root/dangling; truncate -s 1M /root/sparse"
    )
    inside(name, "sh", "-ec", script)


def _has_lived(name: str) -> None:
    assert inside(name, "stat", "-c", "%u:%g %h", "/root/data") == "1000:1000 2"
    assert inside(name, "cat", "/root/linked") == "mine"
    assert inside(name, "ls", "/etc/cron.daily") == "one"
    assert inside(name, "sh", "-c", "test -e /etc/debian_version; echo $?") == "1"
    assert inside(name, "tail", "-n1", "/etc/profile") == "# changed"
    assert inside(name, "sh", "-c", "test -p /root/pipe && readlink /root/dangling") == "/nowhere"
    assert inside(name, "stat", "-c", "%s", "/root/sparse") == str(1 << 20)
    # Directories of the template still merge with what was changed in them.
    assert int(inside(name, "sh", "-c", "ls /etc | wc -l")) > 50


@contextlib.contextmanager
def _listening() -> Iterator[set[bytes]]:
    """Every frame that comes by the bridge meanwhile."""
    heard: set[bytes] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as line:
        line.bind((BRIDGE, 0x0003))
        yield heard
        line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.add(line.recv(65536))


def _only_at(pair: Pair, node: Node) -> None:
    """The container is on this node as declared, and nothing of it, or of a move, is left anywhere else."""
    for each in (pair.one, pair.other):
        with each.here():
            assert exists(NAME) == (each is node)
            assert each is node or not Path(Paths().usage(NAME)).exists()
            # Clearing away what a killed move has left is for the next run.
            result = pair.fleet.check() if each is node else pair.fleet.run(containers={})
            assert not result.get("failed"), result["msg"]
            if each is node:
                assert result["steps"] == []
            for place in (Paths().departing, Paths().incoming, Paths().staging):
                assert not any(Path(place).iterdir()) or each is node, place


def test_there_and_back_with_everything_that_it_is(pair: Pair) -> None:
    with pair.one.here():
        _live_in(NAME)
        identity = inside(NAME, "cat", "/etc/machine-id")
        before = limits(NAME)
    result = pair.previewed(pair.one, pair.other)
    method = {"method": "restart", "not_live": "it is not declared live_migration: true"}
    assert result == {"changed": True, "moves": {NAME: {"result": "moved", "error": None, **method}}}
    _only_at(pair, pair.one)
    result = pair.move(pair.one, pair.other)
    assert not result.get("failed"), result["msg"]
    assert result["moves"][NAME]["result"] == "moved" and result["moves"][NAME]["first_pass_bytes"] > 0
    assert pair.connections == 1
    with pair.other.here():
        _has_lived(NAME)
        assert inside(NAME, "cat", "/etc/machine-id") == identity
        assert limits(NAME) == before
        assert {address.partition("/")[0] for address in addresses(NAME)} == set(LAN)
        assert addresses(NAME, "eth1") == {"198.51.100.7/32"}
        # The other node has built the template, too; the container lies on the very files that it was made from.
        found = record.load(Paths().container(NAME))
        assert found is not None and found.build
        assert usage.load(Paths(), NAME, found.uuid)["totals"]["cpu_us"] > 0
        inside(NAME, "sh", "-c", "echo there > /root/there")
    _only_at(pair, pair.other)

    with _listening() as heard:
        result = pair.move(pair.other, pair.one)
    assert not result.get("failed"), result["msg"]
    with pair.one.here():
        _has_lived(NAME)
        mac = bytes.fromhex(inside(NAME, "cat", "/sys/class/net/eth0/address").replace(":", ""))
        assert {frames.announcement(mac, address) for address in LAN} <= heard
        assert inside(NAME, "cat", "/root/there") == "there"
        found = record.load(Paths().container(NAME))
        assert found is not None and found.build is None
    _only_at(pair, pair.one)


def test_for_which_of_its_addresses_it_answers(pair: Pair) -> None:
    """What a live move asks before and after, bridged and routed; and what somebody inside has changed."""
    with pair.one.here():
        # A new IPv6 address answers when it has been looked for elsewhere.
        wait_for("all addresses", lambda: verify.answering(box(NAME)) == {*LAN, "198.51.100.7"})
        inside(NAME, "sh", "-ec", f"ip address del {LAN[0]}/24 dev eth0; ip link set eth1 arp off")
        assert verify.answering(box(NAME)) == {LAN[1]}
        inside(NAME, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:07")
        assert verify.answering(box(NAME)) == set()


def test_what_is_written_between_the_passes_comes_whatever_its_time_says(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a mapped page that was to be written to disk already: another content, the same size and time."""
    with pair.one.here():
        _live_in(NAME)
        before = (
            "printf before > /root/mapped; cp -p /root/mapped /root/as-it-was; mkdir -p /root/other/one '/#odd';"
            "cp -p /root/mapped '/#odd/;name'"
        )
        inside(NAME, "sh", "-ec", before)
    set_aside = departure._Journey._set_aside

    def write_first(journey: departure._Journey, box: Box) -> None:
        after = (
            "for one in /root/mapped '/#odd/;name'; do printf after. 1<> $one; touch -r /root/as-it-was $one; done;"
            "rm -r /root/other;"
            "echo file > /root/other; mkdir -p /etc/new; echo new > /etc/new/file; touch -d 2020-01-01 /etc/cron.daily"
        )
        inside(NAME, "sh", "-ec", after)
        set_aside(journey, box)

    monkeypatch.setattr(departure._Journey, "_set_aside", write_first)
    result = pair.move(pair.one, pair.other)
    assert not result.get("failed"), result["msg"]
    with pair.other.here():
        assert inside(NAME, "cat", "/root/mapped", "/root/other", "/etc/new/file") == "after.file\nnew"
        assert inside(NAME, "cat", "/#odd/;name") == "after."
        assert inside(NAME, "stat", "-c", "%y", "/etc/cron.daily").startswith("2020-01-01")
        _has_lived(NAME)
    assert not pair.move(pair.other, pair.one).get("failed")


def test_what_was_given_away_while_it_was_copied_is_not_taken(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    set_aside = departure._Journey._set_aside

    def make_another(journey: departure._Journey, box: Box) -> None:
        with pair.other.here():
            Path(Paths().container(NAME)).mkdir()
        set_aside(journey, box)

    with monkeypatch.context() as other_run:
        other_run.setattr(departure._Journey, "_set_aside", make_another)
        result = pair.move(pair.one, pair.other)
    assert f"{NAME}: stays where it was: there is a container {NAME} already" in result["msg"]
    with pair.other.here():
        Path(Paths().container(NAME)).rmdir()
    with pair.one.here():
        assert pid(NAME)
    _only_at(pair, pair.one)


def test_two_fleets_do_not_send_into_one_place(pair: Pair) -> None:
    options = pair.options(pair.one, pair.other)
    try:
        with pair.other.here():
            place = Path(Paths().incoming, "containers", NAME)
            (place / "upper").mkdir(parents=True)
            (place / "attempt.json").write_text('{"move": "x", "uuid": "another", "memory": 0}', encoding="ascii")
        with pair.one.here():
            result = ends.at_source(options, check=False)
        words = f"{NAME}: stays where it was: a container {NAME} of another fleet is on its way there"
        assert result["msg"] == words
        with pair.other.here():
            assert (place / "upper").is_dir()
    finally:
        pair.shut(pair.other)
    # Nobody sends it any more.
    assert not pair.move(pair.one, pair.other).get("failed")
    _only_at(pair, pair.other)


def test_a_stopped_container_moves_and_stays_stopped(pair: Pair) -> None:
    pair.fleet.containers[NAME]["state"] = "stopped"
    with pair.one.here():
        pair.fleet.apply()
    assert not pair.move(pair.one, pair.other).get("failed")
    _only_at(pair, pair.other)


def test_what_cannot_come_is_refused_before_anything_is_stopped(pair: Pair) -> None:
    with pair.one.here():
        born = start_time(NAME)
    with pair.other.here():
        Path(Paths().container(NAME)).mkdir()
    foreseen, result = pair.previewed(pair.one, pair.other), pair.move(pair.one, pair.other)
    assert result["failed"] and result["moves"][NAME]["result"] == "stayed"
    assert foreseen["msg"] == result["msg"] == f"{NAME}: stays where it was: there is a container {NAME} already"
    with pair.other.here():
        Path(Paths().container(NAME)).rmdir()
    subprocess.run(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"], check=True)
    try:
        foreseen, result = pair.previewed(pair.one, pair.other), pair.move(pair.one, pair.other)
    finally:
        subprocess.run(["ip", "address", "del", "198.51.100.7/32", "dev", "lo"], check=True)
    words = f"{NAME}: stays where it was: its address 198.51.100.7 is this node's, on lo"
    assert foreseen["msg"] == result["msg"] == words
    live = pair.previewed(pair.one, pair.other, method="live")
    assert live["failed"] and "it cannot be moved live: " in live["msg"], live
    with pair.one.here():
        assert start_time(NAME) == born
    assert "is not on this node" in _prepared(pair, ["x-nobody"])["msg"]
    _only_at(pair, pair.one)


@contextlib.contextmanager
def _neighbour(*found: str) -> Iterator[str]:
    """Another machine on the bridge, which has these addresses; its MAC address."""
    mac, inside_it = "02:00:00:00:99:01", ["ip", "-n", "carve-x-other"]
    try:
        run("ip", "netns", "add", "carve-x-other")
        end = ["name", "eth0", "netns", "carve-x-other", "address", mac]
        run("ip", "link", "add", "carvex-other", "type", "veth", "peer", *end)
        run("ip", "link", "set", "carvex-other", "master", BRIDGE, "up")
        run(*inside_it, "link", "set", "eth0", "up")
        for address in found:
            run(*inside_it, "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        yield mac
    finally:
        run("ip", "link", "del", "carvex-other", check=False)
        run("ip", "netns", "del", "carve-x-other")


def test_an_address_that_another_machine_on_the_bridge_has_is_named(pair: Pair) -> None:
    with pair.one.here():
        born = start_time(NAME)
    with _neighbour(f"{LAN[0]}/24", f"{LAN[1]}/64") as mac:
        result = pair.move(pair.one, pair.other)
    words = "; ".join(f"its address {address} is {mac}'s, on {BRIDGE}" for address in LAN)
    assert result["msg"] == f"{NAME}: stays where it was: {words}"
    with pair.one.here():
        assert start_time(NAME) == born
    # It is alone now, and answers for itself.
    assert not pair.move(pair.one, pair.other).get("failed")


def _prepared(pair: Pair, names: list[str]) -> Result:
    with pair.one.here():
        options = {"state": "prepared", "session": SESSION, "fleet": FLEET, "containers": names}
        return ends.at_source(options, check=False)


def test_one_that_does_not_start_there_comes_back_and_runs(pair: Pair) -> None:
    with pair.one.here():
        _live_in(NAME)
    with pair.other.here():
        hook = Path(LIBRARY, "hook")
        kept = hook.read_text(encoding="utf-8")
        hook.write_text("#!/bin/false\n", encoding="utf-8")
    result = pair.move(pair.one, pair.other)
    assert result["failed"] and "does not start" in result["msg"], result
    assert result["moves"][NAME]["result"] == "stayed"
    with pair.other.here():
        hook.write_text(kept, encoding="utf-8")
    with pair.one.here():
        _has_lived(NAME)
    _only_at(pair, pair.one)


@pytest.mark.parametrize(
    "point",
    ["before _send_template", "after _copy", "before _set_aside", "after _set_aside", "before _hand_over",
     "after _hand_over", "before _give_up"],
)  # fmt: skip
def test_a_move_that_was_killed_is_finished_by_the_next(pair: Pair, point: str) -> None:
    with pair.one.here():
        _live_in(NAME)
    assert pair.killed(point)
    result = pair.move(pair.one, pair.other)
    assert not result.get("failed"), result["msg"]
    with pair.other.here():
        assert pid(NAME)
        _has_lived(NAME)
    _only_at(pair, pair.other)


def _serves_on(pair: Pair) -> None:
    """It has gone on at its destination, where somebody has changed it since; the same move keeps all of that."""
    with pair.other.here():
        inside(NAME, "sh", "-c", f"echo since >/root/since; ip address del {LAN[0]}/24 dev eth0")
    result = pair.move(pair.one, pair.other)
    assert result["moves"][NAME]["result"] == "moved", result
    with pair.other.here():
        assert inside(NAME, "cat", "/root/since") == "since"
        pair.fleet.apply(ALL)
    _only_at(pair, pair.other)


def test_what_was_written_there_since_a_killed_hand_over_is_kept(pair: Pair) -> None:
    assert pair.killed("before _give_up")
    _serves_on(pair)


def test_an_answer_that_is_lost_is_no_refusal(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line comes back too late for the answer, and in time for whatever would be asked next."""
    ask = Remote.ask

    def lose(remote: Remote, verb: str, *rest: Any) -> dict[str, Any]:
        answer = ask(remote, verb, *rest)
        if verb == "adopt":
            raise LineBroken("the line broke")
        return answer

    with monkeypatch.context() as broken:
        broken.setattr(Remote, "ask", lose)
        broken.setattr("ansible_collections.carve.vps.plugins.module_utils.moves.remote._ASKING_AGAIN", 1.0)
        result = pair.move(pair.one, pair.other)
    assert result["moves"][NAME]["result"] == "unknown", result
    assert "run the same move again" in result["msg"]
    with pair.other.here():
        assert pid(NAME)
    with pair.one.here():
        assert not exists(NAME)
    _serves_on(pair)


def test_a_destination_that_has_no_time_for_it_is_waited_for_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has said that it has begun nothing; the container comes back rather than wait where it serves nobody."""
    ask, asked = Remote.ask, []

    def busy(remote: Remote, verb: str, *rest: Any) -> dict[str, Any]:
        asked.append(verb)
        if verb == "adopt":
            raise NotBegun("the destination is busy")
        return ask(remote, verb, *rest)

    with monkeypatch.context() as short:
        short.setattr(Remote, "ask", busy)
        result = pair.move(pair.one, pair.other)
    assert result["moves"][NAME]["result"] == "stayed", result
    assert asked.count("adopt") == 1
    with pair.one.here():
        assert pid(NAME)
    _only_at(pair, pair.one)


def test_what_no_other_node_was_asked_to_start_starts_with_its_own(pair: Pair) -> None:
    """A node that goes down in the middle of a move has it again when it is up, whatever becomes of the move."""
    with pair.one.here():
        _live_in(NAME)
    assert pair.killed("before _hand_over")
    with pair.one.here():
        assert not exists(NAME)
        assert boot.start(host()) == {}
        assert pid(NAME)
        _has_lived(NAME)
    assert not pair.move(pair.one, pair.other).get("failed")
    _only_at(pair, pair.other)


def test_a_copy_that_cannot_be_removed_is_told_and_is_no_failure(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError("rm: Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(departure.setaside, "discard", refuse)
        moved = pair.move(pair.one, pair.other)["moves"][NAME]
    assert (moved["result"], moved["left_behind"]) == ("moved", "rm: Input/output error")
    with pair.one.here():
        assert not pair.fleet.run(containers={}, elsewhere={NAME: "other"}).get("failed")
    _only_at(pair, pair.other)


def test_its_snapshots_stay_behind_and_serve_when_it_is_back(pair: Pair) -> None:
    with pair.one.here():
        inside(NAME, "sh", "-c", "echo then >/root/state; sync")
        did(pair.fleet, "then", NAME)
    moved = pair.move(pair.one, pair.other)["moves"][NAME]
    assert (moved["result"], moved["snapshots_left"]) == ("moved", 1)
    with pair.other.here():
        inside(NAME, "sh", "-c", "echo now >/root/state; sync")
        assert info.gather()["containers"][NAME]["snapshots"] == {}
    with pair.one.here():
        assert set(info.gather()["left_behind"][NAME]["snapshots"]) == {"then"}
    assert pair.move(pair.other, pair.one)["moves"][NAME]["result"] == "moved"
    with pair.one.here():
        did(pair.fleet, "then", NAME, state="rolled_back", allow=["restart"])
        assert inside(NAME, "cat", "/root/state") == "then"
    assert pair.move(pair.one, pair.other)["moves"][NAME]["result"] == "moved"
    with pair.one.here():
        did(pair.fleet, "then", NAME, state="absent")
        assert info.gather()["left_behind"] == {}
