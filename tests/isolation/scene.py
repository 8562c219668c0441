# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where attacks take place: this node, and two containers on it, the attacker's and its neighbour's."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import plan_templates, reconcile
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration import support
from ansible_collections.carve.vps.tests.integration.support import Fleet, host, limits, patience, pid, start_time
from ansible_collections.carve.vps.tests.isolation.attack import (
    GIVEN,
    HELD,
    Attack,
    Report,
    not_made,
    parse,
    probing,
    program,
    succeeded,
)

ATTACKER, VICTIM = "t-attacker", "t-victim"
SECRET = "nobody else's business"
RAM, PROCESSES = 512 << 20, 300
# What of the node is the same before and after any attack. Only what nobody else changes meanwhile.
_SETTINGS = (
    "kernel/hostname", "kernel/core_pattern", "kernel/hotplug", "kernel/pid_max", "kernel/sysrq", "kernel/modprobe",
    "kernel/dmesg_restrict", "kernel/printk", "kernel/perf_event_paranoid", "kernel/unprivileged_bpf_disabled",
    "kernel/random/boot_id", "kernel/shmmax", "kernel/sem", "kernel/domainname",
    "vm/overcommit_memory", "vm/panic_on_oom", "fs/protected_symlinks", "fs/suid_dumpable", "fs/mqueue/queues_max",
    "net/ipv4/ip_forward", "net/ipv4/ip_default_ttl", "net/core/somaxconn",
)  # fmt: skip
_FILES = ("/sys/kernel/uevent_helper", "/proc/swaps", "/proc/modules", "/etc/hostname", "/etc/passwd", "/etc/shadow")


class Bystander:
    """A process that does nothing, on the node or in the neighbour, and that must live on."""

    def __init__(self, *prefix: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, "sleep", "86400"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid

    def lives(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Scene:
    fleet: Fleet
    on_node: Bystander
    with_victim: Bystander
    # What the preparation of an attack leaves for the look at its harm.
    notes: dict[str, Any] = field(default_factory=dict)

    def victim(self, *command: str) -> str:
        return support.inside(VICTIM, *command)

    def attacker(self, *command: str) -> str:
        return support.inside(ATTACKER, *command)

    def python(self, name: str, code: str, given: dict[str, Any], seconds: int = 60) -> str:
        """What Python says that runs as root inside a container."""
        return self._converse(name, code, given, seconds, None)

    def make(self, attack: Attack, given: dict[str, Any]) -> Report:
        """Run an attack's program; of one that takes something away, ask for the same elsewhere while it holds it."""

        def ask() -> None:
            self.notes["used"] = self.uses(ATTACKER, "memory")
            if "neighbour" in attack.probed:
                self.notes["asked by neighbour"] = self.python(VICTIM, probing(attack), given)
            if "node" in attack.probed:
                self.notes["asked by node"] = _here(probing(attack), given)

        return parse(self._converse(ATTACKER, program(attack), given, attack.seconds, ask if attack.probe else None))

    def _converse(
        self, name: str, code: str, given: dict[str, Any], seconds: int, meanwhile: Callable[[], None] | None
    ) -> str:
        command = ["lxc-attach", "-P", Paths().containers, "-n", name, "--clear-env", "--",
                   "/usr/bin/python3", "-I", "-c", code, json.dumps(given)]  # fmt: skip
        with subprocess.Popen(
            command, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            # What runs inside has the pipe, and would keep it if only lxc-attach were killed.
            net = threading.Timer(seconds * patience(), _kill, (name,))
            net.start()
            try:
                assert process.stdin is not None and process.stdout is not None
                output = ""
                for line in process.stdout:
                    output += line
                    if line.strip() == HELD:
                        break
                if meanwhile is not None:
                    meanwhile()
                with suppress(BrokenPipeError):
                    process.stdin.write("\n")
                    process.stdin.close()
                return output + process.stdout.read()
            finally:
                net.cancel()

    def denied(self) -> str | None:
        """Who was not given what the attack took, if anybody."""
        asked = {whose: self.notes.get(f"asked by {whose}", GIVEN) for whose in ("neighbour", "node")}
        missing = {whose: output for whose, output in asked.items() if GIVEN not in output}
        return f"others no longer get it: {missing}" if missing else None

    def file_of(self, name: str, path: str) -> Path:
        """A file of a container, by its init's view; for what the tests themselves have laid there."""
        return Path(f"/proc/{pid(name)}/root{path}")

    def uses(self, name: str, what: str) -> int:
        """How much of ``memory`` (bytes) or ``pids`` a container uses."""
        group = host().cgroup
        files = {"pids": "pids.current", "memory": "memory.current" if group.version == 2 else "memory.usage_in_bytes"}
        return int(group.read(name, what, files[what]) or 0)

    def oom_kills(self, name: str) -> int:
        group = host().cgroup
        text = group.read(name, "memory", "memory.events" if group.version == 2 else "memory.oom_control") or ""
        return int(dict(line.split() for line in text.splitlines()).get("oom_kill", 0))

    def recover(self) -> None:
        """An attacker that hurt itself is stopped and started, as its owner would do."""
        if lxc.init_pid(host(), ATTACKER) is not None:
            answer = support.inside(ATTACKER, "systemctl", "is-system-running", check=False)
            if "running" in answer or "degraded" in answer:
                return
        self.restart()

    def restart(self) -> None:
        """What outlives the attacker's processes, such as what it holds in memory, ends with the container."""
        declared = self.fleet.containers[ATTACKER]
        for state in ("stopped", "running"):
            self.fleet.containers[ATTACKER] = {**declared, "state": state}
            result = self.fleet.run()
            assert not result.get("failed"), result["msg"]
        self.fleet.containers[ATTACKER] = declared
        support.booted(ATTACKER)

    # --- what every attack leaves as it was

    def portrait(self) -> dict[str, Any]:
        """The node and the neighbour, as no attack may change them."""
        seen: dict[str, Any] = {f"node's {name}": _text(f"/proc/sys/{name}") for name in _SETTINGS}
        seen |= {f"node's {path}": _digest(path) for path in _FILES}
        seen["node's process"] = self.on_node.lives()
        seen["neighbour's process"] = self.with_victim.lives()
        seen["neighbour's init"] = (pid(VICTIM), start_time(VICTIM))
        seen["neighbour's limits"] = limits(VICTIM)
        seen["neighbour's kills"] = self.oom_kills(VICTIM)
        seen["attacker's limits"] = limits(ATTACKER)
        seen["neighbour's host name and secret"] = self.victim("sh", "-c", "hostname; cat /root/secret /run/secret")
        return seen


def _kill(name: str) -> None:
    subprocess.run(["lxc-stop", "-P", Paths().containers, "-n", name, "-k"], check=False, capture_output=True)


def _here(code: str, given: dict[str, Any]) -> str:
    """What the same program says on the node."""
    result = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", code, json.dumps(given)],
        capture_output=True, text=True, check=False, timeout=60 * patience(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return f"{result.stdout}\n{result.stderr}"


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def armed_fleet() -> Fleet:
    """A fleet whose containers have all of Python: minimal Python cannot make system calls."""
    archive = support.rootfs_archive("debian-13-python", "python3")
    fleet = Fleet("carve-test", {"base": {"archive": str(archive), "sha256": support.sha256(archive)}})
    for result in (fleet.run(), reconcile.run(fleet.params(), False, plan_templates.planner(collect=False))):
        assert not result.get("failed"), result["msg"]
    return fleet


@contextmanager
def scene(fleet: Fleet, **more: Any) -> Iterator[Scene]:
    """Two containers with limits, so that whatever is tried stays small, and somebody to be hurt on each side."""
    for name in (ATTACKER, VICTIM):
        network = {"eth0": {"on": "public", "ip": ADDRESSES[name]}, "eth1": {"on": "lan", "ip": LAN[name]}}
        fleet.declare(name, ram=str(RAM), processes=PROCESSES, cpus=1, stop_timeout=2, network=network, **more)
    fleet.apply()
    for name in (ATTACKER, VICTIM):
        support.booted(name)
    support.inside(VICTIM, "sh", "-c", f'umask 077; echo "{SECRET}" >/root/secret; echo "{SECRET}" >/run/secret')
    on_node = Bystander()
    with_victim = Bystander("lxc-attach", "-P", Paths().containers, "-n", VICTIM, "--clear-env", "--")
    try:
        yield Scene(fleet, on_node, with_victim)
    finally:
        on_node.end()
        with_victim.end()


ADDRESSES = {ATTACKER: ["198.18.113.66", "fd00:113::66"], VICTIM: ["198.18.113.67", "fd00:113::67"]}
LAN = {ATTACKER: ["10.213.0.66", "fd00:213::66"], VICTIM: ["10.213.0.67", "fd00:213::67"]}


def prove(scene: Scene, attack: Attack) -> None:
    """Make an attack, and hold it to be stopped; or, where it is documented as a limit, to succeed."""
    scene.notes.clear()
    scene.recover()
    before, clock = scene.portrait(), time.time() - time.monotonic()
    try:
        given = attack.prepare(scene) if attack.prepare else {}
        report = scene.make(attack, given)
        assert not (why := not_made(attack, report)), f"{attack.name} was not made: {why}\n{report.output}"
        harms = (scene.denied(), attack.harm(scene, report) if attack.harm else None)
        seen = "; ".join(filter(None, harms)) or None
        scene.recover()
        after = scene.portrait()
    finally:
        if attack.tidy:
            attack.tidy(scene)
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert not changed, f"{attack.name} changed {changed}"
    assert abs(time.time() - time.monotonic() - clock) < 30, f"{attack.name} changed the node's clock"
    achieved = succeeded(attack, report, seen)
    if attack.limit and attack.limit_where():
        assert achieved, f"{attack.name} no longer succeeds: it is no limit any more\n{report.output}"
    else:
        assert not achieved, f"{attack.name} succeeded: {achieved}\n{report.output}"
