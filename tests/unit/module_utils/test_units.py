# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people write is read into one form, printed back, and refused with a remedy where it means nothing."""

from __future__ import annotations

import ipaddress
import itertools
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import units
from hypothesis import given
from hypothesis import strategies as st

G, M, K = 1 << 30, 1 << 20, 1 << 10

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
# Text that nearly is what a parser wants, and signs that Unicode counts among digits, letters and spaces.
nearly = st.text("0123456789.:-/ KMGTPiBkmgabcdef%xX,+_e\u212a\u0663\n\u2028", max_size=20)
PARSERS: list[Callable[[Any], Any]] = [
    units.parse_size,
    units.parse_cpus,
    units.parse_cpu_set,
    units.parse_int,
    units.parse_bool,
    units.parse_label,
    units.parse_hostname,
    units.parse_address,
    units.parse_subnet,
    units.parse_mac,
]
by_parser = pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)


@by_parser
@given(value=anything | nearly)
def test_anything_is_read_or_refused(parse: Callable[[Any], Any], value: Any) -> None:
    try:
        result = parse(value)
    except ValueError as error:
        assert str(error)
    else:
        assert parse(result) == result


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        ("0", 0),
        (1, 1),
        ("100", 100),
        ("512M", 512 * M),
        ("512m", 512 * M),
        ("512MB", 512 * M),
        ("512MiB", 512 * M),
        (" 512 M ", 512 * M),
        ("1.5G", 1536 * M),
        ("1T", 1 << 40),
        ("1P", 1 << 50),
        (5000, 4096),
        ("4095", 4095),
        ("1000000", 999424),
    ],
)
def test_sizes(text: Any, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", [True, 1.5, None, "", "M", "-1", "1.5.5G", "1E", "512 X", [], "5000P", "\u0665M", "5\u212a"]
)
def test_no_sizes(text: Any) -> None:
    with pytest.raises(ValueError, match="write a "):
        units.parse_size(text)


@given(st.integers(0, (1 << 50) - 1).map(lambda pages: pages * units.PAGE) | st.integers(0, units.PAGE))
def test_a_size_is_shown_as_it_is_read(size: int) -> None:
    assert units.parse_size(units.show_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (512 * M, "512M"), (1536 * M, "1.5G"), (2 * G, "2G"), (100 * M + 4 * K, "102404K")]
)
def test_sizes_are_shown_short(size: int, text: str) -> None:
    assert units.show_size(size) == text


@given(st.integers(1, 409600).map(lambda hundredths: hundredths / 100))
def test_processors_are_shown_as_they_are_read(cpus: float) -> None:
    assert units.parse_cpus(units.show_cpus(cpus)) == units.parse_cpus(cpus) == cpus


@pytest.mark.parametrize("value", [0, 0.001, -1, 4097, "nan", "inf", float("nan"), "two", True, None, [], 10**400])
def test_no_processors(value: Any) -> None:
    with pytest.raises(ValueError, match="write "):
        units.parse_cpus(value)


@pytest.mark.parametrize(
    ("units_of_openvz", "weight"),
    [(8, 1), (100, 10), (250, 25), (500, 50), (1000, 100), (1500, 150), (10000, 1000), (32320, 3232), (100000, 10000)],
)
def test_cpuunits_are_tenths_of_a_weight(units_of_openvz: int, weight: int) -> None:
    assert units.parse_cpuunits(units_of_openvz) == units.parse_cpuunits(str(units_of_openvz)) == weight


@pytest.mark.parametrize("value", [7, 0, -1, 100001, 500000, 500001, "1000 units", 1.5, True, None, []])
def test_no_cpuunits(value: Any) -> None:
    with pytest.raises(ValueError, match="write "):
        units.parse_cpuunits(value)


@pytest.mark.parametrize(
    ("percent", "cpus"), [(150, 1.5), ("150%", 1.5), ("150", 1.5), (" 1 %", 0.01), ("12.5%", 0.12), (25.0, 0.25)]
)
def test_a_cpulimit_is_a_percentage_of_one_processor(percent: Any, cpus: float) -> None:
    assert units.parse_cpulimit(percent) == cpus


@pytest.mark.parametrize(
    "value", [0, "0%", "0.4%", -1, "150%%", "2000Mhz", 409601, True, None, [], "inf", float("nan")]
)
def test_no_cpulimit(value: Any) -> None:
    with pytest.raises(ValueError, match=r"write |delete "):
        units.parse_cpulimit(value)


def test_priorities_keep_the_proportions_of_openvz() -> None:
    weights = [units.parse_ioprio(priority) for priority in range(8)]
    assert weights == [64, 73, 82, 92, 100, 110, 120, 128]


@given(st.sets(st.integers(0, 9999), min_size=1))
def test_a_cpu_set_is_sorted_and_joined(numbers: set[int]) -> None:
    text = units.parse_cpu_set(",".join(map(str, numbers)))
    runs = [[int(end) for end in part.split("-")] for part in text.split(",")]
    assert [n for run in runs for n in range(run[0], run[-1] + 1)] == sorted(numbers)
    assert all(left[-1] + 1 < right[0] for left, right in itertools.pairwise(runs))


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), ("0-3", "0-3"), ("3,1,2, 7", "1-3,7"), ("0-2,1-4", "0-4"), ("5-5", "5")]
)
def test_cpu_sets(value: Any, text: str) -> None:
    assert units.parse_cpu_set(value) == text


@pytest.mark.parametrize(
    ("value", "remedy"), [("3-1", "write 1-3"), ("", "such as"), ("a", "such as"), (0.5, "such as"), (True, "such as")]
)
def test_no_cpu_sets(value: Any, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        units.parse_cpu_set(value)


@given(st.integers(-(10**17), 10**17))
def test_whole_numbers(number: int) -> None:
    assert units.parse_int(number) == units.parse_int(f" {number} ") == number


@pytest.mark.parametrize("value", [True, 1.0, "1.0", "", None, "10k", 7, 12])
def test_no_whole_numbers_in_range(value: Any) -> None:
    with pytest.raises(ValueError, match="write "):
        units.parse_int(value, 8, 11)


@pytest.mark.parametrize(
    ("value", "fact"), [(True, True), ("Yes", True), ("on", True), (1, True), ("off", False), (0, False)]
)
def test_facts(value: Any, fact: bool) -> None:
    assert units.parse_bool(value) is fact


@pytest.mark.parametrize("value", ["maybe", None, 2, [], ""])
def test_no_facts(value: Any) -> None:
    with pytest.raises(ValueError, match="write true or false"):
        units.parse_bool(value)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
def test_labels(text: str) -> None:
    assert units.parse_label(text) == text


@given(anything)
def test_a_refused_label_comes_with_a_good_one(value: Any) -> None:
    try:
        units.parse_label(value)
    except ValueError as error:
        hint = re.search(r"such as '(.*)'\Z", str(error))
        assert hint
        assert units.parse_label(hint.group(1))


@pytest.mark.parametrize("text", ["a" * 64, "-a", "a-", "A", "a.b", "a_b", "", "web\n"])
def test_no_labels(text: str) -> None:
    with pytest.raises(ValueError, match="DNS label"):
        units.parse_label(text)


@pytest.mark.parametrize("text", ["web", "web-1.example.net", "a" * 63])
def test_host_names(text: str) -> None:
    assert units.parse_hostname(text) == text


@pytest.mark.parametrize("text", ["", "web.", ".web", "a..b", "Web", ".".join(["a" * 32] * 2), None])
def test_no_host_names(text: Any) -> None:
    with pytest.raises(ValueError, match="write "):
        units.parse_hostname(text)


@given(st.ip_addresses().map(str))
def test_addresses_are_canonical(text: str) -> None:
    assert units.parse_address(text.upper()) == units.parse_address(text)
    assert ipaddress.ip_address(units.parse_address(text)) == ipaddress.ip_address(text)
    assert units.family(units.parse_address(text)) == ipaddress.ip_address(text).version


@given(st.ip_addresses(network="2000::/3") | st.ip_addresses(network="fc00::/7") | st.ip_addresses(v=4))
def test_addresses_are_written_as_the_kernels_are_read(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What is declared is compared with what ``netlink.py`` prints with inet_ntop(3)."""
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[address.version]
    assert socket.inet_ntop(family, address.packed) == units.parse_address(str(address))


@pytest.mark.parametrize("text", ["10.0.0", "10.0.0.256", "fe80::1%eth0", "10.0.0.1/24", 16909060, None, "010.0.0.1"])
def test_no_addresses(text: Any) -> None:
    with pytest.raises(ValueError, match="is not an IP address"):
        units.parse_address(text)


@pytest.mark.parametrize(
    ("text", "subnet"),
    [("10.0.0.0/24", "10.0.0.0/24"), ("10.0.0.0/255.255.255.0", "10.0.0.0/24"), ("FD00:0::/64", "fd00::/64")],
)
def test_subnets(text: str, subnet: str) -> None:
    assert units.parse_subnet(text) == subnet


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("10.0.0.5/24", "10.0.0.0/24"), ("10.0.0.5", "10.0.0.5/32"), ("10.0.0.0/33", "203.0.113.0/24"), (None, "203.0")],
)
def test_no_subnets(text: Any, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"write one such as {remedy}")):
        units.parse_subnet(text)


@given(st.binary(min_size=6, max_size=6).filter(lambda raw: not raw[0] & 1))
def test_mac_addresses(raw: bytes) -> None:
    assert units.parse_mac(raw.hex("-").upper()) == raw.hex(":")


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("03:00:00:aa:bb:cc", "write a unicast one such as 02:00:00:aa:bb:cc"),
        ("02:00:00:aa:bb", "write six pairs"),
        ("02:00:00:aa:bb:cg", "write six pairs"),
        (1574641930, "in quotes"),
        (None, "write six pairs"),
    ],
)
def test_no_mac_addresses(value: Any, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        units.parse_mac(value)


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [("200k", 200000, "200k"), (1500, 1500, "1500"), ("1.5k", 1500, "1500"), ("2M", 2000000, "2M"), (0, 0, "0")],
)
def test_counts_go_by_thousands(text: Any, number: int, shown: str) -> None:
    assert units.parse_count(text) == number
    assert units.show_count(number) == shown
    assert units.parse_count(shown) == number


@pytest.mark.parametrize("bad", ["", "many", "200kk", "-5", 1.5, "1.2345k", True, None, "1G", "12 MB"])
def test_what_is_no_count_says_what_to_write(bad: Any) -> None:
    with pytest.raises(ValueError, match="write one such as 200k"):
        units.parse_count(bad)
