# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast a link may carry, by traffic control (tc(8)), without the program of that name. Rates are bits in a second.

What a link sends waits in a token bucket at its root (tc-tbf(8)). What it receives cannot wait at the link itself: it
is led through a link of kind ``ifb`` that does nothing but send, and has the bucket. Filters are ``u32``, which every
kernel has that can shape at all.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

from . import links
from .netlink import attributes, dump

_GETQDISC, _GETFILTER = 38, 46
_KIND, _OPTIONS = 1, 2
_TBF_PARMS, _U32_ACTIONS, _ACTION_OPTIONS, _MIRRED_PARMS = 1, 7, 2, 2
_ROOT, _INGRESS = 0xFFFFFFFF, 0xFFFF0000
_ALL_PROTOCOLS = 3  # ETH_P_ALL
# A bucket holds what passes in this time, but some packets at least, and a whole one in any case.
_BURST_SECONDS, _BURST_LEAST, _HEADERS = 0.01, 16 << 10, 64
_WAIT_SECONDS = 0.05
_UNKNOWN = (errno.ENOENT, errno.EOPNOTSUPP)


# Of the kernel, for what is sent and for what is received.
MODULES = {"rate_in": ("sch_tbf",), "rate_out": ("sch_tbf", "sch_ingress", "cls_u32", "act_mirred", "ifb")}


def lacking(modules: str = "") -> frozenset[str]:
    """The modules that this kernel certainly has not. One without a list of its modules may have them built in."""
    place = modules or f"/lib/modules/{os.uname().release}"
    missing = {name for names in MODULES.values() for name in names if not os.path.exists(f"/sys/module/{name}")}
    try:
        for file in ("modules.builtin", "modules.dep"):
            with open(f"{place}/{file}", encoding="utf-8") as handle:
                text = handle.read()
            missing -= {name for name in missing if f"/{name}.ko" in text}
    except OSError:
        return frozenset()
    return frozenset(missing)


def root_rates() -> dict[int, int]:
    """The rate of the token bucket at the root of each link that has one, by index; of all links at once."""
    found: dict[int, int] = {}
    for index, parent, kind, options in _dump(_GETQDISC, 0, 0):
        if parent == _ROOT and kind == "tbf":
            # struct tc_tbf_qopt begins with struct tc_ratespec, whose last member is bytes in a second (pkt_sched.h).
            found[index] = struct.unpack_from("=I", attributes(options, 0)[_TBF_PARMS], 8)[0] * 8
    return found


def led_through(index: int) -> int | None:
    """The link through which everything that a link receives is led, or ``None``."""
    for _index, _parent, kind, options in _dump(_GETFILTER, index, _INGRESS):
        for raw in attributes(attributes(options, 0).get(_U32_ACTIONS, b""), 0).values() if kind == "u32" else ():
            parms = attributes(attributes(raw, 0).get(_ACTION_OPTIONS, b""), 0).get(_MIRRED_PARMS)
            if parms and len(parms) >= 28:
                return int(struct.unpack_from("=I", parms, 24)[0])  # struct tc_mirred
    return None


def _dump(message: int, index: int, parent: int) -> list[tuple[int, int, str, bytes]]:
    """Index, parent, kind and options of each; none where the link is gone or has nothing of the sort."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        try:
            for body in dump(sock, message, struct.pack("=BxHiIII", 0, 0, index, 0, parent, 0)):
                at = attributes(body, 20)
                where, above = struct.unpack_from("=4xi4xI", body)
                kind = at.get(_KIND, b"").rstrip(b"\0").decode()
                found.append((where, above, kind, at.get(_OPTIONS, b"")))
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.EINVAL, errno.ENOENT):
                raise
    return found


def limit_sent(link: str, rate: int | None, mtu: int = 1500) -> None:
    """Let a link send at most this much; ``None`` for whatever it can. ``mtu`` is that of the packets."""
    with links.routes() as ipr:
        index = links.index_of(ipr, link)
        if index is None:
            raise OSError(errno.ENODEV, f"there is no network card {link}")
        _bucket(ipr, index, rate, mtu)


def limit_received(link: str, through: str, rate: int | None, mtu: int = 1500) -> None:
    """Let a link receive at most this much, by way of a link ``through`` that is made for it."""
    with links.routes() as ipr:
        index, bucket = links.index_of(ipr, link), links.index_of(ipr, through)
        if index is None:
            raise OSError(errno.ENODEV, f"there is no network card {link}")
        if rate is None:
            links.ignoring((errno.ENOENT, errno.EINVAL), ipr.tc, "del", "ingress", index)
            if bucket is not None:
                links.ignoring((errno.ENODEV,), ipr.link, "del", index=bucket)
            return
        if bucket is None:
            _needing("ifb", ipr.link, "add", ifname=through, kind="ifb")
            bucket = int(ipr.link_lookup(ifname=through)[0])
        _bucket(ipr, bucket, rate, mtu)
        links.ignoring((), ipr.link, "set", index=bucket, state="up")
        if led_through(index) == bucket:
            return
        links.ignoring((errno.ENOENT, errno.EINVAL), ipr.tc, "del", "ingress", index)
        _needing("sch_ingress", ipr.tc, "add", "ingress", index)
        action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": bucket}
        what: dict[str, Any] = {"parent": _INGRESS, "protocol": _ALL_PROTOCOLS, "prio": 1}
        what |= {"target": 0x10000, "keys": ["0x0/0x0+0"], "action": [action]}
        _needing("cls_u32 and act_mirred", ipr.tc, "add-filter", "u32", index, **what)


def _bucket(ipr: Any, index: int, rate: int | None, mtu: int) -> None:
    if rate is None:
        links.ignoring((errno.ENOENT, errno.EINVAL), ipr.tc, "del", index=index, parent=_ROOT)
        return
    octets = rate // 8
    burst = max(int(octets * _BURST_SECONDS), _BURST_LEAST, mtu + _HEADERS)
    limit = min(int(octets * _WAIT_SECONDS) + burst, 0xFFFFFFFF)
    _needing("sch_tbf", ipr.tc, "replace", "tbf", index, handle=0x10000, rate=octets, burst=burst, limit=limit)


def _needing(module: str, call: Any, *args: Any, **kwargs: Any) -> None:
    try:
        links.ignoring((), call, *args, **kwargs)
    except OSError as error:
        if error.errno in _UNKNOWN:
            words = f"this kernel cannot limit a network card's rate: it has no {module}; delete rate_in and rate_out"
            raise OSError(error.errno, words) from error
        raise
