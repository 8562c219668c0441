# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links, addresses and routes, read straight from the kernel's tables (rtnetlink(7)).

Only reading is done here, for it is done on every run and for every container: loading pyroute2 costs more than asking
fifty namespaces. Whatever changes something is pyroute2's (``links.py``).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import syscalls

_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH = 18, 22, 26, 30
_DUMP = 0x0301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_IFALIAS = 1, 3, 4, 10, 20
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NTF_PROXY = 1, 8
_IFA_F_PERMANENT, _IFF_UP = 0x80, 1
_MAIN_TABLE = 254
_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}


@dataclass
class Link:
    """One network card of a namespace, with its permanent addresses and the routes through it."""

    name: str
    mac: str
    mtu: int
    master: int
    alias: str
    up: bool = True
    addresses: list[str] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    # Host routes without a gateway: how the node reaches the addresses of a routed container.
    host_routes: set[str] = field(default_factory=set)
    # Addresses that the namespace answers for here though they are not its own (ip-neighbour(8), proxy).
    proxied: set[str] = field(default_factory=set)


def links_of(pid: int) -> dict[int, Link]:
    """The links in a process's network namespace. Moves the calling thread there: call it in a thread made for it."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
    finally:
        os.close(fd)
    return links()


def links(routes: bool = True, proxies: bool = False) -> dict[int, Link]:
    """The links of the thread's own namespace by index."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        found: dict[int, Link] = {}
        for body in dump(sock, _GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
            _family, _type, index, flags, _change = struct.unpack_from("=BxHiII", body)
            at = attributes(body, 16)
            found[index] = Link(
                name=_text(at.get(_IFLA_IFNAME)),
                mac=":".join(f"{octet:02x}" for octet in at.get(_IFLA_ADDRESS, b"")),
                mtu=_number(at.get(_IFLA_MTU)),
                master=_number(at.get(_IFLA_MASTER)),
                alias=_text(at.get(_IFLA_IFALIAS)),
                up=bool(flags & _IFF_UP),
            )
        for body in dump(sock, _GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
            family, length, flags, scope, index = struct.unpack_from("=BBBBi", body)
            at = attributes(body, 8)
            raw = at.get(_IFA_LOCAL, at.get(_IFA_ADDRESS))
            # Scope 253 is the link's own fe80 address, which the kernel makes by itself.
            if raw and family in _FAMILIES and flags & _IFA_F_PERMANENT and scope != 253 and index in found:
                found[index].addresses.append(f"{socket.inet_ntop(family, raw)}/{length}")
        if routes:
            _add_routes(sock, found)
        if proxies:
            _add_proxies(sock, found)
        return found


def _add_routes(sock: socket.socket, found: dict[int, Link]) -> None:
    for body in dump(sock, _GETROUTE, struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _src, _tos, table = struct.unpack_from("=BBBBB", body)
        if family not in _FAMILIES or table != _MAIN_TABLE:
            continue
        at = attributes(body, 12)
        link = found.get(_number(at.get(_RTA_OIF)))
        if link is None:
            continue
        if length == 0 and _RTA_GATEWAY in at:
            link.gateways.append(socket.inet_ntop(family, at[_RTA_GATEWAY]))
        elif _RTA_DST in at and _RTA_GATEWAY not in at and length == (32 if family == socket.AF_INET else 128):
            link.host_routes.add(f"{socket.inet_ntop(family, at[_RTA_DST])}/{length}")


def _add_proxies(sock: socket.socket, found: dict[int, Link]) -> None:
    for family in _FAMILIES:
        for body in dump(sock, _GETNEIGH, struct.pack("=BxxxiHBB", family, 0, 0, _NTF_PROXY, 0)):
            index, _state, flags = struct.unpack_from("=iHB", body, 4)
            raw = attributes(body, 12).get(_NDA_DST)
            if raw and flags & _NTF_PROXY and index in found:
                found[index].proxied.add(socket.inet_ntop(family, raw))


def dump(sock: socket.socket, kind: int, body: bytes) -> Iterable[bytes]:
    """The bodies of what the kernel answers to a request for a whole table."""
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, _DUMP, 1, 0) + body)
    while True:
        data = sock.recv(1 << 17)
        offset = 0
        while offset < len(data):
            size, message = struct.unpack_from("=IH", data, offset)
            if message == _DONE:
                return
            if message == _ERROR:
                number = -struct.unpack_from("=i", data, offset + 16)[0]
                raise OSError(number, f"netlink: {os.strerror(number)}")
            yield data[offset + 16 : offset + size]
            offset += (size + 3) & ~3


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes that follow a message's or an attribute's own header (netlink(7))."""
    return dict(_each_attribute(body, offset))


def _each_attribute(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + 4 <= len(body):
        size, kind = struct.unpack_from("=HH", body, offset)
        if size < 4:
            return
        yield kind & 0x3FFF, body[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def _number(raw: bytes | None) -> int:
    return struct.unpack("=I", raw)[0] if raw else 0


def _text(raw: bytes | None) -> str:
    # A name or an alias that somebody inside has given may be any bytes.
    return raw.rstrip(b"\0").decode("utf-8", "replace") if raw else ""
