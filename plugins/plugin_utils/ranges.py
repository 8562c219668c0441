# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranges of addresses, which give one address to each of a number of containers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_EXAMPLE = "write a range such as 203.0.113.10-11 or fd00::10-fd00::14"


@dataclass(frozen=True)
class Range:
    """Consecutive addresses of one family."""

    first: Address
    last: Address

    def __len__(self) -> int:
        # sys.maxsize is all that len() can say, and more than any count.
        return min(int(self.last) - int(self.first) + 1, 1 << 40)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return str(self.first + index)


def parse(text: str) -> Range:
    """``203.0.113.10-11``, ``10.20.0.10-10.20.0.14``, ``fd00::10-14``, or one address, a range of one.

    The short form gives the last octet of an IPv4 address, the last group of an IPv6 address.
    """
    start, dash, end = text.partition("-")
    try:
        first = ipaddress.ip_address(start.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a range; {_EXAMPLE}") from None
    if not dash:
        return Range(first, first)
    try:
        last = ipaddress.ip_address(_full(first, end.strip()))
    except ValueError:
        raise ValueError(f"{end!r} cannot end a range that starts with {start}; {_EXAMPLE}") from None
    if last.version != first.version:
        raise ValueError(f"{text!r} goes from one family to the other; {_EXAMPLE}")
    if int(last) < int(first):
        raise ValueError(f"{text!r} runs backwards; write {last}-{first}")
    return Range(first, last)


def _full(first: Address, end: str) -> str:
    if ":" in end or "." in end:
        return end
    separator = "." if first.version == 4 else ":"
    head, _unused, _unused = first.exploded.rpartition(separator)
    return f"{head}{separator}{end}"


def suggest(first: Address, count: int) -> str:
    """The range of ``count`` addresses from ``first`` up, as far as there are so many."""
    try:
        last = first + (count - 1)
    except ipaddress.AddressValueError:
        return f"{first} and others"
    return str(first) if count == 1 else f"{first}-{last}"
