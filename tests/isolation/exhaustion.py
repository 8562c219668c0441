# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is counted for all containers of a node together, taken by one of them; others ask for it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.carve.vps.tests.isolation.attack import Attack
from ansible_collections.carve.vps.tests.isolation.memory import within_memory
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER

_LIMITS = """
# The children end with this process.
_fork = os.fork
def fork():
    child = _fork()
    if not child:
        call("prctl", 1, int(signal.SIGKILL), 0, 0, 0)
    return child
os.fork = fork

def take_all_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

def until_refused(take, most):
    "How many could be taken. What is taken stays, for this process lives on."
    for number in range(most):
        try:
            take(number)
        except OSError as error:
            return number, errno.errorcode[error.errno]
    return most, ""
"""

_COUNTED = (
    "The kernel counts these on the node's root as well, who owns the containers' user namespaces. Carve makes the "
    "namespaces without limits for that count, so that no container takes away what others need. It cannot where the "
    "node itself may not lift limits (it lacks CAP_SYS_RESOURCE, as in a container). The processes of the node's own "
    "root keep their limits, and may be refused while a container has taken as many; what a node runs does without."
)


_TERMINALS = (
    "One container can open all pseudo terminals that the node has for containers, by mounting a devpts of its own. "
    "Others then open no new ones (no interactive login) until it ends. The node keeps 1024 for itself "
    "(kernel.pty.reserve). The number (kernel.pty.max, 4096) is not lifted, because much of a terminal's memory is not "
    "counted as the container's: it keeps the harm small."
)
_NAMESPACES = (
    "Namespaces are counted on the node's root as well. A container with some hundred megabytes of `ram` can hold as "
    "many of one kind as the node may have (user.max_*_namespaces; the kernel sets them by the size of its memory). "
    "Until it ends no container starts, and services that ask for such a namespace fail. Carve does not lift these "
    "numbers, because not all of a namespace's memory is counted as the container's, least of all a network "
    "namespace's. On nodes with much memory the number is out of reach of a small `ram`."
)


def _setting(name: str) -> int:
    return int(Path("/proc/sys", name).read_text(encoding="ascii"))


def may_not_lift_limits() -> bool:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return not int(status["CapEff"], 16) >> 24 & 1


ATTACKS = [
    Attack(
        name="inotify exhausted",
        tried="nine thousand inotify instances, more than a node is usually given; others ask for one",
        stopped_by="cgroup memory (`ram`), the node's fs.inotify limits being out of reach",
        may_die=True,
        code=_LIMITS
        + """
take_all_descriptors()
# In many processes, since the kernel closes them one after another, and waits at each.
told = []
for _process in range(20):
    ready, done = os.pipe()
    if not os.fork():
        took = until_refused(lambda _number: call("inotify_init1", 0), 450)
        os.write(done, json.dumps(took).encode())
        signal.pause()
    os.close(done)
    told.append(os.read(ready, 100).decode())
tell(took=told)
""",
        probe="""
one = call("inotify_init1", 0)
call("inotify_add_watch", one, b"/etc", 2)
""",
        harm=within_memory,
    ),
    Attack(
        name="pseudo terminals exhausted",
        tried="/dev/ptmx opened until there are no more, in two devpts; the neighbour and the node ask for one",
        stopped_by="kernel.pty.reserve, for the node; for neighbours a kernel.pty.max out of reach",
        may_die=True,
        code=_LIMITS
        + """
take_all_descriptors()
own = until_refused(lambda _number: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY), 6000)
must(call, "unshare", 0x20000)
must(mount, "none", "/mnt", "devpts", 0, "newinstance,ptmxmode=0666")
more = until_refused(lambda _number: os.open("/mnt/ptmx", os.O_RDWR | os.O_NOCTTY), 6000)
tell(own=own, more=more)
""",
        probe="""
os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
""",
        probed=("neighbour",),
        harm=within_memory,
        limit=_TERMINALS,
        limit_where=lambda: _setting("kernel/pty/max") <= 6000,
        limit_place="against neighbours with the usual kernel.pty.max",
    ),
    Attack(
        name="namespaces exhausted",
        tried="a hundred thousand UTS namespaces held, as many as a host's root may have; others make one of each kind",
        stopped_by="cgroup memory (`ram`), where user.max_*_namespaces is out of its reach",
        may_die=True,
        code=_LIMITS
        + """
take_all_descriptors()
def hold(_number):
    call("unshare", 0x4000000)
    held.append(os.open("/proc/self/ns/uts", os.O_RDONLY))
held, told, children = [], [], []
for _process in range(8):
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        took = until_refused(hold, 14000)
        os.write(done, json.dumps(took).encode())
        signal.pause()
    os.close(done)
    children.append(child)
    told.append(os.read(ready, 100).decode())
tell(took=told)
""",
        probe="""
if not os.fork():
    call("unshare", 0x4000000 | 0x8000000 | 0x20000 | 0x40000000 | 0x2000000)
    os._exit(0)
assert os.wait()[1] == 0
""",
        harm=within_memory,
        limit=_NAMESPACES,
        limit_where=lambda: _setting("user/max_uts_namespaces") <= 100000,
        limit_place="where the number is within reach",
    ),
    Attack(
        name="open files exhausted",
        tried="a quarter of a million open files, in processes that may have as many each; others open one, as nobody",
        stopped_by="cgroup memory (`ram`), limits of open files, the node's fs.file-max being out of reach",
        may_die=True,
        code=_LIMITS
        + """
take_all_descriptors()
told = []
for _process in range(20):
    ready, done = os.pipe()
    if not os.fork():
        took = until_refused(lambda _number: os.open("/dev/null", os.O_RDONLY), 12500)
        os.write(done, json.dumps(took).encode())
        signal.pause()
    os.close(done)
    told.append(os.read(ready, 100).decode())
tell(took=told)
""",
        probe="""
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.open("/etc/hostname", os.O_RDONLY)
os.pipe()
""",
        harm=within_memory,
    ),
    Attack(
        name="pending signals exhausted",
        tried="real-time signals queued until there is no room; others make a timer, which needs one",
        stopped_by="user namespaces are made without such limits, cgroup memory (`ram`)",
        may_die=True,
        code=_LIMITS
        + """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
value = ctypes.c_void_p(1)
tell(took=until_refused(lambda _number: call("sigqueue", os.getpid(), int(signal.SIGRTMIN), value), 200000))
""",
        probe="""
timer = ctypes.c_void_p()
call("timer_create", 1, None, ctypes.byref(timer))
""",
        probed=("neighbour",),
        harm=within_memory,
        limit=_COUNTED,
        limit_where=may_not_lift_limits,
        limit_place="where the node may not lift its own limits",
    ),
    Attack(
        name="message queues exhausted",
        tried="POSIX message queues made until there is no room; the neighbour and the node make one",
        stopped_by="user namespaces are made without such limits, cgroup memory (`ram`)",
        may_die=True,
        code=_LIMITS
        + """
flags = os.O_CREAT | os.O_RDWR
took = until_refused(lambda number: call("mq_open", f"/attack{number}".encode(), flags, 0o600, None), 200)
tell(took=took)
for number in range(took[0]):
    call("mq_unlink", f"/attack{number}".encode())
""",
        probe="""
call("mq_open", b"/carve-probe", os.O_CREAT | os.O_RDWR, 0o600, None)
call("mq_unlink", b"/carve-probe")
""",
        probed=("neighbour",),
        harm=within_memory,
        limit=_COUNTED,
        limit_where=may_not_lift_limits,
        limit_place="where the node may not lift its own limits",
    ),
    Attack(
        name="keys exhausted",
        tried="keys added until the quota is used up; the neighbour and the node add one",
        stopped_by="user namespace (the quota is per id, and the ids are disjoint)",
        code=_LIMITS
        + """
USER_KEYRING = -4
def add(number):
    call(248, b"user", f"attack-{number}".encode(), b"x" * 2000, 2000, USER_KEYRING)
number, why = until_refused(add, 30000)
tell(took=number, why=why)
""",
        probe="""
call(248, b"user", b"carve-probe", b"x", 1, -4)
""",
        tidy=lambda scene: (
            scene.python(ATTACKER, "import ctypes; ctypes.CDLL(None).syscall(250, 7, ctypes.c_long(-4))", {}),
            None,
        )[1],
    ),
    Attack(
        name="mounts and network interfaces without end",
        tried="two thousand mounts and two hundred bridges; the neighbour and the node make one each",
        stopped_by="mount namespace, network namespace, cgroup memory (`ram`)",
        may_die=True,
        code=_LIMITS
        + """
must(call, "unshare", 0x20000 | 0x40000000)
must(mount, "none", "/mnt", "tmpfs")
def more(number):
    os.mkdir(f"/mnt/{number}")
    mount("none", f"/mnt/{number}", "tmpfs")
mounts = until_refused(more, 2000)
batch = "".join(f"link add name atk{number} type bridge\\n" for number in range(200))
made = subprocess.run(["ip", "-batch", "-"], input=batch, text=True, capture_output=True)
tell(mounts=mounts, bridges=made.returncode, interfaces=len(socket.if_nameindex()))
assert len(socket.if_nameindex()) > 100, made.stderr
""",
        probe="""
names = [name for _number, name in socket.if_nameindex()]
assert not any(name.startswith("atk") for name in names), names
assert "/mnt/1999 " not in open("/proc/self/mounts").read()
if not os.fork():
    call("unshare", 0x20000 | 0x40000000)
    mount("none", "/mnt", "tmpfs")
    subprocess.run(["ip", "link", "add", "name", "probe0", "type", "bridge"], check=True)
    os._exit(0)
assert os.wait()[1] == 0
""",
        harm=within_memory,
    ),
    Attack(
        name="network buffers filled",
        tried="TCP connections of its own filled and never read, until the kernel's count for all (tcp_mem) is used up",
        stopped_by="cgroup memory (`ram`, of version 2); the kernel gives each socket its least in any case",
        may_die=True,
        code=_LIMITS
        + """
take_all_descriptors()
def fill(end):
    try:
        while True:
            end.send(bytes(1 << 20))
    except BlockingIOError:
        pass
def pages():
    line = next(line for line in open("/proc/net/sockstat") if line.startswith("TCP:"))
    return int(line.split("mem ")[1].split()[0])
held, most = [], given["most"]
with socket.create_server(("127.0.0.1", 0)) as listening:
    for _pair in range(2500):
        one = socket.create_connection(listening.getsockname(), 5)
        other = listening.accept()[0]
        for end in (one, other):
            end.setblocking(False)
            fill(end)
        held += [one, other]
        if pages() >= most:
            break
tell(sockets=len(held), pages=pages(), most=most)
""",
        prepare=lambda _scene: {"most": int(Path("/proc/sys/net/ipv4/tcp_mem").read_text(encoding="ascii").split()[2])},
        probe="""
with socket.create_server(("127.0.0.1", 0)) as listening:
    one = socket.create_connection(listening.getsockname(), 10)
    other = listening.accept()[0]
    child = os.fork()
    if not child:
        one.sendall(bytes(1 << 18))
        os._exit(0)
    one.close()
    other.settimeout(20)
    came = 0
    while some := other.recv(1 << 16):
        came += len(some)
    assert came == 1 << 18
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.bind(("127.0.0.1", 0))
    other.settimeout(20)
    one.sendto(bytes(1000), other.getsockname())
    assert len(other.recv(2000)) == 1000
""",
    ),
]
