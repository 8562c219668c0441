# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that a network's pool gives to containers. Pure.

An address that a container is known to have stays its own. A new one is found from the container's name, as its range
of user ids is: so most containers get the same address again where nothing is known of them, and one more container
takes nobody's place.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .ranges import Address, Range

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network
# Of a subnet that is larger, the low part is enough.
LARGEST = 1 << 20


class Want(NamedTuple):
    """One address that a container asks for: from which subnet of which network, for which interface."""

    container: str
    interface: str
    network: str
    subnet: Subnet


class Pool:
    """The addresses of one subnet that may be given away."""

    def __init__(self, subnet: Subnet, ranges: Sequence[Range], reserved: Iterable[str]) -> None:
        """``ranges`` are the network's that lie in the subnet; without any, all of its hosts' addresses are taken."""
        self.subnet = subnet
        hosts = _hosts(subnet)
        self._spans = [(int(r.first), int(r.last)) for r in ranges] or [hosts]
        self._reserved = {int(ipaddress.ip_address(address)) for address in reserved}
        self._edges = {int(subnet.network_address), int(subnet.broadcast_address)} if hosts[1] - hosts[0] > 1 else set()
        self.size = min(sum(last - first + 1 for first, last in self._spans), LARGEST)
        # The next index that may be free, for each: a path to it that grows shorter with every use.
        self._next: dict[int, int] = {}
        self._taken: set[int] = set()

    def take(self, address: str) -> bool:
        """Take a certain address out of the pool, be it in its ranges or not. False when somebody has it."""
        number = int(ipaddress.ip_address(address))
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def holds(self, address: str) -> bool:
        """Whether a container could have this address at all."""
        parsed = ipaddress.ip_address(address)
        number = int(parsed)
        in_subnet = parsed.version == self.subnet.version and parsed in self.subnet
        return in_subnet and number not in self._reserved and not (self.subnet.version == 4 and number in self._edges)

    def draw(self, key: str) -> str | None:
        """A free address, found from a key; ``None`` when there is none left."""
        digest = hashlib.sha256(key.encode()).digest()
        start = int.from_bytes(digest[:8], "big") % self.size
        index = self._free(start, self.size)
        if index is None:
            index = self._free(0, start)
        if index is None:
            return None
        self._next[index] = index + 1
        number = self._number(index)
        self._taken.add(number)
        return str(_address(self.subnet, number))

    def _free(self, start: int, end: int) -> int | None:
        """The first free index from ``start`` up to ``end``, which is remembered for all on the way."""
        passed, index = [], start
        while index < end:
            if index in self._next:
                passed.append(index)
                index = self._next[index]
            elif self._is_gone(self._number(index)):
                self._next[index] = index + 1
            else:
                break
        for one in passed:
            self._next[one] = index
        return index if index < end else None

    def _is_gone(self, number: int) -> bool:
        return number in self._taken or number in self._reserved or number in self._edges

    def _number(self, index: int) -> int:
        for first, last in self._spans:
            if index <= last - first:
                return first + index
            index -= last - first + 1
        raise IndexError(index)


def _hosts(subnet: Subnet) -> tuple[int, int]:
    """The first and last address that a host can have."""
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if last - first <= 1:
        return first, last
    return first + 1, last - (1 if subnet.version == 4 else 0)


def _address(subnet: Subnet, number: int) -> Address:
    return ipaddress.IPv4Address(number) if subnet.version == 4 else ipaddress.IPv6Address(number)


def assign(
    wants: Iterable[Want],
    pools: Mapping[Subnet, Pool],
    fixed: Iterable[str],
    known: Mapping[str, Mapping[str, Sequence[str]]],
) -> tuple[dict[str, dict[str, list[str]]], list[Want]]:
    """Addresses by container and interface, and the wants for which none is left.

    ``fixed`` are the addresses that somebody has by declaration; ``known`` those that containers have now.
    """
    for address in fixed if pools else ():
        parsed = ipaddress.ip_address(address)
        for subnet, pool in pools.items():
            if parsed.version == subnet.version and parsed in subnet:
                pool.take(address)
    given: dict[str, dict[str, list[str]]] = {}
    new: list[Want] = []
    for want in sorted(wants, key=lambda w: (w.container, w.interface, w.subnet.version, w.subnet)):
        pool = pools[want.subnet]
        has = known.get(want.container, {}).get(want.interface, ())
        kept = next((address for address in has if pool.holds(address) and pool.take(address)), None)
        given.setdefault(want.container, {}).setdefault(want.interface, [])
        if kept is None:
            new.append(want)
        else:
            given[want.container][want.interface].append(kept)
    missing = []
    for want in new:
        found = pools[want.subnet].draw(f"{want.network}/{want.container}/{want.interface}")
        if found is None:
            missing.append(want)
        else:
            given[want.container][want.interface].append(found)
    return given, missing
