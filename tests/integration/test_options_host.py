# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container is given of its node, each option through the one shape, and what root inside cannot make of it."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import power
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.facets import checkpoint, rlimits
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.shape import Case, prove
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, booted, box, host, inside, pid

DEVICE = Path("/dev/carve-test-full")
OPENING = """
import fcntl, os, struct, sys
result = []
for how in (os.O_RDONLY, os.O_RDWR):
    try:
        fd = os.open(sys.argv[1], how)
        if sys.argv[2:] and how == os.O_RDWR:
            fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tun-test", 0x1001))
        result.append("ok")
    except OSError as error:
        result.append(os.strerror(error.errno))
print(*result, sep=", ")
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory of the node with two below it, and a file in each."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n", encoding="ascii")
    return tmp_path.resolve()


@pytest.fixture
def device() -> Iterator[Path]:
    """A device of the node that containers do not have by themselves: another /dev/full."""
    DEVICE.unlink(missing_ok=True)
    os.mknod(DEVICE, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    yield DEVICE
    DEVICE.unlink()


@pytest.fixture
def block(tmp_path: Path) -> Iterator[Path]:
    """A block device of the node with something on it."""
    image = tmp_path / "image"
    image.write_bytes(b"block".ljust(1 << 20, b"\0"))
    made = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True)
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


def _mounts(name: str) -> dict[str, str]:
    """What the container finds at the places of its mounts: a file's text and owner, and whether it can write."""
    result = {}
    for place in ("/srv/a", "/srv/deep/b"):
        text = inside(name, "sh", "-c", f"cat {place}/file; stat -c %u {place}/file", check=False)
        can = inside(name, "sh", "-c", f"echo x > {place}/new && rm {place}/new", check=False)
        read = " ".join(text.split()[1:3]) if text.startswith("0") else "-"
        result[place] = read + (" written" if can.startswith("0") else "")
    return result


def _sysctls(name: str) -> list[str]:
    files = ("net/ipv4/tcp_keepalive_time", "kernel/msgmax", "kernel/sem")
    return [" ".join(inside(name, "cat", f"/proc/sys/{file}").split()) for file in files]


def _opened(name: str, path: str, *how: str) -> str:
    """What comes of opening a device for reading and for both."""
    return inside(name, "python3", "-c", OPENING, path, *how)


def _devices(name: str, character: Path, block: Path) -> list[str]:
    """What comes of opening both, and what can be read of the second."""
    read = inside(name, "dd", f"if={block}", "bs=5", "count=1", "status=none", check=False)
    return [_opened(name, str(character)), _opened(name, str(block)), read]


def test_what_changes_live(fleet: Fleet, shared: Path, device: Path, block: Path) -> None:
    one, two, made = str(shared / "one"), str(shared / "two"), str(shared / "made" / "here")
    gone = "No such file or directory, No such file or directory"
    cases = [
        Case(
            "mounts",
            {"mounts": {"/srv/a": {"source": one, "read_only": True}, "/srv/deep/b": {"source": two, "idmap": True}}},
            {
                "mounts": {
                    "/srv/a": {"source": two, "read_only": True, "idmap": True},
                    "/srv/deep/b": {"source": made, "create": True},
                }
            },
            _mounts,
            {"/srv/a": "one 65534", "/srv/deep/b": "two 0 written"},
            {"/srv/a": "two 0", "/srv/deep/b": "- written"},
            lambda name: inside(name, "umount", "/srv/a") and None,
            {"/srv/a": "- written", "/srv/deep/b": "- written"},
        ),
        Case(
            "sysctls",
            {"sysctls": {"net.ipv4.tcp_keepalive_time": 600, "kernel.msgmax": 16384}},
            {"sysctls": {"net.ipv4.tcp_keepalive_time": 300, "kernel.sem": "250 32000 100 64"}},
            _sysctls,
            ["600", "16384", "32000 1024000000 500 32000"],
            ["300", "8192", "250 32000 100 64"],
            lambda name: inside(name, "sh", "-c", "echo 111 > /proc/sys/net/ipv4/tcp_keepalive_time") and None,
            ["7200", "8192", "32000 1024000000 500 32000"],
        ),
        Case(
            "timezone",
            {"timezone": "Europe/Berlin"},
            {"timezone": "America/New_York"},
            lambda name: inside(name, "sh", "-c", "date -d @0 +%Z; cat /etc/timezone || true").split(),
            ["CET", "Europe/Berlin"],
            ["EST", "America/New_York"],
            lambda name: inside(name, "ln", "-sf", "/usr/share/zoneinfo/Asia/Tokyo", "/etc/localtime") and None,
            ["UTC"],
        ),
        Case(
            "features",
            {"features": ["fuse"]},
            {"features": ["fuse", "tun"]},
            lambda name: [_opened(name, "/dev/fuse"), _opened(name, "/dev/net/tun", "make").split(", ")[1]],
            ["ok, ok", "No such file or directory"],
            ["ok, ok", "ok"],
            lambda name: inside(name, "umount", "/dev/fuse") and None,
        ),
        Case(
            "devices",
            {"devices": {str(device): {"mode": "r"}, str(block): {}}},
            {"devices": {str(device): {"group": 6}, str(block): {"mode": "r"}}},
            lambda name: _devices(name, device, block),
            ["ok, Permission denied", "ok, ok", "0 block"],
            ["ok, ok", "ok, Permission denied", "0 block"],
            lambda name: inside(name, "chmod", "600", str(device)) and None,
        ),
    ]
    prove(fleet, "t-host", cases)
    assert Path(made).stat().st_uid == box("t-host").record.base_id
    assert {_opened("t-host", path) for path in ("/dev/fuse", str(device), str(block))} == {gone}


@pytest.fixture
def card() -> Iterator[str]:
    """A network card of the node, one end of a pair."""
    subprocess.run(["ip", "link", "del", "t-card0"], check=False, capture_output=True)
    subprocess.run(["ip", "link", "add", "t-card0", "type", "veth", "peer", "name", "t-card1"], check=True)
    yield "t-card0"
    subprocess.run(["ip", "link", "del", "t-card0"], check=True)


# As many files as there may be, but for more than any of the tests' limits; root inside tries to have more first.
_OPEN = """
import os
last = 0
try:
    while last < 8999:
        last = os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
print(last + 1)
"""


def _hard(name: str) -> list[str]:
    """Hard limits of init; and how many files a service that systemd starts can have open, whatever it asks for."""
    found = rlimits.limits_of(pid(name))
    script = 'ulimit -Hn 9000 2>/dev/null; ulimit -Sn "$(ulimit -Hn)"; exec python3 -c "$1"'
    opened = inside(name, "systemd-run", "--quiet", "--wait", "--pipe", "sh", "-c", script, "sh", _OPEN)
    return [found["nofile"][1], found["core"][1], opened]


def _links(name: str) -> list[str]:
    """Network cards that the container sees."""
    return [line.split()[0].partition("@")[0] for line in inside(name, "ip", "-brief", "link").splitlines()]


def _bounding(name: str) -> list[int]:
    """Whether init may ever have CAP_SYS_PTRACE, CAP_NET_RAW and CAP_MKNOD."""
    text = Path(f"/proc/{pid(name)}/status").read_text(encoding="utf-8")
    mask = int(text.partition("CapBnd:")[2].split()[0], 16)
    return [mask >> number & 1 for number in (19, 13, 27)]


def _made_for_a_checkpoint(name: str) -> list[str]:
    """How systemd starts its services, and by which rules init's system calls are filtered (seccomp(2))."""
    notify = inside(name, "systemctl", "show", "--property=NotifyAccess", "--value", "systemd-journald.service")
    command = ["lxc-info", "-P", Paths().containers, "-n", name, "-H", "-c", "lxc.seccomp.profile"]
    profile = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [notify, Path(profile.strip()).name]


def test_what_needs_a_restart(fleet: Fleet, card: str) -> None:
    own, core = (str(resource.getrlimit(what)[1]) for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE))
    core = "unlimited" if core == "-1" else core
    cases = [
        Case(
            "rlimits",
            {"rlimits": {"nofile": "1024:4096", "core": 0}},
            {"rlimits": {"nofile": 8192, "memlock": "64K"}},
            _hard,
            ["4096", "0", "4096"],
            ["8192", core, "8192"],
            lambda name: resource.prlimit(pid(name), resource.RLIMIT_NOFILE, (2048, 2048)) and None,
            [own, core, "9000"],
            "restart",
        ),
        Case(
            "drop_capabilities",
            {"drop_capabilities": ["sys_ptrace"]},
            {"drop_capabilities": ["CAP_NET_RAW", "mknod"]},
            _bounding,
            [0, 1, 1],
            [1, 0, 0],
            None,
            [1, 1, 1],
            "restart",
        ),
        Case(
            "features",
            {"features": ["tun"]},
            {"features": ["nesting", "tun"]},
            lambda name: inside(name, "unshare", "-Urpf", "--mount-proc", "true", check=False)[0],
            "1",
            "0",
            lambda name: inside(name, "umount", "/dev/.lxc/proc") and None,
            "1",
            "restart",
        ),
        Case(
            "network_cards",
            {"network_cards": {card: {}}},
            {"network_cards": {card: {"name": "wan0"}}},
            lambda name: [
                found for found in (card, "wan0") if inside(name, "ip", "link", "show", found, check=False)[0] == "0"
            ],
            [card],
            ["wan0"],
            lambda name: inside(name, "sh", "-c", "ip link set wan0 down && ip link set wan0 name lost") and None,
            [],
            "restart",
        ),
        Case(
            "live_migration",
            {"live_migration": False},
            {"live_migration": True},
            _made_for_a_checkpoint,
            ["main", "common.seccomp"],
            ["all", checkpoint.SECCOMP_FILE],
            lambda name: inside(name, "rm", checkpoint.DROP_IN) and None,
            ["main", "common.seccomp"],
            "restart",
        ),
    ]
    prove(fleet, "t-anew", cases)
    # It is the node's again, under its old name.
    assert Path(f"/sys/class/net/{card}").exists()


def test_what_root_inside_cannot_make_of_it(fleet: Fleet, shared: Path, device: Path) -> None:
    one = str(shared / "one")
    declared: dict[str, Any] = {
        "mounts": {"/srv/a": {"source": one, "read_only": True, "idmap": True}},
        "devices": {str(device): {"mode": "r"}},
    }
    fleet.declare("t-bad", **declared)
    fleet.apply()
    booted("t-bad")

    # Read-only stays so, by whatever way it is looked at.
    for attempt in (
        "mount -o remount,bind,rw /srv/a && echo x > /srv/a/new",
        "mkdir -p /mnt/x && mount --bind /srv/a /mnt/x && mount -o remount,bind,rw /mnt/x && echo x > /mnt/x/new",
        "unshare -Urm sh -c 'mount -o remount,bind,rw /srv/a && echo x > /srv/a/new'",
    ):
        assert not inside("t-bad", "sh", "-c", attempt, check=False).startswith("0 "), attempt
    # What is mounted inside is not seen on the node.
    inside("t-bad", "mount", "-t", "tmpfs", "none", "/srv/a")
    assert one not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert {change["field"] for step in fleet.check()["steps"] for change in step["changes"]} == {"mounts"}
    fleet.apply()
    assert inside("t-bad", "cat", "/srv/a/file") == "one"
    # A device for reading is not written to, whatever is tried with its mode.
    inside("t-bad", "chmod", "666", str(device), check=False)
    inside("t-bad", "chown", "root", str(device), check=False)
    assert _opened("t-bad", str(device)) == "ok, Permission denied"

    # A link that lies in the way leads nowhere, and nothing is recorded that is not so.
    inside("t-bad", "ln", "-s", "/etc", "/srv/link")
    fleet.declare("t-bad", **{**declared, "mounts": {"/srv/link/apt": {"source": one}}})
    result = fleet.run()
    assert result["failed"]
    assert "there is a symbolic link in /srv/link/apt inside" in result["msg"]
    assert "file" not in inside("t-bad", "ls", "/etc/apt")
    assert fleet.check()["changed"]


def test_what_the_node_has_not_is_refused(fleet: Fleet, shared: Path) -> None:
    link = shared / "link"
    link.symlink_to(shared / "one")
    fleet.declare(
        "t-not",
        mounts={"/srv/a": {"source": str(shared / "none")}, "/srv/b": {"source": str(link)}},
        devices={"/dev/carve-test-none": {}},
        sysctls={"net.ipv4.no_such_thing": 1},
        features=["ppp"],
        network_cards={"t-none": {}},
    )
    result = fleet.run()
    assert result["failed"]
    expected = [
        f"t-not: mounts: /srv/a: there is no {shared}/none on this node; make it, or write create: true",
        f"t-not: mounts: /srv/b: source {link} leads over a symbolic link to {shared}/one; write that path",
        "t-not: devices: /dev/carve-test-none, and this node has none",
        "t-not: network_cards: t-none is not on this node",
        "t-not: sysctls: this node's kernel has no net.ipv4.no_such_thing",
    ]
    if not Path("/dev/ppp").exists():
        expected.append("t-not: features: ppp needs /dev/ppp, and this node has none")
    for reason in expected:
        assert reason in result["msg"], result["msg"]
    assert result["steps"] == [] or all(step["status"] == "planned" for step in result["steps"])


def test_a_source_that_is_gone_keeps_the_container_down(fleet: Fleet, shared: Path) -> None:
    options: dict[str, Any] = {"mounts": {"/srv/a": {"source": str(shared / "one")}}, "timezone": "Europe/Berlin"}
    fleet.declare("t-gone", **options)
    fleet.apply()
    fleet.declare("t-gone", **{**options, "timezone": "Europe/Nowhere"})
    nowhere = "there is no /usr/share/zoneinfo/Europe/Nowhere in the container; add tzdata"
    assert nowhere in fleet.run()["msg"]
    fleet.declare("t-gone", **options, state="stopped")
    fleet.apply(ALL)
    (shared / "one").rename(shared / "elsewhere")
    fleet.declare("t-gone", **options)
    assert "make it, or write create: true" in fleet.run()["msg"]
    # Whoever starts it by other means is told, too: what is declared is there, or nothing runs.
    with pytest.raises(lxc.EngineError, match=f"{shared}/one cannot be shared at /srv/a: .*No such file"):
        power.start(host(), box("t-gone"))
    (shared / "elsewhere").rename(shared / "one")
    fleet.apply()
