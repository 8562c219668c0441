# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a container is: its names, keys and DNS, beside what the container itself wrote into the same files, and what it
may have laid out to have Carve write elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.own_node import run
from ansible_collections.carve.vps.tests.integration.support import Fleet, Result, box, inside, start_time

KEY, OTHER_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA ops@example.net",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBB dev",
)
FIRST: dict[str, Any] = {
    "hostname": "one.example.net", "hosts": {"db.internal": "10.0.0.9", "mail": "fd00::25"},
    "nameservers": ["192.0.2.53", "2001:db8::53"], "search_domains": ["example.net", "example.org"], "ssh_keys": [KEY],
}  # fmt: skip
SECOND: dict[str, Any] = {
    "hostname": "uno", "hosts": {"db.internal": "10.0.0.10"}, "nameservers": ["192.0.2.54"], "ssh_keys": [OTHER_KEY],
}  # fmt: skip


def cat(name: str, path: str) -> str:
    return inside(name, "cat", path)


def block(*lines: str) -> str:
    return "\n".join(("# BEGIN carve: this block is written from the fleet's manifest", *lines, "# END carve"))


def assert_is_first(name: str) -> None:
    assert inside(name, "hostname") == cat(name, "/etc/hostname") == "one.example.net"
    assert inside(name, "getent", "hosts", "db.internal").split() == ["10.0.0.9", "db.internal"]
    assert inside(name, "getent", "hosts", "one").split()[0] == "127.0.1.1"
    assert block("127.0.1.1 one.example.net one", "10.0.0.9 db.internal", "fd00::25 mail") in cat(name, "/etc/hosts")
    resolv = "search example.net example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53"
    assert cat(name, "/etc/resolv.conf") == resolv
    assert block(KEY) in cat(name, "/root/.ssh/authorized_keys")


def assert_is_second(name: str) -> None:
    assert inside(name, "hostname") == cat(name, "/etc/hostname") == "uno"
    assert block("127.0.1.1 uno", "10.0.0.10 db.internal") in cat(name, "/etc/hosts")
    assert "mail" not in cat(name, "/etc/hosts")
    assert cat(name, "/etc/resolv.conf") == "nameserver 192.0.2.54"
    assert block(OTHER_KEY) in cat(name, "/root/.ssh/authorized_keys")
    assert KEY not in cat(name, "/root/.ssh/authorized_keys")


def test_identity_changes_on_a_running_container(fleet: Fleet) -> None:
    fleet.declare("x-one", **FIRST)
    fleet.apply()
    assert_is_first("x-one")
    for path, mode in (("/etc/hosts", "644 0 0"), ("/root/.ssh", "700 0 0"), ("/root/.ssh/authorized_keys", "600 0 0"),
                       ("/etc/machine-id", "444 0 0")):  # fmt: skip
        assert inside("x-one", "stat", "-c", "%a %u %g", path) == mode, path
    born = start_time("x-one")
    fleet.declare("x-one", **SECOND)
    assert {(step["facet"], step["reach"]) for step in fleet.apply()["steps"]} == {("identity", "live")}
    assert_is_second("x-one")
    assert start_time("x-one") == born
    # What is declared no longer goes, but for DNS, which then is the container's own.
    fleet.declare("x-one")
    fleet.apply()
    assert inside("x-one", "hostname") == "x-one"
    assert block("127.0.1.1 x-one") in cat("x-one", "/etc/hosts")
    assert cat("x-one", "/root/.ssh/authorized_keys") == ""
    assert cat("x-one", "/etc/resolv.conf") == "nameserver 192.0.2.54"
    inside("x-one", "sh", "-c", "echo nameserver 192.0.2.99 >/etc/resolv.conf")
    assert fleet.check()["steps"] == []


def test_identity_changes_on_a_stopped_container(fleet: Fleet) -> None:
    fleet.declare("x-one", **FIRST, state="stopped")
    fleet.apply()
    fleet.declare("x-one", **SECOND, state="stopped")
    fleet.apply()
    upper = Path(Paths().container("x-one"), "upper")
    assert (upper / "etc/hostname").read_text(encoding="utf-8") == "uno\n"
    assert (upper / "etc/hosts").stat().st_uid == box("x-one").record.base_id
    fleet.declare("x-one", **SECOND)
    fleet.apply()
    assert_is_second("x-one")


def test_the_containers_own_lines_are_kept(fleet: Fleet) -> None:
    fleet.declare("x-one", **FIRST)
    fleet.apply()
    own_key = "ssh-rsa AAAAB3 the customer's"
    inside("x-one", "sh", "-c", "sed -i '1i 192.0.2.1 before' /etc/hosts; echo '192.0.2.2 after' >>/etc/hosts; "
           f"printf '%s' \"{own_key}\" >>/root/.ssh/authorized_keys")  # fmt: skip
    assert fleet.check()["steps"] == []
    fleet.declare("x-one", **SECOND)
    fleet.apply()
    assert_is_second("x-one")
    hosts = cat("x-one", "/etc/hosts").splitlines()
    assert (hosts[0], hosts[-1]) == ("192.0.2.1 before", "192.0.2.2 after")
    assert own_key in cat("x-one", "/root/.ssh/authorized_keys").splitlines()
    fleet.declare("x-one")
    fleet.apply()
    assert cat("x-one", "/root/.ssh/authorized_keys") == own_key
    # A key of the container's in a file without a last newline, and then a block again.
    fleet.declare("x-one", ssh_keys=[KEY])
    fleet.apply()
    assert cat("x-one", "/root/.ssh/authorized_keys").splitlines() == [own_key, *block(KEY).splitlines()]


def test_every_container_is_another_machine(fleet: Fleet) -> None:
    for name in ("x-one", "x-two"):
        fleet.declare(name)
    fleet.apply()
    ids = {name: cat(name, "/etc/machine-id") for name in fleet.containers}
    assert len(set(ids.values())) == 2
    assert ids == {name: box(name).record.uuid for name in fleet.containers}
    assert {len(value) for value in ids.values()} == {32}


# What root in a container may lay out, as a shell command, so that whoever follows it writes to the node's files.
TRAPS = (
    "ln -sfn /var/lib/carve/canary/hosts /etc/hosts",
    "ln -sfn ../../../../../../var/lib/carve/canary/hosts /etc/hosts; ln -sfn /var/lib/carve/canary/name /etc/hostname",
    "ln -sfn /var/lib/carve/canary/hosts /etc/resolv.conf; ln -sfn /var/lib/carve/canary/hosts /etc/.hosts.carve",
    "rm -rf /root/.ssh; ln -sfn ../../../../var/lib/carve/canary /root/.ssh",
    "rm -rf /root/.ssh; ln -sfn /var/lib/carve/canary /root/.ssh",
    "rm -rf /root/.ssh; ln -sfn /proc/1/root/var/lib/carve/canary /root/.ssh",
    "rm -rf /root/.ssh; ln -sfn /proc/self/cwd/../../canary /root/.ssh",
    "rm -rf /root/.ssh; mkdir -p /root/.ssh; ln -sfn /var/lib/carve/canary/hosts /root/.ssh/authorized_keys",
    "rm -f /etc/hosts; mkfifo /etc/hosts",
    "rm -f /etc/hosts; mkdir /etc/hosts",
    "rm -f /etc/hosts; truncate -s 100M /etc/hosts",
    "rm -rf /root/.ssh; touch /root/.ssh",
    "printf '\\377\\376\\n' >>/etc/hosts; sed -i 's/10.0.0/\\xff10.0.0/' /etc/hosts",
    "mv /root /root2; ln -sfn /var/lib/carve/canary /root",
    "mkdir -p /mnt/etc; mount --bind /mnt/etc /etc",
    "mv /etc /etc2; ln -sfn /var/lib/carve/canary /etc",
)
MENDED = ("umount /etc 2>/dev/null; if [ -d /etc2 ]; then rm -rf /etc; mv /etc2 /etc; fi; "
          "if [ -d /root2 ]; then rm -rf /root; mv /root2 /root; fi; "
          "rm -rf /root/.ssh /etc/hosts /etc/hostname /etc/resolv.conf /etc/.hosts.carve /var/lib/carve")  # fmt: skip


@pytest.fixture
def canary() -> Iterator[Path]:
    """Files of the node's that a trap leads to, and that nobody may write."""
    place = Path(Paths().base) / "canary"
    place.mkdir(mode=0o777)
    for name in ("hosts", "name"):
        (place / name).write_text("untouched\n", encoding="utf-8")
    yield place
    run("rm", "-r", str(place))


def _untouched(canary: Path) -> bool:
    return {entry.name: entry.read_text(encoding="utf-8") for entry in canary.iterdir()} == {
        "hosts": "untouched\n", "name": "untouched\n"
    }  # fmt: skip


def test_no_trap_leads_out_of_the_container(fleet: Fleet, canary: Path) -> None:
    node = {
        path: Path(path).read_bytes() for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/passwd")
    }
    turns = (FIRST, SECOND)
    fleet.declare("x-one", **turns[0], stop_timeout=0)
    fleet.declare("x-two", ram="128M")
    fleet.apply()
    for number, trap in enumerate(TRAPS, start=1):
        inside("x-one", "/bin/sh", "-ec", trap)
        fleet.declare("x-one", **turns[number % 2], stop_timeout=0)
        fleet.declare("x-two", ram=f"{128 + number}M")
        result = fleet.run()
        assert _untouched(canary), trap
        # At worst the container that laid the trap is not changed; it is named, and no other has to wait for it.
        assert _blamed(result) <= {"x-one"}, (trap, result["errors"])
        assert box("x-two").record.fields["ram"] == (128 + number) << 20, trap
        inside("x-one", "/bin/sh", "-c", MENDED)
        fleet.apply()
    assert {path: Path(path).read_bytes() for path in node} == node


def test_no_trap_leads_out_of_a_stopped_container(fleet: Fleet, canary: Path) -> None:
    fleet.declare("x-one", **FIRST, stop_timeout=0)
    fleet.apply()
    inside("x-one", "/bin/sh", "-ec", "; ".join((TRAPS[0], TRAPS[1], TRAPS[3])))
    fleet.declare("x-one", **FIRST, stop_timeout=0, state="stopped")
    fleet.run()
    fleet.declare("x-one", **SECOND, stop_timeout=0, state="stopped")
    result = fleet.run()
    assert _blamed(result) <= {"x-one"}, result["errors"]
    assert _untouched(canary)


def _blamed(result: Result) -> set[str]:
    """The containers that a run's errors name."""
    return {error.split()[1].rstrip(":") for error in result.get("errors", [])}
