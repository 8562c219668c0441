# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long images of memory take from one node to another, by cipher, compression and number of connections. Called by
`./dev bench line`; both ends are this machine, on a loopback interface of its own that is as fast as each column says,
so that both ends share its processors."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import machine as this_machine

_LINES = {"100mbit": "100 Mbit/s", "1gbit": "1 Gbit/s", "": "no limit"}
# As in moves/session.py, but for what keeps others out.
_SSHD = """\
Port 22
ListenAddress 127.0.0.1
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
PidFile none
StrictModes no
PermitRootLogin yes
UsePAM no
"""
_CHACHA, _GCM = "chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"
_FAST = ("-z", "--compress-choice=lz4")
_SMALL = ("-z", "--compress-choice=zstd", "--compress-level=1")
# By name: the cipher, what rsync is told, and how many connections carry a part each.
_WAYS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "chacha20-poly1305": (_CHACHA, (), 1),
    "aes128-gcm": (_GCM, (), 1),
    "aes128-gcm, lz4": (_GCM, _FAST, 1),
    "aes128-gcm, zstd": (_GCM, _SMALL, 1),
    "aes128-gcm, 2 connections": (_GCM, (), 2),
    "aes128-gcm, 4 connections": (_GCM, (), 4),
    "aes128-gcm, zstd, 2 connections": (_GCM, _SMALL, 2),
}
# What a program of records has in its memory, until it is as much as asked for.
_RECORDS = """
import json, os, sys, time
kept, size = [], 0
while size < int(sys.argv[1]) << 20:
    n = len(kept)
    key = os.urandom(16).hex()
    kept.append({"id": n, "name": f"customer {n}", "mail": f"c{n}@example.org", "key": key, "at": time.time()})
    size += 900
print("ready", flush=True)
time.sleep(1e6)
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench line", description=__doc__)
    parser.add_argument("--mib", type=int, default=256, help="how much there is to send (256)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (3)")
    options = parser.parse_args(argv)
    if os.environ.get("CARVE_BENCH_LINE") != "apart":
        again = [sys.executable, __file__, *(argv if argv is not None else sys.argv[1:])]
        environment = {**os.environ, "CARVE_BENCH_LINE": "apart"}
        return subprocess.run(["unshare", "--net", *again], check=False, env=environment).returncode
    print(this_machine.describe(), flush=True)
    _run("ip", "link", "set", "lo", "mtu", "1500", "up")
    with tempfile.TemporaryDirectory() as name, _served(Path(name)) as send:
        for what, make in (("a program's memory", _program), ("random bytes", _random)):
            parts = make(Path(name), options.mib)
            mib = sum(part.stat().st_size for part in parts) >> 20
            print(f"\n| {mib} MiB of {what}, s | {' | '.join(_LINES.values())} |")
            print(f"| --- |{' --- |' * len(_LINES)}")
            for way in _WAYS:
                cells = [_median(send, parts, way, rate, options.rounds) for rate in _LINES]
                print(f"| {way} | {' | '.join(f'{cell:.1f}' for cell in cells)} |", flush=True)
    return 0


Send = Callable[[Sequence[Path], str], float]


def _median(send: Send, parts: Sequence[Path], way: str, rate: str, rounds: int) -> float:
    _run("tc", "qdisc", "replace", "dev", "lo", "root", *_shaped(rate))
    return sorted(send(parts, way) for _round in range(rounds))[rounds // 2]


def _shaped(rate: str) -> list[str]:
    return shlex.split(f"tbf rate {rate} burst 1mb latency 50ms") if rate else ["pfifo"]


@contextmanager
def _served(directory: Path) -> Iterator[Send]:
    for key in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{key}")
    (directory / "config").write_text(_SSHD.format(directory=directory), encoding="ascii")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", f"{directory}/config"], stderr=subprocess.DEVNULL)
    there = directory / "there"

    def send(parts: Sequence[Path], way: str) -> float:
        cipher, more, count = _WAYS[way]
        ssh = f"ssh -F none -i {directory}/user -c {cipher} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        _run("rm", "-rf", str(there))
        there.mkdir()
        command = ["rsync", "-aHAXS", "--numeric-ids", *more, "-e", f"{ssh} -o LogLevel=ERROR"]
        began = time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            shares = [[str(part) for part in parts[index::count]] for index in range(count)]
            list(pool.map(lambda share: _run(*command, *share, f"root@127.0.0.1:{there}/"), shares))
        return time.monotonic() - began

    try:
        time.sleep(1)
        yield send
    finally:
        server.terminate()
        server.wait()


_PARTS = 4  # of equal size, so that several connections can share them


def _program(directory: Path, mib: int) -> list[Path]:
    """The writable memory of a running program without a file behind it, which is what CRIU writes of one (proc(5))."""
    with subprocess.Popen([sys.executable, "-c", _RECORDS, str(mib)], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        maps = Path(f"/proc/{program.pid}/maps").read_text(encoding="utf-8").splitlines()
        content = bytearray()
        with Path(f"/proc/{program.pid}/mem").open("rb") as memory:
            for line in maps:
                found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0\s*(\[heap\])?$", line)
                if found:
                    first, end = int(found[1], 16), int(found[2], 16)
                    memory.seek(first)
                    content += memory.read(end - first)
        program.kill()
    pages = (bytes(content[at : at + 4096]) for at in range(0, len(content), 4096))
    return _written(directory, b"".join(page for page in pages if any(page)))


def _random(directory: Path, mib: int) -> list[Path]:
    return _written(directory, os.urandom(mib << 20))


def _written(directory: Path, content: bytes) -> list[Path]:
    size = -(-len(content) // _PARTS)
    parts = [directory / f"pages-{number}.img" for number in range(_PARTS)]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * size : (number + 1) * size])
    return parts


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
