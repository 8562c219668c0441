# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container with a filesystem of its own, as on nodes without quota: how its end is told, and how fast it writes."""

from __future__ import annotations

import pytest
from ansible_collections.carve.vps.tests.integration.support import ALL, Fleet, booted, host, inside

MIB = 1 << 20
pytestmark = pytest.mark.skipif("project" in host().quota, reason="containers have quota here, and no filesystems")

MANY = {f"host-{number}.example": "10.0.0.9" for number in range(4000)}  # more than a full ext4 has left


def test_a_full_container_is_not_taken_for_a_full_node(fleet: Fleet) -> None:
    for name, options, inodes in (("t-full", {"disk": "64M"}, False), ("t-few", {"disk": "64M", "inodes": 2000}, True)):
        fleet.containers = {}
        fleet.declare(name, **options)
        fleet.apply(ALL)
        booted(name)
        if inodes:
            inside(name, "sh", "-c", "mkdir /root/m && cd /root/m && seq 3000 | xargs touch", check=False)
        else:
            inside(name, "sh", "-c", "cat /dev/zero >/root/fill; sync; cat /dev/zero >/root/more; sync", check=False)
        fleet.declare(name, **options, hosts=MANY)
        result = fleet.run(ALL)
        what = "inode is left of 20" if inodes else "space is left of 64M"
        assert result.get("failed"), (name, inside(name, "df", "/"), inside(name, "df", "-i", "/"))
        assert f"container {name}: change: the container's own disk is full: no {what}" in result["msg"], result["msg"]
        inside(name, "rm", "-rf", "/root/fill", "/root/more", "/root/m")
        fleet.apply(ALL)


def test_a_container_that_is_larger_than_its_disk_is_not_taken_for_a_full_node(fleet: Fleet) -> None:
    """What is written into a new one does not fit: the node is left as it was."""
    fleet.declare("t-small", disk="16M", hosts={f"{'x' * 40}-{n}.example": "10.0.0.9" for n in range(250_000)})
    result = fleet.run()
    words = "the container's own disk is full: not enough space is left of 16M"
    assert f"container t-small: create: {words}" in result["msg"], result["msg"]
