# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of the page about sizing are those of the code; the picture of a fleet can be read."""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from itertools import count, takewhile

import pytest
import yaml
from ansible_collections.carve.vps.plugins.module_utils import gate, model, power, runtime, slots
from ansible_collections.carve.vps.plugins.module_utils.moves import ends
from ansible_collections.carve.vps.plugins.plugin_utils import pools

from unit.docs.pages import ROOT
from unit.docs.test_statements import table

PAGE = ROOT / "docs" / "sizing.md"
TEXT = PAGE.read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def _defaults(role: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    return found


def test_what_a_node_holds() -> None:
    rows = {name: cells[0] for name, cells in table(PAGE, "## What a node holds").items()}
    kernel, network = _defaults("kernel")["kernel_sysctls"], _defaults("network")["network_sysctls"]
    # What all containers of a node count together is lifted to the kernel's own largest number.
    assert kernel["fs/inotify/max_user_instances"] == kernel["fs/inotify/max_user_watches"] == (1 << 31) - 1
    assert rows["inotify, open files"].startswith("as many as memory holds")
    instances = kernel["fs/inotify/max_user_instances"]
    assert f"`sysctl fs.inotify.max_user_instances` ({instances})" in (ROOT / "docs" / "troubleshooting.md").read_text()
    assert rows["processes"].startswith(f"{kernel['kernel/pid_max']};")
    assert rows["user ids"] == f"{slots.COUNT} containers"
    assert network["net/ipv4/neigh/default/gc_thresh3"] == network["net/ipv6/neigh/default/gc_thresh3"]
    assert rows["neighbours"].startswith(f"{network['net/ipv4/neigh/default/gc_thresh3']} of IPv4")
    assert rows["shutdown"].startswith("900 s") and "TimeoutStopSec=900" in runtime._UNITS["carve-shutdown.service"]
    timeout = next(row.default for row in model.CONTAINER if row.name == "stop_timeout")
    assert f"`stop_timeout`, {timeout} s unless given" in TEXT
    assert f"room for {900 // timeout * power.AT_ONCE} containers that hang" in TEXT


def test_how_many_at_once() -> None:
    assert (power.AT_ONCE, ends._AT_ONCE, gate._AT_ONCE) == (4, 4, 16)
    assert "four at a time, and at most four move at a time" in TEXT and "asks sixteen at a time" in TEXT


def _given(subnet: str, *gateways: str) -> int:
    pool = pools.Pool(ipaddress.ip_network(subnet), [], gateways)
    return sum(1 for _address in takewhile(bool, (pool.draw(str(number)) for number in count())))


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ("IPv4 /29, routed", str(_given("203.0.113.0/29"))),
        ("IPv4 /29, bridged with a gateway in it", str(_given("203.0.113.0/29", "203.0.113.1"))),
        ("IPv4 /31, /32", f"{_given('203.0.113.0/31')}, {_given('203.0.113.7/32')}"),
        ("IPv6 /64", str(pools.Pool(ipaddress.ip_network("2001:db8::/64"), [], []).size)),
    ],
)
def test_how_many_addresses_a_pool_gives(row: str, number: str) -> None:
    assert table(PAGE, "## Addresses")[row][0] == number


def test_the_picture_says_what_it_shows_and_its_texts_fit() -> None:
    root = ET.parse(ROOT / "docs" / "fleet.svg").getroot()
    assert root.findtext(f"{SVG}title") and root.findtext(f"{SVG}desc")
    boxes = [
        tuple(float(box.get(key, "0")) for key in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")
    ]
    assert boxes[0][2] >= float(root.get("width", "0")) - 1  # a background of its own, in dark mode, too
    for text in root.iter(f"{SVG}text"):
        size = float(text.get("font-size", "0"))
        width = 0.58 * size * len(text.text or "")
        x, y = float(text.get("x", "0")), float(text.get("y", "0"))
        left = x - width / 2 if text.get("text-anchor") == "middle" else x
        inner = min((box for box in boxes if _inside(x, y, box)), key=lambda box: box[2] * box[3])
        assert _inside(left, y, inner) and _inside(left + width, y, inner), text.text


def _inside(x: float, y: float, box: tuple[float, ...]) -> bool:
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
