# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of links, addresses and routes, by pyroute2. Each is made so that doing it again changes nothing.

pyroute2 is loaded when the first change is made: a run that finds nothing to do need not wait for it.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import Any

from ..units import family
from . import netlink

_AF = {4: 2, 6: 10}
_SCOPE_LINK = 253


def routes() -> Any:
    """A netlink socket in the thread's own network namespace; a context manager."""
    from pyroute2 import IPRoute

    return IPRoute()


def ignoring(numbers: tuple[int, ...], call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        call(*args, **kwargs)
    except NetlinkError as error:
        if error.code not in numbers:
            raise OSError(error.code, f"netlink: {error}") from error


def index_of(ipr: Any, name: str) -> int | None:
    found = ipr.link_lookup(ifname=name)
    return int(found[0]) if found else None


def ensure_bridge(name: str, alias: str) -> int:
    """The index of a bridge, made if need be, up, and marked with ``alias``."""
    with routes() as ipr:
        index = index_of(ipr, name)
        if index is None:
            ignoring((), ipr.link, "add", ifname=name, kind="bridge")
            index = int(ipr.link_lookup(ifname=name)[0])
        ignoring((), ipr.link, "set", index=index, state="up", IFLA_IFALIAS=alias)
        return index


def learn_no_reserved(bridge: str) -> None:
    """Have a bridge learn no MAC address from frames to the addresses that no bridge passes on (01:80:c2:00:00:0x).

    It takes them in ahead of netfilter, so that the sender of one could draw a neighbour's frames to itself. By sysfs:
    pyroute2 does not know the attribute. Where there is no such bridge, or none that could be told so, nothing is done.
    """
    path = f"/sys/class/net/{bridge}/bridge/no_linklocal_learn"
    with contextlib.suppress(FileNotFoundError), open(path, "w", encoding="ascii") as handle:
        handle.write("1")


def remove_link(name: str) -> None:
    with routes() as ipr:
        index = index_of(ipr, name)
        if index is not None:
            ignoring((errno.ENODEV,), ipr.link, "del", index=index)


def set_link(name: str, **attributes: Any) -> None:
    """Set attributes of a link: ``address=``, ``mtu=``, ``master=``, ``state=``.

    Raises ``OSError`` when there is no such link.
    """
    with routes() as ipr:
        index = index_of(ipr, name)
        if index is None:
            raise OSError(errno.ENODEV, f"there is no network card {name}")
        if isinstance(attributes.get("master"), str):
            attributes["master"] = index_of(ipr, attributes["master"]) or 0
        ignoring((), ipr.link, "set", index=index, **attributes)


def add_addresses(link: str, addresses: list[str]) -> None:
    with routes() as ipr:
        index = index_of(ipr, link)
        for address in addresses:
            ip, _sep, length = address.partition("/")
            ignoring((errno.EEXIST,), ipr.addr, "add", index=index, address=ip, prefixlen=int(length))


def remove_addresses(link: str, addresses: list[str]) -> None:
    """Remove addresses and no others: without the sysctl the first of a subnet takes the rest along (ip-sysctl.rst)."""
    if not addresses:
        return
    with open(f"/proc/sys/net/ipv4/conf/{link}/promote_secondaries", "w", encoding="ascii") as handle:
        handle.write("1")
    with routes() as ipr:
        index = index_of(ipr, link)
        for address in addresses:
            ip, _sep, length = address.partition("/")
            gone = (errno.EADDRNOTAVAIL, errno.ENODEV)
            ignoring(gone, ipr.addr, "del", index=index, address=ip, prefixlen=int(length))


def add_host_routes(link: str, addresses: list[str]) -> None:
    """Routes of the node to single addresses behind ``link``, as LXC makes them for a routed veth."""
    with routes() as ipr:
        index = index_of(ipr, link)
        for address in addresses:
            scope = {"scope": _SCOPE_LINK} if family(address) == 4 else {}
            ignoring((errno.EEXIST,), ipr.route, "add", dst=address, oif=index, family=_AF[family(address)], **scope)


def remove_host_routes(link: str, addresses: list[str]) -> None:
    with routes() as ipr:
        index = index_of(ipr, link)
        for address in addresses:
            scope = {"scope": _SCOPE_LINK} if family(address) == 4 else {}
            gone = (errno.ESRCH, errno.ENODEV)
            ignoring(gone, ipr.route, "del", dst=address, oif=index, family=_AF[family(address)], **scope)


def answer_for(link: str, gateways: list[str]) -> None:
    """Let the node answer ARP and neighbour discovery for a routed container's gateways on ``link``."""
    with routes() as ipr:
        index = index_of(ipr, link)
        for gateway in gateways:
            if family(gateway) == 6:
                with open(f"/proc/sys/net/ipv6/conf/{link}/proxy_ndp", "w", encoding="ascii") as handle:
                    handle.write("1")
            ignoring(
                (errno.EEXIST,), ipr.neigh, "add", dst=gateway, ifindex=index, flags=8, family=_AF[family(gateway)]
            )


def add_default_routes(link: str, gateways: list[str], on_link: bool) -> None:
    """Default routes, in the thread's own namespace. ``on_link`` gateways are in no subnet of the link's.

    What leads another way in the place of one makes room for it: of each metric the kernel has a single one.
    """
    there = {gateway for found in netlink.links().values() if found.name == link for gateway in found.gateways}
    with routes() as ipr:
        index = index_of(ipr, link)
        for gateway in gateways:
            length = 32 if family(gateway) == 4 else 128
            common = {"oif": index, "family": _AF[family(gateway)]}
            if on_link:
                scope = {"scope": _SCOPE_LINK} if family(gateway) == 4 else {}
                ignoring((errno.EEXIST,), ipr.route, "add", dst=f"{gateway}/{length}", **common, **scope)
            how = "add" if gateway in there else "replace"
            ignoring((errno.EEXIST,), ipr.route, how, dst="default", gateway=gateway, **common)


def remove_default_routes(link: str, gateways: list[str]) -> None:
    with routes() as ipr:
        index = index_of(ipr, link)
        for gateway in gateways:
            ignoring(
                (errno.ESRCH,), ipr.route, "del", dst="default", gateway=gateway, oif=index, family=_AF[family(gateway)]
            )
