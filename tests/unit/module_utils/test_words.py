# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import words


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("/srv/data", "/srv/data"), ("/srv/data/", "/srv/data"), ("//srv//./data", "/srv/data"), ("/", "/")],
)
def test_paths_have_one_form(written: str, canonical: str) -> None:
    assert words.path(written) == canonical
    assert words.path(canonical) == canonical


@pytest.mark.parametrize("written", ["srv", "", "/a/../b", "/..", "/a\nb", "/a\x00", 7, None, "/" + "x" * 4000])
def test_what_is_no_path(written: Any) -> None:
    with pytest.raises(ValueError, match="write"):
        words.path(written)


@pytest.mark.parametrize(
    "source", ["/", "/proc/1/root", "/dev", "/var/lib/carve", "/run/carve/x", "//dev/sda", "/sys/"]
)
def test_never_shared(source: str) -> None:
    with pytest.raises(ValueError, match="never shared"):
        words.mount_source(source)


def test_a_name_that_only_begins_so_is_shared() -> None:
    assert words.mount_source("/var/lib/carve-data") == "/var/lib/carve-data"
    assert words.mount_point("/device") == "/device"


@pytest.mark.parametrize(
    "name", ["net.ipv4.ip_forward", "net.ipv6.conf.eth0.accept_ra", "fs.mqueue.msg_max", "kernel.sem"]
)
def test_parameters_of_a_container(name: str) -> None:
    assert words.sysctl(name) == name


@pytest.mark.parametrize(
    "name", ["vm.swappiness", "kernel.core_pattern", "kernel.hostname", "fs.file-max", "net", "net..x", "net./etc.x",
             "../x.y", "net.ipv4/../../kernel.x", 5]
)  # fmt: skip
def test_parameters_that_are_not_a_containers(name: Any) -> None:
    with pytest.raises(ValueError, match=r"write|delete"):
        words.sysctl(name)


@pytest.mark.parametrize(
    ("value", "canonical"), [(1, "1"), (True, "1"), ("1024 \t 65535\n", "1024 65535"), ("bbr", "bbr"), (-1, "-1")]
)
def test_values_as_the_kernel_prints_them(value: Any, canonical: str) -> None:
    assert words.sysctl_value("net.x", value) == canonical


@pytest.mark.parametrize("value", ["", " ", [], {}, "a\x00b", "x" * 1001])
def test_what_is_no_value(value: Any) -> None:
    with pytest.raises(ValueError, match="write"):
        words.sysctl_value("net.x", value)


@pytest.mark.parametrize(
    ("name", "written", "canonical"),
    [
        ("nofile", 65536, "65536:65536"),
        ("nofile", "1024:4096", "1024:4096"),
        ("memlock", "64M", "67108864:67108864"),
        ("stack", "8M:unlimited", "8388608:unlimited"),
        ("nproc", "unlimited", "unlimited:unlimited"),
        ("core", 0, "0:0"),
        ("data", "1G:infinity", "1073741824:unlimited"),
    ],
)
def test_limits_have_a_soft_and_a_hard_side(name: str, written: Any, canonical: str) -> None:
    assert words.rlimit_value(name, written) == canonical
    assert words.rlimit_value(name, canonical) == canonical


@pytest.mark.parametrize(
    ("name", "written"),
    [("nofile", "64K"), ("nofile", "unlimited"), ("nofile", -1), ("nofile", True), ("stack", "unlimited:8M"),
     ("core", ""), ("core", "1:2:3"), ("nproc", 1 << 63), ("nproc", [1]), ("memlock", "lots")],
)  # fmt: skip
def test_what_is_no_limit(name: str, written: Any) -> None:
    with pytest.raises(ValueError, match="write"):
        words.rlimit_value(name, written)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zones(zone: str) -> None:
    assert words.timezone(zone) == zone


@pytest.mark.parametrize(
    "zone", ["", "/etc/passwd", "../x", "Europe/..", "Europe//Berlin", "Europe/Berlin\n", "a b", 5]
)
def test_what_is_no_zone(zone: Any) -> None:
    with pytest.raises(ValueError, match="write"):
        words.timezone(zone)


def test_capabilities_have_one_form() -> None:
    assert words.capability("CAP_SYS_ADMIN") == words.capability("sys_admin") == "sys_admin"
    # Their order is their number (linux/capability.h): CAP_NET_RAW is 13, CAP_CHECKPOINT_RESTORE 40.
    assert words.CAPABILITIES.index("net_raw") == 13
    assert words.CAPABILITIES.index("checkpoint_restore") == 40
    with pytest.raises(ValueError, match="did you mean net_raw"):
        words.capability("netraw")


def test_features_that_cannot_be_say_what_instead() -> None:
    assert words.feature("fuse", ("fuse", "tun")) == "fuse"
    for name in ("nfs", "nfsd"):
        with pytest.raises(ValueError, match="user namespace"):
            words.feature(name, ("fuse", "tun"))
