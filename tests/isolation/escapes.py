# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The known ways out of a container by what the kernel offers: devices, file systems, control groups, namespaces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.tests.integration.support import box, pid
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.canary import CANARY, canary, no_canary, silenced
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, VICTIM, Scene

# In /sys, what is not the node's: an interface of the container's network namespace, its own control group.
_OWN_SYS = ("/sys/devices/virtual/net/", "/sys/class/net/", "/sys/fs/cgroup/")


def nodes_disk(_scene: Scene) -> dict[str, Any]:
    device = Path("/var/lib/carve").stat().st_dev
    return {"major": os.major(device), "minor": os.minor(device)}


def _release_agents(_scene: Scene) -> dict[str, Any]:
    return {**canary(_scene), "program": str(CANARY / "escaped")}


def _agents_changed(_scene: Scene, report: Report) -> str | None:
    for agent in Path("/sys/fs/cgroup").glob("*/release_agent"):
        if str(CANARY) in agent.read_text(encoding="utf-8"):
            return f"{agent} was set"
    return silenced(_scene, report)


def _left_its_group(_scene: Scene, _report: Report) -> str | None:
    groups = Path(f"/proc/{pid(ATTACKER)}/cgroup").read_text(encoding="utf-8").splitlines()
    limited = [line for line in groups if any(name in line.split(":")[1] for name in ("memory", "pids", "cpu"))]
    astray = [line for line in limited or groups if f"/carve/{ATTACKER}" not in line]
    return f"its init left its control group: {astray}" if astray else None


def _open_in_sys(_scene: Scene, report: Report) -> str | None:
    shared = [path for path in report.told["writable"] if not path.startswith(_OWN_SYS)]
    return f"files of the node in /sys can be written: {shared}" if shared else None


def _addresses_seen(_scene: Scene, report: Report) -> str | None:
    return "addresses of the kernel are shown" if report.told["addresses"] else None


ATTACKS = [
    Attack(
        name="device nodes made",
        tried="mknod(2) of the node's disk, of /dev/mem, /dev/kmsg, a loop control and a terminal",
        stopped_by="user namespace (CAP_MKNOD is the node's)",
        code="""
for name, kind, major, minor in (("disk", stat.S_IFBLK, given["major"], given["minor"]), ("mem", stat.S_IFCHR, 1, 1),
                                 ("kmsg", stat.S_IFCHR, 1, 11), ("loop-control", stat.S_IFCHR, 10, 237),
                                 ("tty0", stat.S_IFCHR, 4, 0), ("null", stat.S_IFCHR, 1, 3)):
    for place in ("/root", "/dev", "/run"):
        attempt(f"{place}/{name}", os.mknod, f"{place}/{name}-attack", kind | 0o600, os.makedev(major, minor))
""",
        prepare=nodes_disk,
    ),
    Attack(
        name="device nodes found",
        tried="every block device, and every character device but the harmless ones, opened in /dev",
        stopped_by="a /dev of its own",
        refusals=("EACCES", "EPERM", "ENXIO"),
        code="""
harmless = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 229), (10, 200)}
seen = 0
for top, _directories, files in os.walk("/dev"):
    for file in files:
        found = os.lstat(f"{top}/{file}")
        if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
            seen += 1
            number = (os.major(found.st_rdev), os.minor(found.st_rdev))
            if number not in harmless and number[0] not in range(136, 144):
                attempt(f"{top}/{file}", os.open, f"{top}/{file}", os.O_RDONLY | os.O_NONBLOCK)
assert seen > 5
tell(seen=seen)
""",
    ),
    Attack(
        name="the kernel's file systems",
        tried="mount(2) of debugfs, tracefs, securityfs, configfs, pstore, devtmpfs and others; of the node's disk",
        stopped_by="user namespace (they are mounted by the node's root only)",
        # ENOTSUP is efivarfs's, which on a machine without EFI nobody may ask for.
        refusals=("EPERM", "EACCES", "ENODEV", "ENOENT", "ENOTBLK", "ENOTSUP"),
        code="""
must(mount, "none", "/mnt", "tmpfs")
must(call, "umount", b"/mnt")
for kind in ("debugfs", "tracefs", "securityfs", "configfs", "pstore", "efivarfs", "devtmpfs", "hugetlbfs",
             "selinuxfs"):
    attempt(kind, mount, "none", "/mnt", kind)
for kind in ("ext4", "xfs", "btrfs"):
    attempt(f"disk as {kind}", mount, f"/dev/block/{given['major']}:{given['minor']}", "/mnt", kind)
""",
        prepare=nodes_disk,
    ),
    Attack(
        name="/proc mounted anew",
        tried="unmounting what covers /proc, a remount, a second procfs and sysfs; then the dangerous files there",
        stopped_by="user namespace (they belong to the node's root)",
        refusals=("EACCES", "EPERM", "EROFS", "ENOENT", "EIO"),
        code="""
MS_REMOUNT, MS_BIND, MNT_DETACH = 32, 4096, 2
for line in reversed(open("/proc/self/mounts").readlines()):
    where = line.split()[1]
    if where.startswith(("/proc/sys", "/proc/sysrq")):
        try:
            call("umount2", where.encode(), MNT_DETACH)
        except OSError:
            pass
places = ["/proc"]
for kind, where in (("proc", "/run/attack-proc"), ("sysfs", "/run/attack-sys")):
    os.makedirs(where, exist_ok=True)
    try:
        mount("none", where, kind)
        places.append(where)
    except OSError:
        pass
for place in [place for place in places if "sys" not in place]:
    # What each write would do is harmless: help for the keys of sysrq, what is set already.
    for file, text in (("sysrq-trigger", "h"), ("sys/kernel/core_pattern", None), ("sys/kernel/modprobe", None),
                       ("sys/kernel/sysrq", None), ("sys/vm/overcommit_memory", None), ("acpi/wakeup", "")):
        path = f"{place}/{file}"
        attempt(f"write {path}", lambda path=path, text=text: write(path, open(path).read() if text is None else text))
    # /proc/slabinfo itself is lxcfs's, and tells of the container.
    more = ["slabinfo"] if place != "/proc" else []
    for file in ("kcore", "kpagecount", "kpageflags", "kmsg", "vmallocinfo", *more):
        path = f"{place}/{file}"
        attempt(f"read {path}", lambda path=path: os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 8))
tell(places=places)
for where in places[1:]:
    call("umount2", where.encode(), MNT_DETACH)
""",
    ),
    Attack(
        name="every file in /sys",
        tried="each file below /sys opened for writing, uevent_helper and power/state among them",
        stopped_by="user namespace (they belong to the node's root)",
        refusals=("EACCES", "EPERM", "EROFS", "ENOENT"),
        code="""
def takes_writes(path):
    "What lies below a mount of lxcfs says yes to everybody who opens it, and no to what is written."
    try:
        with open(path) as file:
            text = file.read()
        write(path, text or chr(10))
    except OSError:
        return False
    return True

writable, seen, device = [], 0, os.stat("/sys").st_dev
for top, directories, files in os.walk("/sys"):
    if top == "/sys/fs" and "cgroup" in directories:
        directories.remove("cgroup")
    for file in files:
        seen += 1
        path = f"{top}/{file}"
        if os.access(path, os.W_OK, effective_ids=True) and (os.lstat(path).st_dev == device or takes_writes(path)):
            writable.append(path)
assert seen > 500
tell(writable=writable)
for path in ("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/bus/pci/rescan", "/sys/kernel/mm/ksm/run",
             "/sys/kernel/kexec_crash_size", "/sys/module/printk/parameters/time", "/sys/firmware/efi/efivars/x"):
    attempt(path, os.open, path, os.O_WRONLY)
""",
        harm=_open_in_sys,
    ),
    Attack(
        name="lxcfs cut off for all",
        tried="/sys/fs/fuse/connections/*/abort opened for writing",
        stopped_by="user namespace (they belong to the node's root)",
        refusals=("EACCES", "EPERM", "ENOENT"),
        code="""
top = "/sys/fs/fuse/connections"
try:
    entries = os.listdir(top)
except OSError as error:
    entries = []
    tell(why=str(error))
tell(entries=entries)
for entry in entries:
    attempt(entry, os.open, f"{top}/{entry}/abort", os.O_WRONLY)
""",
    ),
    Attack(
        name="addresses of the kernel",
        tried="/proc/kallsyms and /proc/modules, read for addresses",
        stopped_by="kernel.kptr_restrict and CAP_SYSLOG, which is the node's",
        code="""
found = set()
for path in ("/proc/kallsyms", "/proc/modules"):
    if os.path.exists(path):
        for line in open(path):
            word = line.split()[0] if "kallsyms" in path else line.split()[5]
            found.add(int(word.removeprefix("0x"), 16))
tell(addresses=len(found - {0}))
""",
        harm=_addresses_seen,
    ),
    Attack(
        name="release_agent",
        tried="release_agent written in each hierarchy there is, in new ones, and in a user namespace of its own",
        stopped_by="cgroup namespace, user namespace; cgroup v2 has none",
        refusals=("EACCES", "EPERM", "ENOENT", "EBUSY", "EINVAL", "ENODEV"),
        code="""
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWCGROUP = 0x20000, 0x10000000, 0x2000000
def agents(label):
    tops = [line.split()[1] for line in open("/proc/self/mounts") if line.split()[2].startswith("cgroup")]
    assert tops
    for top in tops:
        attempt(f"{label} {top}", write, f"{top}/release_agent", given["program"])
    for options in ("memory", "rdma", "pids", "name=carve-attack"):
        os.makedirs("/run/attack-cgroup", exist_ok=True)
        try:
            mount("none", "/run/attack-cgroup", "cgroup", 0, options)
        except OSError as error:
            attempt(f"{label} mount {options}", lambda error=error: (_ for _ in ()).throw(error))
            continue
        attempt(f"{label} new {options}", write, "/run/attack-cgroup/release_agent", given["program"])
        call("umount2", b"/run/attack-cgroup", 2)
agents("as it is")
child = os.fork()
if not child:
    code = 1
    try:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)
        _attempts.clear()
        agents("nested")
        code = 2 if "done" in _attempts.values() else 0
    finally:
        os._exit(code)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert code in (0, 2)
tell(nested=code)
""",
        prepare=_release_agents,
        harm=lambda scene, report: (
            "nested, it was written" if report.told["nested"] else _agents_changed(scene, report)
        ),
        tidy=no_canary,
    ),
    Attack(
        name="limits of its own, and of others",
        tried="every file of a limit in /sys/fs/cgroup written; a sibling's group by its path; its init moved out",
        stopped_by="cgroup namespace, and the limits belong to the node's root",
        refusals=("EACCES", "EPERM", "ENOENT", "EROFS"),
        code="""
top = "/sys/fs/cgroup"
names = ("memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight", "cpuset.cpus", "io.max",
         "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "cpu.cfs_quota_us",
         "cpu.shares", "memory.oom_control", "blkio.throttle.write_bps_device", "devices.allow")
# In version 2 what lies below is the container's own; in version 1 it is the hierarchies.
below = [] if os.path.exists(f"{top}/cgroup.controllers") else os.listdir(top)
places = [top] + [f"{top}/{entry}" for entry in below if os.path.isdir(f"{top}/{entry}")]
there = [f"{place}/{name}" for place in places for name in names if os.path.exists(f"{place}/{name}")]
assert there, places
for path in there:
    attempt(path, write, path, "99999999")
for place in places:
    for path in (f"{place}/../t-victim/pids.max", f"{place}/carve/t-victim/pids.max", f"{place}/../cgroup.procs"):
        if os.path.realpath(path).startswith(top) and os.path.dirname(os.path.realpath(path)) in (top, place):
            continue
        attempt(path, write, path, "1")
call("unshare", 0x2000000 | 0x20000)
os.makedirs("/run/attack-cgroup", exist_ok=True)
for kind, options in (("cgroup2", ""), ("cgroup", "memory"), ("cgroup", "pids")):
    try:
        mount("none", "/run/attack-cgroup", kind, 0, options)
    except OSError:
        continue
    assert not os.path.exists("/run/attack-cgroup/carve"), "the node's hierarchy is seen"
    call("umount2", b"/run/attack-cgroup", 2)
""",
        harm=_left_its_group,
    ),
    Attack(
        name="user namespaces within",
        tried="a user namespace of its own, with all capabilities; foreign ids mapped; devices and file systems again",
        stopped_by="user namespaces nest (none has more than its parent)",
        refusals=("EPERM", "EACCES", "EINVAL", "ENODEV", "ENOENT"),
        code="""
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
go_read, go_write = os.pipe()
back_read, back_write = os.pipe()
child = os.fork()
if not child:
    try:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
        os.write(back_write, b"1")
        os.read(go_read, 1)
        os.setresuid(0, 0, 0)
        assert int([l for l in open("/proc/self/status") if l.startswith("CapEff")][0].split()[1], 16) >> 21 & 1
        disk = os.makedev(given["major"], given["minor"])
        attempt("mknod", os.mknod, "/root/disk-attack", stat.S_IFBLK | 0o600, disk)
        attempt("debugfs", mount, "none", "/mnt", "debugfs")
        attempt("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
        attempt("sysctl", os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY)
        attempt("nice", os.setpriority, os.PRIO_PROCESS, 0, -20)
        attempt("kcore", os.open, "/proc/kcore", os.O_RDONLY)
        os.write(back_write, json.dumps(_attempts).encode())
    finally:
        os._exit(0)
assert os.read(back_read, 1) == b"1"
for mapping in ("0 0 4294967295", "0 65536 1", f"0 {given['base']} 1", "0 4294967294 1"):
    attempt(f"uid_map {mapping}", write, f"/proc/{child}/uid_map", mapping)
must(write, f"/proc/{child}/uid_map", "0 0 1000")
must(write, f"/proc/{child}/gid_map", "0 0 1000")
os.write(go_write, b"1")
os.waitpid(child, 0)
os.close(back_write)
_attempts.update(json.loads(os.read(back_read, 65536)))
""",
        prepare=lambda scene: {**nodes_disk(scene), "base": box(VICTIM).record.base_id},
    ),
    Attack(
        name="files by their handle (Shocker)",
        tried="open_by_handle_at(2) with a true handle, and with the handle of a root directory",
        stopped_by="seccomp, user namespace (CAP_DAC_READ_SEARCH is the node's)",
        code="""
handle = ctypes.create_string_buffer(struct.pack("=Ii", 120, 0), 128)
number = ctypes.c_int()
try:
    call("name_to_handle_at", -100, b"/etc/hostname", handle, ctypes.byref(number), 0)
except OSError:
    pass
root = os.open("/", os.O_RDONLY)
attempt("own handle", call, "open_by_handle_at", root, handle, os.O_RDONLY)
for kind, inode in ((1, 2), (1, 64), (1, 128), (0x81, 128)):
    forged = ctypes.create_string_buffer(struct.pack("=IiII", 8, kind, inode, 0), 128)
    attempt(f"handle {kind} {inode}", call, "open_by_handle_at", root, forged, os.O_RDONLY)
""",
    ),
]
