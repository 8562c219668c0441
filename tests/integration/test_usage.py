# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers use and have used: every count is provoked from inside, and kept when the run ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import beancounters, info
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import LIBRARY, Paths
from ansible_collections.carve.vps.tests.integration.desk import Desk
from ansible_collections.carve.vps.tests.integration.support import (
    ALL,
    Fleet,
    booted,
    force_remove,
    host,
    inside,
    pid,
    wait_for,
)

ADDRESS = "198.18.113.40"
NOWHERE = "198.18.113.41"
PAGES = (1 << 20) // 4096  # in a megabyte
NOT_TRACKED = {
    "privvmpages", "numflock", "numsiginfo", "tcpsndbuf", "tcprcvbuf", "othersockbuf", "dgramrcvbuf", "numfile",
    "numiptent",
}  # fmt: skip
VERSION_2 = host().cgroup.version == 2
# A gulp that no container of these tests can swallow: it is a child that is killed.
BOMB = "b'x' * (1 << 30)"
FORKS = """
import os, time
children, refused = [], 0
while refused < 3:
    try:
        child = os.fork()
    except BlockingIOError:
        refused += 1
        continue
    if child == 0:
        time.sleep(600)
    children.append(child)
for child in children:
    os.kill(child, 9)
"""
SEND = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    for _ in range(200):
        try:
            line.sendto(bytes(1000), ("{NOWHERE}", 9))
        except OSError:
            pass  # that nobody is there
"""
# The small Python of the tests' template has no way to mlock(2).
MLOCK_NUMBER = {"x86_64": 149, "aarch64": 228}[os.uname().machine]
MLOCK = (
    f"my $area = 'x' x (4 << 20); syscall({MLOCK_NUMBER}, unpack('Q', pack('P', $area)), 4 << 20) == 0 or die 'mlock'"
)
# A file system (FUSE) that answers whatever is asked of it, but nobody who opens its directory, and who waits for that
# cannot be killed. The kernel keeps the node's processes away from it; not so below an overlay, which the container
# mounts where its terminals were, and which asks in the container's name.
MUTE = """
$^F = 100; mkdir '/mute'; open(my $line, '+<', '/dev/fuse') or die 'fuse'; my $number = fileno($line);
system('mount', '-i', '-t', 'fuse', '-o', "fd=$number,rootmode=40000,user_id=0,group_id=0", 'none', '/mute') == 0
    or die 'mount';
sub answer {
    my ($which, $error, $words) = @_;
    syswrite($line, pack('LlQ', 16 + length $words, $error, $which) . $words);
}
if (!fork()) {
    while (sysread($line, my $asked, 1 << 20)) {
        my ($size, $what, $which) = unpack('LLQ', $asked);
        if ($what == 26) { answer($which, 0, pack('LLLL SS LL SS L x28', 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0)) }
        elsif ($what == 3) {
            answer($which, 0, pack('QLL Q6 L3 LLLLLLL', 1, 0, 0, 1, (0) x 5, (0) x 3, 040755, 2, (0) x 5));
        }
        elsif ($what == 17) { answer($which, 0, pack('Q5 L4 x24', (9) x 5, 4096, 255, 4096, 0)) }
        elsif ($what != 27) { answer($which, $what == 1 ? -2 : -38, '') }
    }
    exit
}
system('mount', '-i', '-t', 'overlay', '-o', 'lowerdir=/mute:/usr', 'none', '/dev/pts') == 0 or die 'overlay';
"""
BURN = "import time\nwhile time.process_time() < 0.5: pass"


def usage(name: str = "t-usage") -> dict[str, Any]:
    found: dict[str, Any] = info.gather(host())["containers"][name]["usage"]
    return found


def counter(resource: str, column: str) -> Any:
    return usage()["beancounters"][resource][column]


def traffic(key: str) -> int:
    return int(usage()["network_traffic"].get("eth0", {}).get(key, 0))


@contextlib.contextmanager
def held_inside(code: str, language: str) -> Iterator[None]:
    """While a program in the container has done something and goes on living."""
    if language == "perl":
        program = ["perl", "-e", f"$| = 1; {code}; print qq(ready\\n); <STDIN>"]
    else:
        program = ["python3", "-c", f"import sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"]
    command = ["lxc-attach", "-P", Paths().containers, "-n", "t-usage", "--clear-env", "--", *program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.stdin.close()
            process.wait(30)


def moves(resource: str, by: int, code: str, peak: bool = False, language: str = "python3") -> None:
    """Held rises by at least so much while a program does something, and falls again after it."""
    before = counter(resource, "held")
    with held_inside(code, language):
        wait_for(f"{resource} to rise", lambda: counter(resource, "held") >= before + by)
        top = counter(resource, "maxheld")
        assert (top >= before + by) if peak else top is None, (resource, top)
    wait_for(f"{resource} to fall", lambda: counter(resource, "held") < before + by)
    if peak:
        assert counter(resource, "maxheld") >= top


def declare(fleet: Fleet, **options: Any) -> None:
    network = {"eth0": {"on": "public", "ip": ADDRESS}}
    fleet.declare("t-usage", ram="128M", swap="64M", processes=150, network=network, **options)
    fleet.apply()


def test_every_counter_moves_when_provoked_and_outlives_the_run(fleet: Fleet) -> None:
    declare(fleet)
    booted("t-usage")
    rows = usage()["beancounters"]
    assert list(rows) == list(beancounters.RESOURCES)
    untracked = {name for name, row in rows.items() if set(row.values()) == {None}}
    assert untracked == NOT_TRACKED | (set() if VERSION_2 else {"dcachesize"})
    assert rows["physpages"]["limit"] == 128 * PAGES and rows["numproc"]["limit"] == 150
    assert rows["swappages"]["limit"] == 64 * PAGES and rows["swappages"]["held"] == 0

    moves("physpages", 40 * PAGES, "data = b'x' * (40 << 20)", peak=True)
    moves("oomguarpages", 40 * PAGES, "data = b'x' * (40 << 20)", peak=not VERSION_2)
    moves("numproc", 60, _children(60), peak=True)
    moves("kmemsize", 1 << 20, _children(100), peak=not VERSION_2)
    moves("shmpages", 20 * PAGES, "import os\nfile = os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR)\n"
          "assert os.write(file, bytes(20 << 20)) == 20 << 20")  # fmt: skip
    moves("lockedpages", 3 * PAGES, MLOCK, language="perl")
    moves("numtcpsock", 20, "import socket\nkept = [socket.create_server(('127.0.0.1', 0)) for _ in range(20)]")
    # Twice as many as asked for: the sockets of before may take a moment to go.
    moves("numothersock", 30, "import socket\nkept = [socket.socketpair() for _ in range(30)]")
    moves("numpty", 5, "import os\nkept = [os.openpty() for _ in range(5)]")

    for resource, code in (("numproc", FORKS), ("oomguarpages", BOMB), ("physpages", BOMB)):
        before = counter(resource, "failcnt")
        inside("t-usage", "python3", "-c", code, check=False)
        assert counter(resource, "failcnt") > before, resource

    used = usage()["cpu"]["cpu_us"]
    inside("t-usage", "python3", "-c", BURN)
    assert usage()["cpu"]["cpu_us"] >= used + 450000
    written = usage()["disk_traffic"]["written_bytes"]
    inside("t-usage", "dd", "if=/dev/zero", "of=/var/tmp/data", "bs=1M", "count=4", "oflag=direct")
    assert usage()["disk_traffic"]["written_bytes"] >= written + (4 << 20)

    _flows("out", lambda: inside("t-usage", "python3", "-c", SEND))
    _flows("in", _send_in)

    _outlives(fleet)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="the node has no FUSE")
def test_a_container_that_does_not_answer_keeps_nobody_waiting(fleet: Fleet) -> None:
    declare(fleet, features=["fuse"], stop_timeout=1)
    booted("t-usage")
    assert counter("numpty", "limit") is not None
    with held_inside(MUTE, "perl"):
        began = time.monotonic()
        rows = usage()["beancounters"]
        assert rows["numpty"]["held"] is None and rows["numproc"]["held"] and rows["numothersock"]["held"] is not None
        assert time.monotonic() - began < 8
        # The node's own program looks, while others who need its lock get it at once.
        with subprocess.Popen([f"{LIBRARY}/usage"]) as program:
            waited = [_wait_for_lock()]
            while program.poll() is None and time.monotonic() - began < 20:
                waited.append(_wait_for_lock())
            assert program.wait(1) == 0
        assert len(waited) > 10 and max(waited) < 0.5, waited
    subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", "t-usage", "-k"], check=True)


def _wait_for_lock() -> float:
    time.sleep(0.05)
    began = time.monotonic()
    with Path(Paths().usage_lock).open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return time.monotonic() - began


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[None]:
    """The node has some swap, whether or not it had any."""
    file = tmp_path / "swap"
    subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=192"], check=True, capture_output=True)
    file.chmod(0o600)
    subprocess.run(["mkswap", "--quiet", str(file)], check=True)
    subprocess.run(["swapon", str(file)], check=True)
    try:
        yield
    finally:
        subprocess.run(["swapoff", str(file)], check=True)


@pytest.mark.usefixtures("swap")
def test_swap_is_held_and_refused(fleet: Fleet) -> None:
    declare(fleet)
    booted("t-usage")
    before = counter("swappages", "failcnt")
    # 128M of memory, 64M of swap. Version 1 counts neither the most that was held nor what was refused.
    moves("swappages", 20 * PAGES, "data = b'x' * (150 << 20)", peak=VERSION_2)
    inside("t-usage", "python3", "-c", BOMB, check=False)
    assert (counter("swappages", "failcnt") > before) if VERSION_2 else before is None


def _flows(way: str, send: Callable[[], object]) -> None:
    """Packets go one way, and at most answers to them the other. The first may wait for the neighbour's address."""
    other = {"out": "in", "in": "out"}[way]
    before, back = traffic(f"{way}_bytes"), traffic(f"{other}_bytes")
    packets = traffic(f"{way}_packets")

    def enough() -> bool:
        send()
        return traffic(f"{way}_bytes") >= before + 200 * 1000

    wait_for(f"traffic {way}", enough)
    assert traffic(f"{way}_packets") >= packets + 200 * 1000 // 1500
    assert traffic(f"{other}_bytes") - back < (traffic(f"{way}_bytes") - before) / 2


def _send_in() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        for _packet in range(200):
            with contextlib.suppress(OSError):
                line.sendto(bytes(1000), (ADDRESS, 9))


def _children(number: int) -> str:
    """A program with so many children, which end with it."""
    return (
        "import os\nlistening, speaking = os.pipe()\n"
        f"for _ in range({number}):\n"
        "    if os.fork() == 0:\n"
        "        os.close(speaking)\n"
        "        os.read(listening, 1)\n"
        "        os._exit(0)\n"
    )


def _outlives(fleet: Fleet) -> None:
    before = usage()
    declare(fleet, state="stopped")
    stopped = usage()
    _has_grown(before, stopped)
    assert {row["held"] for row in stopped["beancounters"].values()} == {None}
    assert usage() == stopped

    declare(fleet)
    booted("t-usage")
    again = usage()
    _has_grown(stopped, again)
    inside("t-usage", "python3", "-c", BOMB, check=False)
    kills = counter("oomguarpages", "failcnt")
    assert kills > again["beancounters"]["oomguarpages"]["failcnt"]

    started, bombed = pid("t-usage"), usage()
    inside("t-usage", "systemctl", "reboot", "--no-block", check=False)
    wait_for("the container to reboot", lambda: lxc.init_pid(host(), "t-usage") not in (None, started), 120)
    booted("t-usage")
    rebooted = usage()
    _has_grown(bombed, rebooted)
    assert rebooted["beancounters"]["oomguarpages"]["failcnt"] == kills

    # Reading writes nothing.
    file = Path(Paths().usage("t-usage"))
    written = file.stat().st_mtime_ns
    usage()
    assert file.stat().st_mtime_ns == written


def _has_grown(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Nothing that was counted is less, and what nobody provoked is the same."""
    for resource, row in before["beancounters"].items():
        for column in ("maxheld", "failcnt"):
            assert (row[column] is None) == (after["beancounters"][resource][column] is None), (resource, column)
            assert (row[column] or 0) <= (after["beancounters"][resource][column] or 0), (resource, column)
    for resource in ("numproc", "oomguarpages"):
        assert row_of(after, resource)["failcnt"] == row_of(before, resource)["failcnt"]
    for key in ("cpu", "disk_traffic"):
        assert all(after[key][name] >= value for name, value in before[key].items()), key
    traffic_before, traffic_after = (found["network_traffic"]["eth0"] for found in (before, after))
    assert all(traffic_after[name] >= value for name, value in traffic_before.items())


def row_of(found: dict[str, Any], resource: str) -> dict[str, Any]:
    row: dict[str, Any] = found["beancounters"][resource]
    return row


def test_a_container_sees_its_own_and_can_change_nothing_of_it(fleet: Fleet) -> None:
    # Without a network the end of a run is seen by another hook.
    fleet.declare("t-usage", ram="128M", processes=150)
    fleet.apply()
    booted("t-usage")
    subprocess.run([f"{LIBRARY}/usage"], check=True)
    text = inside("t-usage", "cat", "/dev/carve/user_beancounters")
    version, header, first, *lines = text.splitlines()
    assert version == "Version: 2.5"
    assert header.split() == ["uid", "resource", "held", "maxheld", "barrier", "limit", "failcnt"]
    assert first.split()[:2] == [f"{_slot('t-usage')}:", "kmemsize"]
    shown = {line.split()[0]: line.split()[1:] for line in lines}
    assert shown["numproc"][3] == "150" and int(shown["numproc"][0]) > 1
    assert shown["numflock"] == ["-"] * 5

    refused = ("echo x >/dev/carve/user_beancounters", "rm -f /dev/carve/user_beancounters", "touch /dev/carve/x",
               "mount -o remount,bind,rw /dev/carve && touch /dev/carve/x")  # fmt: skip
    for command in refused:
        assert not inside("t-usage", "sh", "-c", command, check=False).startswith("0 "), command
    # What it lays in the way is in its own way only.
    inside("t-usage", "sh", "-c", "umount /dev/carve; rmdir /dev/carve; ln -s /etc /dev/carve")
    subprocess.run([f"{LIBRARY}/usage"], check=True)
    assert "numproc" in Path(Paths().shown("t-usage"), "user_beancounters").read_text(encoding="ascii")
    assert inside("t-usage", "sh", "-c", "ls /etc | grep -c beancounters || true") == "0"

    inside("t-usage", "python3", "-c", FORKS)
    failures = counter("numproc", "failcnt")
    fleet.declare("t-usage", ram="128M", processes=150, state="stopped")
    fleet.apply()
    assert failures > 0 and counter("numproc", "failcnt") == failures

    # A new root filesystem is still the same container.
    fleet.templates["derived"] = {"from": "base", "commands": ["touch /derived"]}
    options = {"template": "derived", "template_policy": "rebuild", "state": "stopped"}
    fleet.declare("t-usage", ram="128M", processes=150, **options)
    fleet.apply(ALL)
    assert counter("numproc", "failcnt") == failures

    # A container that has the name later has nothing of it.
    fleet.containers.clear()
    fleet.apply(ALL)
    assert not Path(Paths().usage("t-usage")).exists() and not Path(Paths().shown("t-usage")).exists()
    fleet.declare("t-usage", ram="128M", processes=150, state="stopped")
    fleet.apply()
    assert counter("numproc", "failcnt") is None and usage()["cpu"]["cpu_us"] is None


def _slot(name: str) -> int:
    return int(info.gather(host())["containers"][name]["declared"]["id"])


def test_people_see_a_table_and_all_of_one_container(tmp_path: Path, base_template: dict[str, Any]) -> None:
    force_remove("u-")
    desk = Desk(tmp_path, base_template)
    desk.manifest["containers"] = {"u": {**desk.manifest["containers"]["c"], "processes": 150}}
    desk.manifest["containers"]["u-spare"] = {"state": "stopped"}
    try:
        assert desk.carve("apply", "--yes")[0] == 0
        booted("u-1")
        inside("u-1", "python3", "-c", FORKS)
        code, output = desk.carve("usage")
        assert code == 0, output
        assert "changed" not in output
        head, *lines = [line for line in output.splitlines() if " desk " in line or line.startswith("container")]
        assert head.split()[:4] == ["container", "node", "ram", "swap"]
        shown = {line.split()[0]: line for line in lines}
        assert list(shown) == ["u-1", "u-2", "u-spare"]
        assert "of 96M" in shown["u-1"] and "of 150" in shown["u-1"] and "numproc" in shown["u-1"]
        assert "numproc" not in shown["u-2"] and "stopped" in shown["u-spare"]

        code, output = desk.carve("usage", "--container", "u-1")
        assert code == 0 and "u-1 on desk, running" in output, output
        rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.startswith("  ")}
        assert rows["numproc"][3] == "150" and int(rows["numproc"][4]) > 0
        assert rows["numfile"][:2] == ["not", "tracked"]
        assert any(line.strip().startswith("eth0: in ") for line in output.splitlines())
        # The playbook by itself.
        code, output = desk.run(
            str(Path(sys.executable).with_name("ansible-playbook")), "-i", "fleet.yml", "carve.vps.usage",
            "-e", "carve_usage=u-2",
        )  # fmt: skip
        assert code == 0 and "u-2 on desk, running" in output, output
        code, output = desk.carve("usage", "--container", "u-9")
        assert code == 1 and "there is no container 'u-9' of fleet carve-test-desk" in output
        assert "Traceback" not in output
    finally:
        desk.manifest["containers"] = {}
        code, output = desk.carve("apply", "--yes", "--allow", "destroy")
    assert code == 0, output
