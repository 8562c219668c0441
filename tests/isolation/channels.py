# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is reached by a name or a number instead of a path: sockets, shared memory, queues, keys, network interfaces."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import host
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import VICTIM, Scene

_ABSTRACT, _QUEUE = "carve-attack-abstract", "/carve-attack"


def _listen(scene: Scene) -> dict[str, Any]:
    """Abstract sockets on the node and in the neighbour, whose names only a network namespace keeps apart."""
    scene.notes["node"] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    scene.notes["node"].bind(f"\0{_ABSTRACT}")
    scene.notes["node"].listen()
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.bind('\\0{_ABSTRACT}'); s.listen(); print('listening', flush=True); s.accept(); print('heard', flush=True)"
    )
    process = subprocess.Popen(
        ["lxc-attach", "-P", Paths().containers, "-n", VICTIM, "--", "python3", "-c", code],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    scene.notes["victim"] = process
    assert process.stdout is not None and process.stdout.readline() == "listening\n"
    return {"name": _ABSTRACT}


def _stop_listening(scene: Scene) -> None:
    scene.notes["node"].close()
    # It is the program inside that holds the pipe: to kill lxc-attach would leave it there.
    scene.victim("pkill", "-f", "-x", f".*{_ABSTRACT}.*listening.*")
    scene.notes["victim"].communicate(timeout=30)


def _ipc(scene: Scene) -> dict[str, Any]:
    """System V segments and POSIX queues on the node and in the neighbour, under one key."""
    made = scene.python(VICTIM, _MAKE_IPC, {"key": 0x43415256, "queue": _QUEUE})
    assert "IPC-MADE" in made, made
    subprocess.run(["/usr/bin/python3", "-c", _MAKE_IPC, f'{{"key": {0x43415256}, "queue": "{_QUEUE}"}}'], check=True)
    return {"key": 0x43415256, "queue": _QUEUE}


def _no_ipc(scene: Scene) -> None:
    scene.python(VICTIM, _REMOVE_IPC, {"key": 0x43415256, "queue": _QUEUE})
    subprocess.run(["/usr/bin/python3", "-c", _REMOVE_IPC, f'{{"key": {0x43415256}, "queue": "{_QUEUE}"}}'], check=True)


_MAKE_IPC = """
import ctypes, json, os, sys
given = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget(given["key"], 4096, 0o1666) >= 0, os.strerror(ctypes.get_errno())
assert libc.mq_open(given["queue"].encode(), os.O_CREAT | os.O_RDWR, 0o666, None) >= 0, os.strerror(ctypes.get_errno())
print("IPC-MADE")
"""
_REMOVE_IPC = """
import ctypes, json, sys
given = json.loads(sys.argv[1])
libc = ctypes.CDLL(None)
libc.shmctl(libc.shmget(given["key"], 0, 0), 0, None)
libc.mq_unlink(given["queue"].encode())
"""


def _interfaces_seen(_scene: Scene, report: Report) -> str | None:
    there = {path.name for path in Path("/sys/class/net").iterdir()} - {"lo", "eth0", "eth1"}
    seen = there & set(report.told["interfaces"])
    # The kernel makes some in every namespace (tunl0 and the like), and those are its own.
    virtual = {
        name for name in seen if name.startswith(("tunl", "gre", "erspan", "sit", "ip", "teql", "dummy", "bond"))
    }
    return f"the node's network interfaces are seen: {seen - virtual}" if seen - virtual else None


def _keys(scene: Scene) -> dict[str, Any]:
    """A key in the user keyring of root on the node and in the neighbour."""
    code = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
        "number = libc.syscall(248, b'user', b'carve-attack-key', b'secret', 6, ctypes.c_long(-4)); "
        "assert number > 0, os.strerror(ctypes.get_errno()); print('KEY', number)"
    )
    there = scene.python(VICTIM, code, {})
    here = subprocess.run(["/usr/bin/python3", "-c", code], check=True, capture_output=True, text=True).stdout
    return {"keys": [int(text.split("KEY ")[1].split()[0]) for text in (there, here)]}


_VSOCK = (
    "Sockets between a virtual machine and its hypervisor (AF_VSOCK) belong to no namespace in these kernels. AppArmor "
    "keeps containers from making any. Where the node is a virtual machine that has them and no AppArmor, a container "
    "can take its ports, and speak to what the hypervisor offers there. Start such a machine without the device, or "
    "keep vsock from being loaded (/etc/modprobe.d). A seccomp filter would not do: it sees neither what is handed to "
    "socketcall(2) nor what is asked of io_uring."
)


def _node_has_vsock() -> bool:
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


# Three ways to a socket. Each is tried with an ordinary one first: a way that the kernel has not is none.
_THREE_WAYS = """
AF_INET, AF_VSOCK, STREAM = 2, 40, 1

def by_socketcall(family):
    "What 32-bit programs call, from a 64-bit one: int 0x80 with numbers and addresses below 4 GiB."
    if os.uname().machine != "x86_64":
        raise OSError(errno.ENOSYS, "")
    place = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)
    # push %rbx; mov %edi, %eax; mov %esi, %ebx; mov %edx, %ecx; int $0x80; pop %rbx; ret
    place[:12] = bytes.fromhex("5389f889f389d1cd805bc3") + bytes(1)
    place[256:268] = struct.pack("=III", family, STREAM, 0)
    address = ctypes.addressof(ctypes.c_char.from_buffer(place))
    SOCKETCALL, SOCKET = 102, 1
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint)(address)(
        SOCKETCALL, SOCKET, address + 256)

def by_ring(family):
    "IORING_OP_SOCKET (io_uring(7)), which no filter of system calls sees."
    SETUP, ENTER, OP_SOCKET, GETEVENTS = 425, 426, 45, 1
    facts = ctypes.create_string_buffer(120)
    ring = call(SETUP, 4, facts)
    numbers = struct.unpack("=30I", facts.raw)
    sq_entries, cq_entries, sq, cq = numbers[0], numbers[1], numbers[10:20], numbers[20:30]
    size = max(sq[6] + 4 * sq_entries, cq[5] + 16 * cq_entries)
    rings = mmap.mmap(ring, size, flags=mmap.MAP_SHARED, prot=3, offset=0)
    entries = mmap.mmap(ring, 64 * sq_entries, flags=mmap.MAP_SHARED, prot=3, offset=0x10000000)
    entries[:64] = struct.pack("=BBHiQQIIQ", OP_SOCKET, 0, 0, family, STREAM, 0, 0, 0, 0).ljust(64, bytes(1))
    rings[sq[6]:sq[6] + 4] = struct.pack("=I", 0)
    rings[sq[1]:sq[1] + 4] = struct.pack("=I", 1)
    call(ENTER, ring, 1, 1, GETEVENTS, None, 0)
    return struct.unpack_from("=QiI", rings, cq[5])[1]

def in_child(way, family):
    "A number that is an error, or a descriptor. Some kernels end who calls as 32-bit programs do."
    child = os.fork()
    if not child:
        try:
            result = way(family)
        except OSError as error:
            result = -error.errno
        os._exit(min(max(-result, 0), 254))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code if code > 0 else errno.ENOSYS, "")

def bind():
    held = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    held.bind((socket.VMADDR_CID_ANY, 54321))
    held.listen()
    return held

held = attempt("socket(2), bound", bind)
ways = []
for way in (by_socketcall, by_ring):
    try:
        in_child(way, AF_INET)
    except OSError as error:
        tell(**{way.__name__: errno.errorcode.get(error.errno, error.errno)})
        continue
    ways.append(way.__name__)
    attempt(way.__name__, in_child, way, AF_VSOCK)
tell(ways=ways)
"""


ATTACKS = [
    Attack(
        name="abstract sockets of others",
        tried="connect(2) to an abstract Unix socket that listens on the node and in the neighbour",
        stopped_by="network namespace",
        refusals=("ECONNREFUSED",),
        code="""
name = "\\0" + given["name"]
own = socket.socket(socket.AF_UNIX)
must(own.bind, name + "-own")
own.listen()
must(socket.socket(socket.AF_UNIX).connect, name + "-own")
attempt("connect", socket.socket(socket.AF_UNIX).connect, name)
""",
        prepare=_listen,
        tidy=_stop_listening,
    ),
    Attack(
        name="shared memory and message queues of others",
        tried="shmget(2) of a key and mq_open(3) of a name that exist on the node and in the neighbour; /proc/sysvipc",
        stopped_by="IPC namespace",
        refusals=("ENOENT",),
        code="""
attempt("shmget", call, "shmget", given["key"], 4096, 0)
attempt("mq_open", call, "mq_open", given["queue"].encode(), os.O_RDWR)
tell(segments=len(open("/proc/sysvipc/shm").readlines()) - 1)
""",
        prepare=_ipc,
        harm=lambda _scene, report: "segments of others are listed" if report.told["segments"] else None,
        tidy=_no_ipc,
    ),
    Attack(
        name="keys of others",
        tried="a key of the node's user keyring and of the neighbour's, by keyctl(2) search and in /proc/keys",
        stopped_by="user namespace (keyrings are one per mapped id)",
        refusals=("ENOKEY", "EACCES", "EPERM"),
        code="""
ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250
USER_KEYRING, SEARCH = -4, 10
must(call, ADD_KEY, b"user", b"carve-attack-own", b"own", 3, USER_KEYRING)
must(call, KEYCTL, SEARCH, USER_KEYRING, b"user", b"carve-attack-own", 0)
attempt("search", call, KEYCTL, SEARCH, USER_KEYRING, b"user", b"carve-attack-key", 0)
for number in given["keys"]:
    attempt(f"read {number}", call, KEYCTL, 11, number, ctypes.create_string_buffer(64), 64)
tell(listed="carve-attack-key" in open("/proc/keys").read())
""",
        prepare=_keys,
        harm=lambda _scene, report: "the keys of others are listed" if report.told["listed"] else None,
    ),
    Attack(
        name="the node's network interfaces",
        tried="interfaces listed by /sys/class/net and by netlink",
        stopped_by="network namespace",
        code="""
names = set(os.listdir("/sys/class/net")) | {name for _number, name in socket.if_nameindex()}
assert "lo" in names
must(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tell(interfaces=sorted(names))
""",
        harm=_interfaces_seen,
    ),
    Attack(
        name="the virtual machine's sockets",
        tried="AF_VSOCK sockets by socket(2), by 32-bit socketcall(2) and by io_uring; a port that the node then wants",
        stopped_by="AppArmor (`deny network vsock`)",
        refusals=("EAFNOSUPPORT", "EPERM", "EACCES"),
        code=_THREE_WAYS,
        probe="""
if given["node has it"]:
    held = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    held.bind((socket.VMADDR_CID_ANY, 54321))
""",
        probed=("node",),
        prepare=lambda _scene: {"node has it": _node_has_vsock()},
        limit=_VSOCK,
        limit_where=lambda: _node_has_vsock() and not host().apparmor,
        limit_place="where the node is a machine with vsock and without AppArmor",
    ),
]
