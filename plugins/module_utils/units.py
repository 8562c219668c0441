# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parse and print what people write: sizes, processors, addresses, names.

Every ``parse_*`` takes what YAML or a module option gave, returns the one canonical form that is compared and stored,
and raises ``ValueError`` with a sentence that says what to write instead. Every ``show_*`` prints a canonical value the
way people write it. Sizes are bytes inside and suffixed text outside.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Any

PAGE = 4096
_SUFFIXES = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_SIZE = re.compile(r"^(\d{1,30}(?:\.\d{1,30})?)\s*([KMGTP]?)(?:i?B)?\Z", re.IGNORECASE | re.ASCII)
_COUNTS = {"": 1, "k": 10**3, "m": 10**6}
_PERIODS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_RATES = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_RATE = re.compile(r"^(\d{1,12}(?:\.\d{1,6})?)\s*([kmg]?bit)\Z", re.IGNORECASE | re.ASCII)
# RFC 1123 section 2.1, in lower case, since LXC, the kernel and file systems compare names byte by byte.
_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


def parse_size(value: Any) -> int:
    """Bytes, rounded down to whole pages as the kernel's memory controller does (memory.max, cgroup-v2.rst)."""
    match = None if isinstance(value, (bool, float)) else _SIZE.match(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a size; write a number with a unit such as 512M or 1.5G")
    number = round(float(match.group(1)) * _SUFFIXES[match.group(2).upper()])
    if number >= 1 << 62:
        raise ValueError(f"{value!r} is more than any machine has; write a size such as 512M or 1.5G")
    return number - number % PAGE if number >= PAGE else number


def show_size(value: int) -> str:
    """The shortest text that ``parse_size`` reads back to the same number."""
    for suffix in ("T", "G", "M", "K"):
        unit = _SUFFIXES[suffix]
        if value >= unit:
            for digits in range(3):
                text = f"{value / unit:.{digits}f}"
                if round(float(text) * unit) == value:
                    return f"{text}{suffix}"
    return str(value)


def parse_cpus(value: Any) -> float:
    """Processors, in steps of 0.01: cpu.max counts microseconds in each 100 ms, of which 1000 is the smallest quota."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = round(float(value), 2)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number of processors; write one such as 2 or 0.5") from None
    if not 0.01 <= number <= 4096:
        raise ValueError(f"{value!r} processors cannot be given; write a number from 0.01 to 4096")
    return number


def show_cpus(value: float) -> str:
    return f"{value:g}"


def parse_cpuunits(value: Any) -> int:
    """OpenVZ's units as a weight: both are linear, and its default of 1000 is the kernel's 100."""
    units = parse_int(value, 8, 500000)
    if units > 100000:
        raise ValueError(
            f"{units} units are more than the 100000 that the kernel's largest weight is; as only proportions count, "
            "write the units of all containers of the node divided by the same number"
        )
    return max(1, (units + 5) // 10)


def parse_cpulimit(value: Any) -> float:
    """OpenVZ's percentage of one processor as processors."""
    text = "" if isinstance(value, bool) else str(value).strip()
    match = re.match(r"^(\d{1,9}(?:\.\d{1,9})?)\s*%?\Z", text, re.ASCII)
    if not match:
        raise ValueError(f"{value!r} is no percentage of a processor; write one such as 150%, which is 1.5 processors")
    if float(match.group(1)) == 0:
        raise ValueError("0 is OpenVZ's word for no limit; delete the line, or leave it empty to undo a flavor's")
    if not 1 <= float(match.group(1)) <= 409600:
        raise ValueError(f"{value!r} cannot be given; write a percentage from 1% to 409600%")
    return parse_cpus(float(match.group(1)) / 100)


# OpenVZ's table for priorities 0 to 7 has 500 in the middle; the kernel's default is 100.
_IOPRIO = tuple(weight // 5 for weight in (320, 365, 410, 460, 500, 550, 600, 640))


def parse_ioprio(value: Any) -> int:
    """OpenVZ's priority as a weight."""
    return _IOPRIO[parse_int(value, 0, len(_IOPRIO) - 1)]


def parse_factor(value: Any) -> float:
    """How many times something may be promised."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = round(float(value), 2)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number; write one such as 1.5") from None
    if not 1 <= number <= 1000:
        raise ValueError(f"{value!r} is out of range; write a number from 1 to 1000")
    return number


def parse_cpu_set(value: Any) -> str:
    """A list of processor numbers in the form that cpuset.cpus prints: sorted, neighbours joined (cpuset(7))."""
    numbers: set[int] = set()
    for part in str(value).replace(" ", "").split(","):
        match = re.match(r"^(\d{1,4})(?:-(\d{1,4}))?\Z", part, re.ASCII)
        if not match or isinstance(value, (bool, float)):
            raise ValueError(f'{value!r} is not a set of processors; write one such as "0-3" or "0,2,4-7"')
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if last < first:
            raise ValueError(f"{part!r} runs backwards; write {last}-{first}")
        numbers.update(range(first, last + 1))
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def cpu_numbers(cpu_set: str) -> frozenset[int]:
    """The processors of a list as cpuset(7) has it and ``parse_cpu_set`` gives it."""
    numbers: set[int] = set()
    for part in cpu_set.split(","):
        first, _sep, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def parse_int(value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """A whole number, with ``200k``-style suffixes left to sizes."""
    if isinstance(value, bool) or not re.match(r"^-?\d{1,18}\Z", str(value).strip(), re.ASCII):
        raise ValueError(f"{value!r} is not a whole number; write one such as {minimum or 1}")
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ValueError(f"{number} is out of range; write a whole number from {minimum} to {maximum}")
    return number


def parse_count(value: Any) -> int:
    """How many of something; unlike a size's, its suffixes count by thousands."""
    match = re.match(
        r"^(\d{1,12}(?:\.\d{1,9})?)\s*([kKmM]?)\Z", "" if isinstance(value, bool) else str(value).strip(), re.ASCII
    )
    number = float(match.group(1)) * _COUNTS[match.group(2).lower()] if match else 0.5
    if number != int(number):
        raise ValueError(f"{value!r} is not a number of things; write one such as 200k or 1500")
    return int(number)


def show_count(value: int) -> str:
    """The shortest text that ``parse_count`` reads back to the same number."""
    for suffix, unit in (("M", 10**6), ("k", 10**3)):
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def parse_period(value: Any) -> str:
    """A length of time in its largest unit, such as ``1d``; weeks are days, as people count them."""
    match = re.match(r"^([1-9]\d{0,5}) ?([mhdw])\Z", str(value).strip().lower(), re.ASCII)
    if not match:
        raise ValueError(f"{value!r} is no length of time; write one such as 30m, 6h, 1d or 1w")
    seconds = int(match.group(1)) * _PERIODS[match.group(2)]
    if not 600 <= seconds <= 366 * 86400:
        raise ValueError(f"{value!r} is out of range; write one from 10m to 366d")
    unit = next(unit for unit in "dhm" if seconds % _PERIODS[unit] == 0)
    return f"{seconds // _PERIODS[unit]}{unit}"


def seconds_of(period: str) -> int:
    """The seconds of a canonical length of time."""
    return int(period[:-1]) * _PERIODS[period[-1]]


def parse_share(value: Any) -> int | str:
    """A part of what there is: a number of things, or a percentage, as in a play's ``serial``."""
    text = "" if isinstance(value, bool) else str(value).strip()
    match = re.match(r"^(\d{1,9})(%?)\Z", text, re.ASCII)
    if not match or not 1 <= int(match.group(1)) <= (100 if match.group(2) else 10**9):
        raise ValueError(f"{value!r} is neither a number nor a percentage; write one such as 5 or 25%")
    return f"{int(match.group(1))}%" if match.group(2) else int(match.group(1))


def parse_bool(value: Any) -> bool:
    """A YAML boolean, or its text as Ansible's templates make it."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"{value!r} is neither true nor false; write true or false")


def parse_label(value: Any) -> str:
    """A DNS label (RFC 1123): the name of a container, node, network, template, flavor or fleet."""
    if not isinstance(value, str) or not _LABEL.match(value):
        hint = re.sub(r"[^a-z0-9-]+", "-", str(value).lower()).strip("-")[:63].strip("-") or "web-1"
        raise ValueError(f"{value!r} is not a DNS label; write lower-case letters, digits and dashes, such as {hint!r}")
    return value


def parse_hostname(value: Any) -> str:
    """A host name of one or more DNS labels; at most 64 characters, the kernel's limit (uname(2))."""
    text = str(value)
    if len(text) > 64:
        raise ValueError(f"{text!r} has more than 64 characters, the limit for a host name; write a shorter one")
    for label in text.split("."):
        parse_label(label)
    return text


def parse_address(value: Any) -> str:
    """One IPv4 or IPv6 address in its shortest form (RFC 5952)."""
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; write one such as 203.0.113.10 or 2001:db8::10") from None


def parse_subnet(value: Any) -> str:
    try:
        if not isinstance(value, str) or "/" not in value or "%" in value:
            raise ValueError
        return str(ipaddress.ip_network(value))
    except ValueError:
        hint = "203.0.113.0/24"
        with contextlib.suppress(ValueError):
            hint = str(ipaddress.ip_network(str(value), strict=False))
        raise ValueError(f"{value!r} is not a subnet; write one such as {hint}") from None


def parse_mac(value: Any) -> str:
    """A unicast MAC address in lower case (IEEE 802: the lowest bit of the first octet marks a group)."""
    if isinstance(value, int):
        raise ValueError("is read as a number, as YAML 1.1 counts in sixties; write the MAC address in quotes")
    text = str(value).lower().replace("-", ":")
    if not _MAC.match(text):
        raise ValueError(f"{value!r} is not a MAC address; write six pairs of hex digits such as 02:00:00:aa:bb:cc")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{value!r} is a group address; write a unicast one such as 02{text[2:]}")
    return text


def parse_rate(value: Any) -> int:
    """Bits in a second, whole octets of them, as the kernel counts (tc(8), PARAMETERS: powers of 1000)."""
    text = f"{value}bit" if isinstance(value, int) and not isinstance(value, bool) else str(value).strip()
    match = _RATE.match(text)
    if not match:
        raise ValueError(f"{value!r} is not a rate; write a number with a unit such as 10mbit, 500kbit or 1gbit")
    number = round(float(match.group(1)) * _RATES[match.group(2).lower()])
    return number - number % 8


def show_rate(value: int) -> str:
    """The shortest text that ``parse_rate`` reads back to the same number."""
    for unit in ("gbit", "mbit", "kbit"):
        text = f"{value / _RATES[unit]:.3f}".rstrip("0").rstrip(".")
        if value >= _RATES[unit] and round(float(text) * _RATES[unit]) == value:
            return f"{text}{unit}"
    return f"{value}bit"


# By number (IANA's protocol numbers): a node without /etc/protocols knows no names.
PROTOCOLS = {"tcp": "6", "udp": "17"}


def parse_port(value: Any) -> str:
    """A port of a protocol, such as ``tcp/22``."""
    match = re.match(r"^(tcp|udp)/(\d{1,5})\Z", str(value).strip().lower(), re.ASCII)
    if not match or not 1 <= int(match.group(2)) <= 65535:
        raise ValueError(f"{value!r} is not a port; write one with its protocol such as tcp/22 or udp/53")
    return f"{match.group(1)}/{int(match.group(2))}"


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


def family(address: str) -> int:
    """4 or 6, of an address, subnet or interface address."""
    return 6 if ":" in address else 4
