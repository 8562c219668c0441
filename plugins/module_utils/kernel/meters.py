# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel counts of a container: its control groups, its network namespace, its pseudo terminals, its pairs.

Kernel: cgroup-v2.rst; for version 1 memory.rst, pids.rst, cpuacct.rst and blkio-controller.rst. A file that a kernel
has not is a value that is missing here. LXC's hook waits for this module, so it loads little.
"""

from __future__ import annotations

import contextlib
import itertools
import os

from . import syscalls
from .cgroup import Cgroup, keyed, parse_limit

UNLIMITED = (1 << 63) - 1
PAGE = 4096  # OpenVZ's, whatever the processor's is
_DEVPTS = 0x1CD1  # magic.h
_LOOP = 7  # major number of loop devices
# Control groups inside a container are its own to make; who makes more than this has its counts in part only. No more
# of its mounts are looked at, either.
_MOST = 4096
_PATIENCE = 2.0  # seconds
_KERNEL_PARTS = ("kernel_stack", "pagetables", "sec_pagetables", "percpu", "slab")


class Reading:
    """One look at a container. ``run`` tells one run of it from the next; ``None`` is a container that does not run.

    ``levels`` by beancounter: what is held, barrier and limit, in the beancounter's units. ``peaks`` and ``counters``
    are of this run alone.
    """

    def __init__(self, run: str | None = None) -> None:
        self.run = run
        self.levels: dict[str, dict[str, int | None]] = {}
        self.peaks: dict[str, int] = {}
        self.counters: dict[str, int] = {}
        # Bytes of memory in network buffers of every kind, where they are counted.
        self.buffers: int | None = None

    def level(self, name: str, unit: int = 1, **values: int | None) -> None:
        known = {key: _in(unit, value) for key, value in values.items() if value is not None}
        if known:
            self.levels[name] = {**self.levels.get(name, {}), **known}

    def peak(self, name: str, value: int | None, unit: int = 1) -> None:
        if value is not None:
            self.peaks[name] = value // unit

    def count(self, name: str, value: int | None) -> None:
        if value is not None:
            self.counters[name] = value


def _in(unit: int, value: int | None) -> int | None:
    return value if value is None or value == UNLIMITED else value // unit


def read(group: Cgroup, name: str) -> Reading:
    """What the control groups of a container say. Those of one that does not run are gone."""
    try:
        # Numbers of control groups are given out one after another, so only a boot brings one back.
        number = os.stat(os.path.dirname(group.path(name, "memory", "-"))).st_ino
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            found = Reading(f"{handle.read().strip()}:{number}")
    except OSError:
        return Reading()
    (_version_2 if group.version == 2 else _version_1)(group, name, found)
    return found


def _version_2(group: Cgroup, name: str, found: Reading) -> None:
    def text(file: str) -> str | None:
        return group.read(name, "", file)

    stat, events = keyed(text("memory.stat")), keyed(text("memory.events"))
    held, swap = _number(text("memory.current")), _number(text("memory.swap.current"))
    # The parts do not make the whole, but kernels before 5.18 have nothing better.
    kernel = stat.get("kernel", sum(stat.get(part, 0) for part in _KERNEL_PARTS) if stat else None)
    found.level("kmemsize", held=kernel)
    found.level("lockedpages", PAGE, held=stat.get("unevictable"))
    found.level("shmpages", PAGE, held=stat.get("shmem"))
    found.level("dcachesize", held=stat.get("slab_reclaimable"))
    found.level("physpages", PAGE, held=held, barrier=_limit(text("memory.high")), limit=_limit(text("memory.max")))
    found.peak("physpages", _number(text("memory.peak")), PAGE)
    found.count("fail.physpages", events.get("max"))
    found.level("vmguarpages", PAGE, barrier=_limit(text("memory.min")))
    found.level("oomguarpages", PAGE, held=None if held is None else held + (swap or 0))
    found.count("fail.oomguarpages", events.get("oom_kill"))
    found.level("swappages", PAGE, held=swap, limit=_limit(text("memory.swap.max")))
    found.peak("swappages", _number(text("memory.swap.peak")), PAGE)
    found.count("fail.swappages", keyed(text("memory.swap.events")).get("fail"))
    found.buffers = stat.get("sock")
    # With the file of local events, added in 6.11, the other one counts for the whole container.
    _processes(group, name, found, text("pids.events.local") is not None)
    cpu = keyed(text("cpu.stat"))
    found.count("cpu_us", cpu.get("usage_usec"))
    found.count("throttled_us", cpu.get("throttled_usec"))
    found.count("throttled_times", cpu.get("nr_throttled"))
    devices: dict[str, dict[str, int]] = {}
    for line in (text("io.stat") or "").splitlines():
        device, *words = line.split()
        numbers = (word.partition("=")[::2] for word in words)
        devices[device] = {key: int(value) for key, value in numbers if value.isdigit()}
    _traffic_of_disks(found, devices, ("rbytes", "wbytes", "rios", "wios"))


def _version_1(group: Cgroup, name: str, found: Reading) -> None:
    def memory(file: str) -> str | None:
        return group.read(name, "memory", f"memory.{file}")

    stat = keyed(memory("stat"))
    limit, both = _limit(memory("limit_in_bytes")), _limit(memory("memsw.limit_in_bytes"))
    refused, refused_both = _number(memory("failcnt")), _number(memory("memsw.failcnt"))
    soft = _limit(memory("soft_limit_in_bytes"))
    found.level("kmemsize", held=_number(memory("kmem.usage_in_bytes")))
    found.peak("kmemsize", _number(memory("kmem.max_usage_in_bytes")))
    found.level("lockedpages", PAGE, held=stat.get("total_unevictable"))
    found.level("shmpages", PAGE, held=stat.get("total_shmem"))
    found.level("physpages", PAGE, held=_number(memory("usage_in_bytes")), limit=limit)
    found.peak("physpages", _number(memory("max_usage_in_bytes")), PAGE)
    # With ``swap: 0`` it is the second limit that is met, which newer kernels do not count.
    found.count("fail.physpages", None if refused is None else refused + (refused_both or 0))
    found.level("vmguarpages", PAGE, barrier=0 if soft == UNLIMITED else soft)
    found.level("oomguarpages", PAGE, held=_number(memory("memsw.usage_in_bytes")))
    found.peak("oomguarpages", _number(memory("memsw.max_usage_in_bytes")), PAGE)
    found.count("fail.oomguarpages", _sum(group, name, "memory", "memory.oom_control", "oom_kill"))
    if both is not None and limit is not None:
        swap = UNLIMITED if UNLIMITED in (both, limit) else both - limit
        found.level("swappages", PAGE, held=stat.get("total_swap"), limit=swap)
    _processes(group, name, found, False)
    used = _number(group.read(name, "cpuacct", "cpuacct.usage"))
    cpu = keyed(group.read(name, "cpu", "cpu.stat"))
    found.count("cpu_us", None if used is None else used // 1000)
    found.count("throttled_us", cpu["throttled_time"] // 1000 if "throttled_time" in cpu else None)
    found.count("throttled_times", cpu.get("nr_throttled"))
    devices: dict[str, dict[str, int]] = {}
    for file, unit in (("io_service_bytes", "bytes"), ("io_serviced", "times")):
        for line in (group.read(name, "blkio", f"blkio.throttle.{file}_recursive") or "").splitlines():
            words = line.split()
            if len(words) == 3:
                devices.setdefault(words[0], {})[f"{words[1]} {unit}"] = int(words[2])
    _traffic_of_disks(found, devices, ("Read bytes", "Write bytes", "Read times", "Write times"))


def _processes(group: Cgroup, name: str, found: Reading, whole: bool) -> None:
    """Tasks, and forks that were refused: if not ``whole``, counted where they were tried, maybe further down."""
    held, limit = _number(group.read(name, "pids", "pids.current")), _limit(group.read(name, "pids", "pids.max"))
    found.level("numproc", held=held, limit=limit)
    found.peak("numproc", _number(group.read(name, "pids", "pids.peak")))
    if whole:
        found.count("fail.numproc", keyed(group.read(name, "pids", "pids.events")).get("max"))
    else:
        found.count("fail.numproc", _sum(group, name, "pids", "pids.events", "max"))


def _sum(group: Cgroup, name: str, controller: str, file: str, key: str) -> int | None:
    """One key of a file in a container's control group and all below it, where the kernel does not add them up."""
    left, looked = [os.path.dirname(group.path(name, controller, file))], 0
    total: int | None = None
    while left and looked < _MOST:
        directory, looked = left.pop(), looked + 1
        try:
            with open(f"{directory}/{file}", encoding="ascii") as handle:
                value = keyed(handle.read()).get(key)
            # Most have none below them, which the number of links tells sooner than a list of their files.
            if os.stat(directory).st_nlink != 2:
                left += [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        total = total if value is None else (total or 0) + value
    return total


def _traffic_of_disks(found: Reading, devices: dict[str, dict[str, int]], keys: tuple[str, ...]) -> None:
    """Sums over devices. What is asked of a device that lies on others is asked of those as well, but some kinds
    (RAID 5) ask in the kernel's name; so the larger of both sums is what the container has asked for."""
    if not devices:
        return
    for name, key in zip(("read_bytes", "written_bytes", "reads", "writes"), keys):
        sums = {True: 0, False: 0}
        for device, values in devices.items():
            sums[_is_stacked(device)] += values.get(key, 0)
        found.count(name, max(sums.values()))


def _is_stacked(device: str) -> bool:
    if device.partition(":")[0] == str(_LOOP):
        return True
    try:
        return bool(os.listdir(f"/sys/dev/block/{device}/slaves"))
    except OSError:
        return False


def look_inside(found: Reading, pid: int) -> None:
    """Add what the namespaces of a running container say, by its init's process id."""
    sockets, tcp = 0, None
    for file in ("sockstat", "sockstat6"):
        for line in (_text(f"/proc/{pid}/net/{file}") or "").splitlines():
            kind, _colon, rest = line.partition(":")
            words = rest.split()
            numbers = dict(zip(words[::2], map(int, words[1::2])))
            if kind == "sockets":
                sockets = numbers.get("used", 0)
            elif kind in ("TCP", "TCP6"):
                tcp = (tcp or 0) + numbers.get("inuse", 0)
    if tcp is not None:
        found.level("numtcpsock", held=tcp)
        found.level("numothersock", held=max(0, sockets - tcp))
    from . import aside  # LXC's hook looks into no container

    held, limit = aside.ask(lambda: _terminals(pid), _PATIENCE) or (None, None)
    found.level("numpty", held=held, limit=limit)


def _terminals(pid: int) -> tuple[int | None, int | None]:
    """Pseudo terminals: the entries of the container's devpts but ptmx, and the option that limits them."""
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        how = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
        place = syscalls.openat2(root, "dev/pts", os.O_RDONLY | os.O_DIRECTORY, resolve=how)
    except OSError:
        return None, None
    finally:
        os.close(root)
    try:
        if syscalls.filesystem_type(place) != _DEVPTS:
            return None, None
        return sum(entry.isdigit() for entry in os.listdir(place)), most_terminals(pid, place)
    finally:
        os.close(place)


def most_terminals(pid: int, place: int) -> int | None:
    """The option ``max`` of a devpts that is opened. A container may have a hundred thousand mounts (fs.mount-max): so
    many as are looked through, its own devpts is among, for it is one of the first."""
    from . import mountinfo  # nor does it read any table of mounts

    ident = next((line.split()[1] for line in (_text(f"/proc/self/fdinfo/{place}") or "").splitlines()
                  if line.startswith("mnt_id:")), None)  # fmt: skip
    with contextlib.suppress(OSError):
        for mount in itertools.islice(mountinfo.of(pid), _MOST):
            if mount.ident == ident:
                options = dict(option.partition("=")[::2] for option in mount.of_filesystem)
                return int(options["max"]) if "max" in options else None
    return None


def pairs() -> dict[str, tuple[int, int, int, int]]:
    """Of every network card of the node: bytes and packets received, bytes and packets sent (/proc/net/dev)."""
    found = {}
    for line in (_text("/proc/net/dev") or "").splitlines()[2:]:
        name, _colon, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.split()]
        found[name] = (numbers[0], numbers[1], numbers[8], numbers[9])
    return found


def add_traffic(found: Reading, slot: int, cards: dict[str, tuple[int, int, int, int]]) -> None:
    """Add what went through a container's pairs, as the container sees it: what the node's end receives is sent."""
    prefix = f"v{slot}-"
    for card, (received, packets_received, sent, packets_sent) in cards.items():
        if card.startswith(prefix):
            interface = card[len(prefix) :]
            for key, value in (("in_bytes", sent), ("in_packets", packets_sent),
                               ("out_bytes", received), ("out_packets", packets_received)):  # fmt: skip
                found.count(f"net.{interface}.{key}", value)


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _limit(text: str | None) -> int | None:
    """A limit, ``UNLIMITED``, or ``None`` where the kernel has no such file."""
    if text is None:
        return None
    limit = parse_limit(text)
    return UNLIMITED if limit is None else limit
