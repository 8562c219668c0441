# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of test containers on this node, driven through the same code that the modules call."""

from __future__ import annotations

import copy
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import reconcile, record
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host, apparmor_enabled
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths

CACHE = Path(__file__).parents[2] / ".cache" / "tests"
PACKAGES = "init,dbus,iproute2,iputils-ping,netbase,procps,python3-minimal"
ALL = ["restart", "rebuild", "destroy"]
NETWORKS = {
    "public": {"mode": "routed", "subnet": ["198.18.113.0/24", "fd00:113::/64"]},
    "lan": {
        "mode": "bridged", "bridge": "br-carvetest", "subnet": ["10.213.0.0/24", "fd00:213::/64"],
        "gateway": ["10.213.0.1", "fd00:213::1"],
    },
}  # fmt: skip
Result = dict[str, Any]


@functools.cache
def hold_this_machine() -> Any:
    """Keep other sessions of tests waiting until this one has ended: they would use the same names and addresses.

    Once for a session, however many directories of tests it goes through.
    """
    handle = Path("/run/lock/carve-integration-tests").open("w", encoding="ascii")  # noqa: SIM115 - held to the end
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def rootfs_archive(name: str = "debian-13", packages: str = "") -> Path:
    """A small Debian 13 system as an archive, made once for all tests of this checkout."""
    archive = CACHE / f"{name}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = CACHE / "part.tar"
        include = ",".join(filter(None, (PACKAGES, packages)))
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", f"--include={include}", "trixie", str(part)],
            check=True,
            capture_output=True,
        )
        part.rename(archive)
    return archive


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def host() -> Host:
    return Host(paths=Paths(), apparmor=apparmor_enabled())


class Fleet:
    """One fleet's declaration and what becomes of it."""

    def __init__(self, name: str, templates: dict[str, Any]) -> None:
        self.name = name
        self.templates = templates
        self.networks: dict[str, Any] = copy.deepcopy(NETWORKS)
        self.containers: dict[str, Any] = {}
        # What is declared of every container.
        self.defaults: dict[str, Any] = {"template": "base", "stop_timeout": 20}
        # More options of the module.
        self.options: dict[str, Any] = {}

    def declare(self, name: str, **options: Any) -> None:
        """Declare a container anew."""
        self.containers[name] = {**self.defaults, **options}

    def params(self, allow: list[str] | None = None, **extra: Any) -> dict[str, Any]:
        return {
            "fleet": self.name, "containers": copy.deepcopy(self.containers), "templates": self.templates,
            "networks": self.networks, "allow": allow or [], "lock_timeout": 30, **self.options, **extra,
        }  # fmt: skip

    def check(self, allow: list[str] | None = None, **extra: Any) -> Result:
        return reconcile.run(self.params(allow, **extra), check=True)

    def run(self, allow: list[str] | None = None, **extra: Any) -> Result:
        """Apply without looking at what was predicted."""
        return reconcile.run(self.params(allow, **extra), check=False)

    def apply(self, allow: list[str] | None = None) -> Result:
        """Apply, and hold Carve to its word: what check mode said is what was done, and nothing is left to do."""
        predicted = self.check(allow)
        assert not predicted.get("failed"), predicted["msg"]
        result = self.run(allow)
        assert not result.get("failed"), result["msg"]
        assert deeds(result) == deeds(predicted)
        assert result["fingerprint"] == predicted["fingerprint"]
        assert {step["status"] for step in result["steps"]} <= {"done", "held"}
        assert result["changed"] == predicted["changed"]
        again = self.check(allow)
        assert not again.get("failed"), again["msg"]
        left = [step for step in again["steps"] if not step["held"]]
        assert left == [], left
        return result

    def destroy(self) -> None:
        self.containers, self.networks = {}, {}
        result = self.run(ALL)
        if result.get("failed"):
            raise AssertionError(result["msg"])


def deeds(result: Result) -> list[dict[str, Any]]:
    """The steps without their status: what check mode and the real run must agree on."""
    return [{key: value for key, value in step.items() if key != "status"} for step in result["steps"]]


def brief(result: Result) -> list[str]:
    """Steps in short, such as ``change web-1 memory``."""
    return [" ".join(filter(None, (step["action"], step["name"], step["facet"]))) for step in result["steps"]]


def pid(name: str) -> int:
    found = lxc.init_pid(host(), name)
    if found is None:
        log = Path(host().paths.run, f"{name}.log")
        told = log.read_text(encoding="utf-8", errors="replace") if log.exists() else "LXC has no log of it"
        raise AssertionError(f"{name} does not run:\n{told}")
    return found


def start_time(name: str) -> str:
    """When a container's init was started, in clock ticks since boot (proc(5), field 22 of stat)."""
    return Path(f"/proc/{pid(name)}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()[19]


def inside(name: str, *command: str, check: bool = True) -> str:
    """The output of a command run in a container."""
    result = subprocess.run(
        ["lxc-attach", "-P", Paths().containers, "-n", name, "--clear-env", "--", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or result.returncode == 0, f"{command} in {name}: {result.stdout}{result.stderr}"
    return result.stdout.strip() if check else f"{result.returncode} {result.stdout}{result.stderr}"


@functools.cache
def patience() -> float:
    """By how much longer everything is waited for, on a machine that is emulated."""
    return float(os.environ.get("CARVE_PATIENCE", "1"))


def wait_for(what: str, truth: Any, seconds: float = 30) -> Any:
    """Wait until a function gives something true, and return that."""
    seconds *= patience()
    deadline = time.monotonic() + seconds
    while True:
        value = truth()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)


def booted(name: str) -> None:
    """Wait until systemd in a container has started everything."""
    states = ("running", "degraded")
    wait_for(
        f"{name} to boot", lambda: inside(name, "systemctl", "is-system-running", check=False).split()[1] in states
    )


def pings(name: str, address: str) -> None:
    wait_for(
        f"{name} to reach {address}", lambda: inside(name, "ping", "-c1", "-W2", address, check=False).startswith("0 ")
    )


def limits(name: str) -> dict[str, str]:
    """What the kernel holds a container to, read from its files."""
    group = host().cgroup
    if group.version == 2:
        files = {
            "ram": ("memory", "memory.max"),
            "swap": ("memory", "memory.swap.max"),
            "cpus": ("cpu", "cpu.max"),
            "weight": ("cpu", "cpu.weight"),
            "set": ("cpuset", "cpuset.cpus"),
            "pids": ("pids", "pids.max"),
        }
    else:
        files = {
            "ram": ("memory", "memory.limit_in_bytes"),
            "memsw": ("memory", "memory.memsw.limit_in_bytes"),
            "cpus": ("cpu", "cpu.cfs_quota_us"),
            "weight": ("cpu", "cpu.shares"),
            "set": ("cpuset", "cpuset.cpus"),
            "pids": ("pids", "pids.max"),
        }
    return {key: group.read(name, *place) or "" for key, place in files.items()}


def addresses(name: str, interface: str = "eth0") -> set[str]:
    """Global addresses as the container itself sees them."""
    output = inside(name, "ip", "-o", "addr", "show", "dev", interface, "scope", "global")
    return {line.split()[3] for line in output.splitlines()}


def box(name: str) -> Box:
    found = record.load(Paths().container(name))
    assert found is not None
    return Box(found, Paths().container(name), lxc.init_pid(host(), name))


def force_remove(prefix: str) -> None:
    """Whatever an earlier, broken run has left of a fleet's containers."""
    for name in lxc.names(host()):
        if name.startswith(prefix):
            subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", name, "-k"], check=False, capture_output=True)
            for place in ("root", "disk"):
                subprocess.run(["umount", "-l", f"{Paths().container(name)}/{place}"], check=False, capture_output=True)
            shutil.rmtree(Paths().container(name), ignore_errors=True)
            host().cgroup.remove_leftovers(name)


def exists(name: str) -> bool:
    return Path(Paths().container(name)).is_dir()


def remove_node(store: Path) -> None:
    """Remove what was a node's files. A hook of a container that has just ended may still write its bytecode there."""

    def gone() -> bool:
        shutil.rmtree(store, ignore_errors=True)
        return not store.exists()

    wait_for(f"the end of {store}", gone, 30)
