# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the words of a node's own options are read: paths, devices, kernel parameters, limits, capabilities, features.

Each function returns the canonical form, or raises ``ValueError`` with what to write instead.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from . import units

# What a node keeps for itself: shared with a container, it would no longer be confined, or no longer Carve's.
_NEVER_SHARED = ("/proc", "/sys", "/dev", "/run/carve", "/var/lib/carve", "/usr/lib/carve")
_NOT_INSIDE = ("/proc", "/sys", "/dev")
_OPENS_THE_NODE = ("/dev/mem", "/dev/kmem", "/dev/port")

# getrlimit(2): counts, and sizes in bytes.
_COUNTS = ("cpu", "locks", "nice", "nofile", "nproc", "rtprio", "rttime", "sigpending")
_SIZES = ("as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack")
RLIMITS = tuple(sorted(_COUNTS + _SIZES))
_MOST = 1 << 63

# Those that belong to an IPC namespace (ipc_namespaces(7)); of net.* most belong to a network namespace.
IPC_SYSCTLS = (
    "kernel.auto_msgmni", "kernel.msg_next_id", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
    "kernel.sem_next_id", "kernel.shm_next_id", "kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni",
)  # fmt: skip
_OWN_OPTION = {"kernel.hostname": "hostname"}


def path(value: Any) -> str:
    """An absolute path in its shortest form."""
    if not isinstance(value, str) or not value.startswith("/") or any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError(f"{value!r} is no absolute path; write one such as /srv/data")
    if len(value.encode(errors="replace")) > 4000:
        raise ValueError("is too long for a path; write at most 4000 bytes")
    short = posixpath.normpath(value).replace("//", "/")
    if ".." in value.split("/"):
        raise ValueError(f"{value!r} has '..' in it; write {short}")
    return short


def mount_source(value: Any) -> str:
    """A path of the node that may be shared."""
    found = path(value)
    if found == "/" or _below(found, _NEVER_SHARED):
        raise ValueError(f"{found} of the node is never shared with a container; write another directory")
    return found


def mount_point(value: Any) -> str:
    """A path inside a container where something of the node may be mounted."""
    found = path(value)
    if found == "/" or _below(found, _NOT_INSIDE):
        also = "; write devices: for a device" if _below(found, ("/dev",)) else ""
        raise ValueError(f"nothing can be mounted at {found}; write a path such as /srv/data{also}")
    return found


def _below(found: str, places: tuple[str, ...]) -> bool:
    return any(found == place or found.startswith(f"{place}/") for place in places)


def device(value: Any) -> str:
    """A device of the node by its path."""
    found = path(value) if str(value).startswith("/") else str(value)
    if not found.startswith("/dev/"):
        raise ValueError(f"{value!r} is no device; write its path on the node, such as /dev/sdb1")
    if found in _OPENS_THE_NODE:
        raise ValueError(f"{found} is the node's memory, and whoever has it has the node; delete it")
    return found


def network_card(value: Any) -> str:
    """A network card by its name on the node, or inside."""
    name = str(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", name) or name == "lo":
        raise ValueError(f"{name!r} is no name for a network card; write at most 15 characters, such as eth2")
    return name


def sysctl(value: Any) -> str:
    """The name of a kernel parameter that a container has for itself."""
    name = str(value)
    if not re.fullmatch(r"[a-z][a-z0-9_-]*(\.[A-Za-z0-9_-]+)+", name):
        raise ValueError(f"{name!r} is no kernel parameter; write one with dots, such as net.ipv4.ip_forward")
    if name in _OWN_OPTION:
        raise ValueError(f"is an option of its own; write {_OWN_OPTION[name]}: beside sysctls:")
    if name not in IPC_SYSCTLS and not name.startswith(("net.", "fs.mqueue.")):
        raise ValueError(
            "belongs to the whole node and not to a container; only net.*, fs.mqueue.* and kernel.shm*, msg*, sem do: "
            "set it on the node, or delete it"
        )
    return name


def sysctl_value(_name: str, value: Any) -> str:
    """The words of a value, as the kernel prints them."""
    if isinstance(value, bool):
        return str(int(value))
    text = " ".join(str(value).split())
    if isinstance(value, (dict, list)) or not text or len(text) > 1000 or not text.isprintable():
        raise ValueError(f"{value!r} is no value of a kernel parameter; write a number, or text such as '1024 65535'")
    return text


def rlimit(value: Any) -> str:
    """The name of a resource limit."""
    name = str(value)
    if name not in RLIMITS:
        from difflib import get_close_matches

        close = get_close_matches(name.lower().replace("rlimit_", ""), RLIMITS, 1)
        instead = f"did you mean {close[0]}?" if close else f"write any of {', '.join(RLIMITS)}"
        raise ValueError(f"there is no such resource limit; {instead}")
    return name


def rlimit_value(name: str, value: Any) -> str:
    """``SOFT:HARD`` in plain numbers; one value alone is both."""
    words = str(value).split(":") if not isinstance(value, (bool, dict, list)) else []
    if not 1 <= len(words) <= 2:
        raise ValueError(f"{value!r} is no limit; write {_limit_example(name)}")
    found = [_one_limit(name, word.strip(), value) for word in words]
    soft, hard = found[0], found[-1]
    if _number(soft) > _number(hard):
        raise ValueError(f"{value!r} has a soft limit above the hard one; write the smaller one first")
    return f"{soft}:{hard}"


def _one_limit(name: str, word: str, whole: Any) -> str:
    if word.lower() in ("unlimited", "infinity"):
        if name == "nofile":
            raise ValueError("the kernel has a most of open files (fs.nr_open); write a number such as 1048576")
        return "unlimited"
    try:
        number = units.parse_size(word) if name in _SIZES else int(word)
    except ValueError:
        number = -1
    if not 0 <= number < _MOST:
        raise ValueError(f"{whole!r} is no limit; write {_limit_example(name)}")
    return str(number)


def _limit_example(name: str) -> str:
    sizes = "a size such as 64M, unlimited, or SOFT:HARD such as 8M:unlimited"
    return sizes if name in _SIZES else "a number such as 4096, unlimited, or SOFT:HARD such as 1024:4096"


def _number(word: str) -> int:
    return _MOST if word == "unlimited" else int(word)


def timezone(value: Any) -> str:
    """The name of a time zone in the tz database, by its form: which ones a container has, its own files say."""
    if not isinstance(value, str) or not re.fullmatch(
        r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*){0,2}", value
    ):
        raise ValueError(f"{value!r} is no time zone; write its name such as Europe/Berlin or UTC")
    return value


# capabilities(7), as LXC writes them.
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip

_NO_FEATURE = {
    "nfs": "a user namespace cannot mount NFS; mount it on the node, and write that directory in mounts:",
    "nfsd": "a user namespace cannot run the kernel's NFS server; delete it, and run nfs-ganesha inside",
}


def capability(value: Any) -> str:
    """A capability without its prefix, in lower case."""
    name = str(value).lower()
    name = name.removeprefix("cap_")
    if name not in CAPABILITIES:
        from difflib import get_close_matches

        close = get_close_matches(name, CAPABILITIES, 1)
        raise ValueError(
            f"there is no capability {value!r}; {f'did you mean {close[0]}?' if close else 'see capabilities(7)'}"
        )
    return name


def feature(value: Any, known: tuple[str, ...]) -> str:
    """Something that a container can be given, or a word on why it cannot."""
    name = str(value)
    if name in _NO_FEATURE:
        raise ValueError(f"{name} cannot be given: {_NO_FEATURE[name]}")
    if name not in known:
        raise ValueError(f"there is no feature {name!r}; write any of {', '.join(known)}")
    return name
