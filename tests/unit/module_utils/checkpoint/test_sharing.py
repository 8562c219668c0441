# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which mounts CRIU could write and not make anew, by the kernel's tables of mounts."""

from __future__ import annotations

from ansible_collections.carve.vps.plugins.module_utils.checkpoint import sharing
from ansible_collections.carve.vps.plugins.module_utils.kernel import mountinfo

REDIS = """\
274 242 0:53 / /run rw,nosuid,nodev shared:229 master:168 - tmpfs tmpfs rw
372 274 0:53 /redis /run/redis rw,nosuid,nodev shared:232 master:168 - tmpfs tmpfs rw
373 274 0:53 /systemd/propagate/redis.service /run/systemd/incoming ro,nosuid master:168 - tmpfs tmpfs rw
"""
LOGIND = """\
352 246 0:53 / /run rw,nosuid,nodev shared:205 master:168 - tmpfs tmpfs rw
252 352 0:53 /systemd/propagate/login\\040d.service /run/systemd/incoming ro,nosuid master:168 - tmpfs tmpfs rw
"""


def receivers(pid: int, table: str) -> list[sharing.Receiver]:
    return sharing.receivers(pid, mountinfo.rows(table.splitlines()))


def test_only_those_that_receive_and_do_not_give_count() -> None:
    (found,) = receivers(48, REDIS)
    assert found == sharing.Receiver(48, "/run/systemd/incoming", "0:53", "/systemd/propagate/redis.service", "168")
    assert receivers(1, "62 175 0:53 / /run rw shared:168 - tmpfs tmpfs rw\n") == []


def test_two_services_are_in_each_others_way_and_one_is_not() -> None:
    one, two = receivers(48, REDIS), receivers(49, LOGIND)
    assert sharing.unlike(one) == [] and sharing.unlike([*one, *one]) == []
    assert {(found.pid, found.root) for found in sharing.unlike([*one, *two])} == {
        (48, "/systemd/propagate/redis.service"), (49, "/systemd/propagate/login d.service"),
    }  # fmt: skip


def test_those_of_other_groups_and_filesystems_are_apart() -> None:
    other_group, other_device = LOGIND.replace("master:168", "master:9"), LOGIND.replace("0:53", "0:54")
    for text in (other_group, other_device):
        assert sharing.unlike([*receivers(48, REDIS), *receivers(49, text)]) == []
