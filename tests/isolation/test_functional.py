# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Functional isolation: what all share is not changed from inside one container.

Where an attack could succeed, it sets what is set already, or something that exists nowhere.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.tests.integration.support import host, pid, wait_for
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, Scene, prove

# Not of the node, though below /proc/sys and not of the network: each namespace has its own.
_NAMESPACED = (
    "kernel/shm", "kernel/msg", "kernel/sem", "kernel/auto_msgmni", "kernel/ns_last_pid", "kernel/hostname",
    "kernel/domainname", "fs/mqueue/", "user/", "fs/binfmt_misc/",
    "kernel/pid_max",  # since Linux 6.14; the node's root's before
)  # fmt: skip


def _open_settings(_scene: Scene, report: Report) -> str | None:
    shared = [path for path in report.told["writable"] if not path.removeprefix("/proc/sys/").startswith(_NAMESPACED)]
    return f"settings of the node can be written: {shared}" if shared else None


def _route_on_node(_scene: Scene, _report: Report) -> str | None:
    found = subprocess.run(["ip", "route", "show", "table", "all"], check=True, capture_output=True, text=True).stdout
    return "its route is the node's" if "203.0.113.192/26" in found else None


def _only_itself_rebooted(scene: Scene, _report: Report) -> str | None:
    """The portrait has the node's boot id and the neighbour's init; here its own init has to be another."""
    before = scene.notes["init"]
    wait_for("the attacker's init to end", lambda: lxc.init_pid(host(), ATTACKER) != before)
    return None


def _remember_init(scene: Scene) -> dict[str, int]:
    scene.notes["init"] = pid(ATTACKER)
    return {}


ATTACKS = [
    Attack(
        name="the clock",
        tried="clock_settime(2), settimeofday(2) and adjtimex(2) with what is set already; /dev/rtc0",
        stopped_by="user namespace (CAP_SYS_TIME is the node's)",
        refusals=("EPERM", "EACCES", "ENOENT"),
        code="""
class Timex(ctypes.Structure):
    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("rest", ctypes.c_char * 240)]
now = Timex()
must(call, "adjtimex", ctypes.byref(now))
now.modes = 2
attempt("adjtimex", call, "adjtimex", ctypes.byref(now))
attempt("clock_settime", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
class Timeval(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("usec", ctypes.c_long)]
moment = Timeval(int(time.time()), 0)
attempt("settimeofday", call, "settimeofday", ctypes.byref(moment), None)
attempt("/dev/rtc0", os.open, "/dev/rtc0", os.O_RDONLY)
""",
    ),
    Attack(
        name="every setting below /proc/sys",
        tried="each file below /proc/sys (but for the network's) opened for writing, also after a remount",
        stopped_by="user namespace (they belong to the node's root)",
        code="""
MS_REMOUNT, MS_BIND, MNT_DETACH = 32, 4096, 2
for path in ("/proc", "/proc/sys"):
    try:
        mount("none", path, "none", MS_REMOUNT | MS_BIND)
    except OSError:
        pass
writable, seen = [], 0
for top, _directories, files in os.walk("/proc/sys"):
    if top.startswith("/proc/sys/net"):
        continue
    for file in files:
        seen += 1
        if os.access(f"{top}/{file}", os.W_OK):
            writable.append(f"{top}/{file}")
assert seen > 100
if "/proc/sys/kernel/pid_max" in writable:
    write("/proc/sys/kernel/pid_max", "99999")
tell(writable=writable)
""",
        harm=_open_settings,
    ),
    Attack(
        name="the node's network settings",
        tried="forwarding, default TTL and the backlog of sockets changed below /proc/sys/net",
        stopped_by="network namespace",
        refusals=("EACCES", "EPERM", "ENOENT", "EROFS"),
        code="""
must(write, "/proc/sys/net/ipv4/ip_default_ttl", "99")
assert open("/proc/sys/net/ipv4/ip_default_ttl").read() == "99\\n"
must(write, "/proc/sys/net/core/somaxconn", "77")
must(write, "/proc/sys/net/ipv4/ip_forward", "0")
tell(changed=True)
for name in ("ipv4/neigh/default/gc_thresh3", "ipv6/neigh/default/gc_thresh3", "core/rmem_max", "core/bpf_jit_enable",
             "ipv4/tcp_mem", "netfilter/nf_conntrack_max"):
    path = "/proc/sys/net/" + name
    attempt(name, lambda path=path: write(path, open(path).read()))
write("/proc/sys/net/ipv4/ip_default_ttl", "64")
""",
        harm=lambda _scene, _report: None,
    ),
    Attack(
        name="kernel modules",
        tried="init_module(2), finit_module(2) and delete_module(2), modules that are none",
        stopped_by="seccomp, user namespace (CAP_SYS_MODULE is the node's)",
        code="""
file = must(os.open, "/etc/hostname", os.O_RDONLY)
attempt("init_module", call, 175, b"carve", 5, b"")
attempt("finit_module", call, 313, file, b"", 0)
attempt("delete_module", call, 176, b"carve_attack", os.O_NONBLOCK)
""",
    ),
    Attack(
        name="the node's kernel log",
        tried="syslog(2) to read, clear and silence it; /dev/kmsg and /proc/kmsg",
        stopped_by="user namespace (CAP_SYSLOG is the node's), kernel.dmesg_restrict",
        refusals=("EPERM", "EACCES", "ENOENT"),
        code="""
buffer = ctypes.create_string_buffer(4096)
READ_ALL, CONSOLE_LEVEL, SIZE = 3, 8, 10
attempt("read", call, "klogctl", READ_ALL, buffer, 4096)
attempt("size", call, "klogctl", SIZE, buffer, 0)
attempt("console level", call, "klogctl", CONSOLE_LEVEL, None, int(open("/proc/sys/kernel/printk").read().split()[0]))
attempt("/dev/kmsg", os.open, "/dev/kmsg", os.O_WRONLY)
attempt("/proc/kmsg", os.open, "/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK)
""",
    ),
    Attack(
        name="the node's routes",
        tried="a route in the main table, and one in every table there is",
        stopped_by="network namespace",
        code="""
for table in ("main", "local", "100"):
    subprocess.run(["ip", "route", "add", "blackhole", "203.0.113.192/26", "table", table], check=True)
    subprocess.run(["ip", "route", "del", "blackhole", "203.0.113.192/26", "table", table], check=True)
subprocess.run(["ip", "route", "add", "blackhole", "203.0.113.192/26"], check=True)
tell(routed=True)
""",
        harm=_route_on_node,
        tidy=lambda scene: (scene.attacker("ip", "route", "del", "blackhole", "203.0.113.192/26"), None)[1],
    ),
    Attack(
        name="another kernel",
        tried="kexec_load(2) and kexec_file_load(2) of nothing; reboot(2) to turn off Ctrl-Alt-Del",
        stopped_by="seccomp, user namespace (CAP_SYS_BOOT is the node's), PID namespace",
        refusals=("EPERM", "EINVAL", "ENOSYS"),
        code="""
attempt("kexec_load", call, 246, 0, 0, None, 0)
attempt("kexec_file_load", call, 320, -1, -1, 0, None, 0)
attempt("reboot", call, "reboot", 0)
""",
    ),
    Attack(
        name="swap and process accounting",
        tried="swapon(2) of a file of its own, swapoff(2), acct(2)",
        stopped_by="user namespace (CAP_SYS_ADMIN, CAP_SYS_PACCT are the node's)",
        refusals=("EPERM", "ENOSYS"),
        code="""
with open("/root/swap", "wb") as file:
    file.write(bytes(1 << 20))
os.chmod("/root/swap", 0o600)
attempt("swapon", call, "swapon", b"/root/swap", 0)
attempt("swapoff", call, "swapoff", b"/root/swap")
attempt("acct", call, "acct", b"/root/swap")
os.unlink("/root/swap")
""",
    ),
    Attack(
        name="performance counters and BPF",
        tried="perf_event_open(2) of a whole processor; bpf(2) to load a program and to list those there are",
        stopped_by="user namespace (CAP_PERFMON, CAP_BPF are the node's), kernel.perf_event_paranoid",
        refusals=("EPERM", "EACCES", "ENOSYS"),
        code="""
attributes = ctypes.create_string_buffer(struct.pack("=IIQ", 1, 128, 0), 128)
attempt("perf_event_open", call, 298, attributes, -1, 0, -1, 0)
exit_0 = ctypes.create_string_buffer(struct.pack("=BBhi", 0xb7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0))
license = ctypes.create_string_buffer(b"GPL")
KPROBE, LOAD, NEXT_PROGRAM = 2, 5, 11
load = struct.pack("=IIQQIIQII", KPROBE, 2, ctypes.addressof(exit_0), ctypes.addressof(license), 0, 0, 0, 0, 0)
load = ctypes.create_string_buffer(load, 128)
attempt("bpf load", call, 321, LOAD, load, 128)
attempt("bpf list", call, 321, NEXT_PROGRAM, ctypes.create_string_buffer(128), 12)
""",
    ),
    Attack(
        name="precedence over everybody",
        tried="real-time scheduling, negative niceness, real-time I/O",
        stopped_by="user namespace (CAP_SYS_NICE is the node's)",
        code="""
attempt("SCHED_FIFO", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
attempt("nice -20", os.setpriority, os.PRIO_PROCESS, 0, -20)
attempt("ioprio", call, 251, 1, 0, 1 << 13)
""",
    ),
    Attack(
        name="the processor's ports and registers",
        tried="iopl(2), ioperm(2), /dev/port, /dev/cpu/0/msr, /dev/mem",
        stopped_by="user namespace (CAP_SYS_RAWIO is the node's), a /dev of its own",
        refusals=("EPERM", "ENOENT", "ENOSYS"),
        code="""
attempt("iopl", call, 172, 3)
attempt("ioperm", call, 173, 0x80, 1, 1)
for path in ("/dev/port", "/dev/cpu/0/msr", "/dev/mem"):
    attempt(path, os.open, path, os.O_RDONLY)
""",
    ),
    Attack(
        name="reboot(2) of the node",
        tried="reboot(2) with LINUX_REBOOT_CMD_RESTART, without asking its init first",
        stopped_by="PID namespace (only the container reboots)",
        may_die=True,
        code="""
os.sync()
call("reboot", 0x01234567)
""",
        prepare=_remember_init,
        harm=_only_itself_rebooted,
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, stage: Scene) -> None:
    prove(stage, attack)


def test_the_node_keeps_its_kernel_log_to_itself() -> None:
    """Without this setting anybody may read it, in any user namespace (syslog(2)); `bootstrap` sees to it."""
    assert int(Path("/proc/sys/kernel/dmesg_restrict").read_text(encoding="ascii")) == 1
