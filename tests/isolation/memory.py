# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory taken without end, each kind that there is: processes', files', shared, and the kernel's own."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.tests.integration.support import host
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, RAM, Scene

# What the others ask for meanwhile: memory of a process, and memory that is shared.
_SOME = """
import tempfile
block = b"x" * (64 << 20)
with tempfile.TemporaryFile(dir="/dev/shm") as file:
    file.write(bytes(16 << 20))
"""


def within_memory(scene: Scene, report: Report) -> str | None:
    if lxc.init_pid(host(), ATTACKER) is None:
        return None  # it has killed its own init
    used = max(scene.uses(ATTACKER, "memory"), scene.notes.get("used", 0))
    if used > RAM:
        return f"it uses {used} bytes"
    if not report.ended and not scene.oom_kills(ATTACKER):
        return "it ended, and not for want of memory"
    return None


def _not_all(scene: Scene, report: Report) -> str | None:
    return "it got all it wanted" if report.ended else within_memory(scene, report)


ATTACKS = [
    Attack(
        name="memory bomb",
        tried="anonymous memory written, four times what it has",
        stopped_by="cgroup memory (`ram`): the OOM killer of its own group",
        may_die=True,
        code="""
blocks = []
for _block in range(given["ram"] * 4 >> 20):
    blocks.append(b"x" * (1 << 20))
tell(took=len(blocks))
""",
        prepare=lambda _scene: {"ram": RAM},
        probe=_SOME,
        harm=_not_all,
    ),
    Attack(
        name="shared memory in a file",
        tried="dd, smaller than any daemon, so that the OOM killer comes to it last, fills /dev/shm",
        stopped_by="cgroup memory (`ram`): the OOM killer of its own group, which may end its init as well",
        may_die=True,
        code="""
sys.stdout.flush()
os.execvp("dd", ["dd", "if=/dev/zero", "of=/dev/shm/bomb", "bs=64k"])
""",
        probe=_SOME,
        harm=within_memory,
        tidy=lambda scene: scene.restart(),
    ),
    Attack(
        name="shared memory without a file",
        tried="System V segments and files of memfd_create(2), filled and detached, so that no process has them",
        stopped_by="cgroup memory (`ram`): the OOM killer of its own group, which may end its init as well",
        may_die=True,
        code="""
_libc.shmat.restype = ctypes.c_void_p
size, held = 16 << 20, []
for number in range(given["ram"] * 2 // size):
    segment = must(call, "shmget", 0, size, 0o1600)
    place = ctypes.c_void_p(_libc.shmat(segment, None, 0))
    ctypes.memset(place, 1, size)
    call("shmdt", place)
    held.append(os.memfd_create("bomb"))
    for _block in range(size >> 16):
        os.write(held[-1], bytes(1 << 16))
tell(took=len(held))
""",
        prepare=lambda _scene: {"ram": RAM},
        probe=_SOME,
        harm=_not_all,
        tidy=lambda scene: scene.restart(),
    ),
    Attack(
        name="file cache bomb",
        tried="a file larger than its memory written and read, so that the cache of others should be thrown out",
        stopped_by="cgroup memory (`ram`): it throws out its own",
        code="""
block = bytes(1 << 20)
with open("/root/bomb", "wb") as file:
    for _block in range((given["ram"] >> 20) + 32):
        file.write(block)
with open("/root/bomb", "rb") as file:
    while file.read(1 << 20):
        pass
os.unlink("/root/bomb")
tell(read=True)
""",
        prepare=lambda _scene: {"ram": RAM},
        harm=within_memory,
    ),
    Attack(
        name="files without content",
        tried="empty files in a tmpfs, half a million: directory entries and inodes are the kernel's memory",
        stopped_by="cgroup memory (`ram`; it counts the kernel's memory, too)",
        may_die=True,
        code="""
must(call, "unshare", 0x20000)
must(mount, "none", "/mnt", "tmpfs", 0, "nr_inodes=0")
for number in range(500000):
    os.close(os.open(f"/mnt/{number}", os.O_CREAT | os.O_WRONLY))
tell(took=number)
""",
        harm=within_memory,
    ),
    Attack(
        name="pipes and sockets filled",
        tried="pipes and local sockets filled and never read, each as large as it may be",
        stopped_by="cgroup memory (`ram`; it counts the kernel's memory, too)",
        may_die=True,
        code="""
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
F_SETPIPE_SZ, held = 1031, []
def fill(end):
    os.set_blocking(end, False)
    try:
        while True:
            os.write(end, bytes(1 << 16))
    except BlockingIOError:
        pass
for _pipe in range(300):
    held.append(os.pipe())
    try:
        fcntl.fcntl(held[-1][1], F_SETPIPE_SZ, 1 << 20)
    except OSError:
        pass  # all pipes of a user together may have 64 MiB of this
    fill(held[-1][1])
for _pair in range(given["ram"] * 4 >> 18):
    pair = socket.socketpair()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    fill(pair[0].fileno())
    held.append(pair)
tell(took=len(held))
""",
        prepare=lambda _scene: {"ram": RAM},
        probe="""
reading, writing = os.pipe()
os.write(writing, bytes(4096))
one, other = socket.socketpair()
one.sendall(bytes(65536))
"""
        + _SOME,
        harm=_not_all,
    ),
    Attack(
        name="page tables",
        tried="a mapping of a terabyte, one page of each two megabytes read: nothing but the tables takes memory",
        stopped_by="cgroup memory (`ram`; it counts the kernel's memory, too)",
        may_die=True,
        code="""
NORESERVE, NOHUGEPAGE = 0x4000, 15
tables = given["ram"] * 4 // 4096
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
area = mmap.mmap(-1, tables << 21, flags=flags, prot=mmap.PROT_READ)
area.madvise(NOHUGEPAGE)
for number in range(tables):
    area[number << 21]
tell(took=tables)
""",
        prepare=lambda _scene: {"ram": RAM},
        probe=_SOME,
        harm=_not_all,
    ),
]
