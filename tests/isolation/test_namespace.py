# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Namespace isolation: what is somebody else's is neither seen nor touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import slots
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import box, pid
from ansible_collections.carve.vps.tests.isolation import channels
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, SECRET, VICTIM, Scene, prove

_MARK = "carve-attack-mark"


def _others(scene: Scene) -> dict[str, Any]:
    """Process ids as the node has them: its own bystander's, this test's, the neighbour's init's."""
    return {"pids": [scene.on_node.pid, os.getpid(), pid(VICTIM)]}


def _secret_seen(_scene: Scene, report: Report) -> str | None:
    return "the neighbour's secret was read" if SECRET in report.output else None


def _neighbours_file(_scene: Scene) -> dict[str, Any]:
    upper = f"{Paths().container(VICTIM)}/upper"
    assert SECRET in Path(upper, "root/secret").read_text(encoding="utf-8")
    return {"paths": [f"{upper}/root/secret", f"/proc/{pid(VICTIM)}/root/root/secret", Paths().containers]}


def _saw_processes(scene: Scene, report: Report) -> str | None:
    """Each process that it saw, by what its own namespace calls it, must be one of the container's."""
    strange = [line for line in report.told["commands"] if "86400" in line or "pytest" in line]
    return f"others' processes were seen: {strange}" if strange else None


def _mounted_on_node(_scene: Scene, _report: Report) -> str | None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    neighbours = Path(f"/proc/{pid(VICTIM)}/mounts").read_text(encoding="utf-8")
    return "its mount is seen by others" if _MARK in mounts + neighbours else None


def _same_namespaces(scene: Scene, report: Report) -> str | None:
    shared = []
    for kind, link in report.told["links"].items():
        for whose, process in (("the node", os.getpid()), ("the neighbour", pid(VICTIM))):
            if str(Path(f"/proc/{process}/ns/{kind}").readlink()) == link:
                shared.append(f"{kind} with {whose}")
    return f"namespaces are shared: {shared}" if shared else None


def _ids_reach(_scene: Scene, _report: Report) -> str | None:
    """As the attacker's root seen from outside: even with the path, the ids of one own nothing of the other."""
    secret = f"{Paths().container(VICTIM)}/upper/root/secret"
    child = os.fork()
    if child == 0:
        base = box(ATTACKER).record.base_id
        os.setgroups([])
        os.setgid(base)
        os.setuid(base)
        os._exit(7 if not os.access(secret, os.R_OK) else 0)
    return None if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7 else "its ids may read the neighbour's file"


ATTACKS = [
    Attack(
        name="signals to others' processes",
        tried="kill(2) of process ids of the node and the neighbour, and of everything (-1)",
        stopped_by="PID namespace",
        refusals=("ESRCH",),
        code="""
own = must(os.fork)
if not own:
    signal.pause()
os.kill(own, signal.SIGKILL)
os.waitpid(own, 0)
for process in given["pids"]:
    if os.path.exists(f"/proc/{process}"):
        tell(taken=process)
        continue
    attempt(f"kill {process}", os.kill, process, signal.SIGKILL)
    attempt(f"pidfd_open {process}", call, 434, process, 0)
tell(everything=True)
if not os.fork():
    os.kill(-1, signal.SIGCONT)
    os._exit(0)
os.wait()
""",
        prepare=_others,
    ),
    Attack(
        name="others' processes seen",
        tried="every /proc/PID/cmdline that there is",
        stopped_by="PID namespace",
        code="""
commands = []
for entry in os.listdir("/proc"):
    if entry.isdigit():
        try:
            commands.append(open(f"/proc/{entry}/cmdline").read().replace("\\0", " "))
        except FileNotFoundError:
            pass
assert any("systemd" in line or "init" in line for line in commands)
tell(commands=[line for line in commands if "THE-ATTACK" not in line])
""",
        harm=_saw_processes,
    ),
    Attack(
        name="ptrace of others",
        tried="PTRACE_ATTACH, process_vm_readv(2) and /proc/PID/mem of process ids of the node and the neighbour",
        stopped_by="PID namespace",
        refusals=("ESRCH", "ENOENT"),
        code="""
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
own = must(os.fork)
if not own:
    signal.pause()
must(call, "ptrace", PTRACE_ATTACH, own, 0, 0)
os.waitpid(own, 0)
os.kill(own, signal.SIGKILL)
os.waitpid(own, 0)
for process in given["pids"]:
    if os.path.exists(f"/proc/{process}"):
        continue
    attempt(f"ptrace {process}", call, "ptrace", PTRACE_ATTACH, process, 0, 0)
    buffer = ctypes.create_string_buffer(16)
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    here = Vector(ctypes.addressof(buffer), 16)
    vector = ctypes.byref(here)
    attempt(f"process_vm_readv {process}", call, "process_vm_readv", process, vector, 1, vector, 1, 0)
    attempt(f"mem of {process}", open, f"/proc/{process}/mem", "rb")
tell(tried=True)
""",
        prepare=_others,
    ),
    Attack(
        name="a neighbour's files",
        tried="its place on the node, /proc/PID/root of the node's ids, /proc/*/root and /proc/*/cwd of all seen",
        stopped_by="mount namespace, pivot_root(2)",
        refusals=("ENOENT",),
        code="""
import glob
for path in given["paths"]:
    attempt(path, os.stat, path)
for path in glob.glob("/proc/*/root/root/secret") + glob.glob("/proc/*/cwd/root/secret"):
    print(open(path).read())
os.chdir("/")
for _level in range(20):
    os.chdir("..")
assert os.stat(".").st_ino == os.stat("/").st_ino
""",
        prepare=_neighbours_file,
        harm=_secret_seen,
    ),
    Attack(
        name="out of the root directory",
        tried="chroot(2) with a directory kept open outside, then .. upwards; /proc/1/root",
        stopped_by="mount namespace, pivot_root(2)",
        refusals=("ENOENT",),
        code="""
outside = must(os.open, "/", os.O_RDONLY)
os.makedirs("/tmp/jail", exist_ok=True)
must(os.chroot, "/tmp/jail")
os.fchdir(outside)
for _level in range(40):
    os.chdir("..")
must(os.chroot, ".")
for path in given["paths"]:
    attempt(path, os.stat, path)
    attempt("/proc/1/root" + path, os.stat, "/proc/1/root" + path)
os.rmdir("/tmp/jail")
""",
        prepare=_neighbours_file,
        harm=_secret_seen,
    ),
    Attack(
        name="a neighbour's files by their owner's number",
        tried="setuid(2) to the neighbour's and to the node's ids; an open(2) with the attacker's ids from outside",
        stopped_by="user namespace, disjoint ranges of ids",
        refusals=("EINVAL",),
        code="""
must(os.setresuid, 65533, 65533, 0)
must(os.setresuid, 0, 0, 0)
for number in given["ids"]:
    attempt(f"setuid {number}", os.setuid, number)
    attempt(f"setgid {number}", os.setgid, number)
    attempt(f"chown {number}", os.chown, "/tmp", number, number)
""",
        prepare=lambda _scene: {"ids": [65536, box(VICTIM).record.base_id, box(ATTACKER).record.base_id]},
        harm=_ids_reach,
    ),
    Attack(
        name="the host name of others",
        tried="sethostname(2) and setdomainname(2)",
        stopped_by="UTS namespace",
        code="""
before = socket.gethostname()
must(call, "sethostname", b"carve-attack", 12)
must(call, "setdomainname", b"carve-attack", 12)
call("sethostname", before.encode(), len(before))
call("setdomainname", b"(none)", 6)
tell(changed=True)
""",
    ),
    Attack(
        name="mounts that spread",
        tried="all mounts made shared (MS_SHARED, MS_REC), then another one made",
        stopped_by="mount namespace, private propagation",
        code=f"""
MS_SHARED, MS_REC = 1 << 20, 1 << 14
must(mount, "none", "/", "none", MS_SHARED | MS_REC)
must(mount, "{_MARK}", "/mnt", "tmpfs")
open("/proc/self/mounts").read().index("{_MARK}")
tell(mounted=True)
""",
        harm=_mounted_on_node,
        tidy=lambda scene: (scene.attacker("umount", "/mnt"), None)[1],
    ),
    Attack(
        name="others' namespaces entered",
        tried="/proc/PID/ns of the node's and the neighbour's processes; its own compared with theirs",
        stopped_by="PID namespace",
        refusals=("ENOENT",),
        code="""
links = {}
for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
    links[kind] = os.readlink(f"/proc/1/ns/{kind}")
    for process in given["pids"]:
        if not os.path.exists(f"/proc/{process}"):
            attempt(f"{kind} of {process}", os.open, f"/proc/{process}/ns/{kind}", os.O_RDONLY)
tell(links=links)
""",
        prepare=_others,
        harm=_same_namespaces,
    ),
    Attack(
        name="the parent user namespace",
        tried="NS_GET_USERNS and NS_GET_PARENT (ioctl_nsfs(2)) upwards from the container's own",
        stopped_by="user namespace",
        code="""
NS_GET_USERNS, NS_GET_PARENT = 0xb701, 0xb702
own = must(os.open, "/proc/self/ns/user", os.O_RDONLY)
pids = must(os.open, "/proc/self/ns/pid", os.O_RDONLY)
must(fcntl.ioctl, pids, NS_GET_USERNS)
attempt("parent user namespace", fcntl.ioctl, own, NS_GET_PARENT)
attempt("parent PID namespace", fcntl.ioctl, pids, NS_GET_PARENT)
""",
    ),
    *channels.ATTACKS,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, stage: Scene) -> None:
    prove(stage, attack)


def test_uid_ranges_are_disjoint_from_each_other_and_from_everybody_elses(stage: Scene) -> None:
    used = sorted(box(name).record.slot for name in (ATTACKER, VICTIM))
    assert used[0] != used[1]
    others = []
    for path in ("/etc/subuid", "/etc/subgid"):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            owner, first, count = line.split(":")
            if owner != "root":
                others.append((int(first), int(count)))
    assert not any(slots.overlaps(slot, others) for slot in used)
    for name in (ATTACKER, VICTIM):
        base = box(name).record.base_id
        assert Path(f"/proc/{pid(name)}").stat().st_uid == base
        for kind in ("uid_map", "gid_map"):
            mapping = Path(f"/proc/{pid(name)}/{kind}").read_text(encoding="ascii").split()
            assert mapping == ["0", str(base), "65536"]
