# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The quickstart, shown at work on this host: from nothing to running containers, and what they are held to.

Everything shown is what a user of Carve would type; nothing here looks behind the commands.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MANIFEST = "examples/quickstart/fleet.yml"
# What the manifest declares, by the container that has it.
ADDRESSES = {
    "web-1": ("203.0.113.10", "2001:db8:113::10"),
    "web-2": ("203.0.113.11", "2001:db8:113::11"),
    "db": ("10.20.0.5", "fd00:20::5"),
}
_RESULT = re.compile(r"^(\S+) \| (?:CHANGED|SUCCESS) \| rc=0 >>$")


def main() -> int:
    os.chdir(REPOSITORY)
    step("Turn this host into a node (LXC, lxcfs, id ranges, sysctls)")
    carve("bootstrap")
    step("Check the manifest; no node is contacted")
    carve("validate")
    step("See what would be done")
    carve("plan", expected=(0, 2))
    step("Do it")
    carve("apply", "--yes")
    step("Run a command in each container, through its node, with no SSH server inside")
    show(
        inside("carve_containers", "hostname; ip -brief address show scope global; systemctl is-system-running --wait")
    )
    step("Ping every address from every container")
    reachable()
    step("Read the limits back from the kernel")
    limits()
    step("Apply again: nothing to do")
    began = time.monotonic()
    carve("apply", "--yes")
    print(f"(the whole command took {time.monotonic() - began:.2f} s)")
    step("The containers go on running. To see one: lxc-attach -P /var/lib/carve/containers -n web-1")
    print(f"To remove them, first delete `protect: true` and apply, then: carve destroy {MANIFEST}")
    return 0


def step(title: str) -> None:
    print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def run(*command: str, expected: tuple[int, ...] = (0,), capture: bool = False) -> str:
    print(f"$ {' '.join(command)}", flush=True)
    result = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if result.returncode not in expected:
        sys.exit(f"demo: {' '.join(command)} ended with {result.returncode}\n{result.stdout or ''}")
    return result.stdout or ""


def carve(verb: str, *options: str, expected: tuple[int, ...] = (0,)) -> None:
    run("carve", verb, MANIFEST, *options, expected=expected)


def inside(pattern: str, command: str) -> dict[str, list[str]]:
    """What a command printed, by container."""
    output = run("ansible", "-i", MANIFEST, pattern, "-m", "ansible.builtin.raw", "-a", command, capture=True)
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if match := _RESULT.match(line):
            lines = found.setdefault(match.group(1), [])
        elif line.strip():
            lines.append(line.strip())
    return found


def show(found: dict[str, list[str]]) -> None:
    for name in sorted(found):
        print("\n".join(f"  {name:<6} {line}" for line in found[name]))


def reachable() -> None:
    everywhere = [address for pair in ADDRESSES.values() for address in pair]
    # IPv6 addresses are tentative for a second after the start (RFC 4862, 5.4): each gets three tries.
    tries = "ping -q -c1 -W1 $a >/dev/null || ping -q -c3 -W2 $a >/dev/null"
    script = f"for a in {' '.join(everywhere)}; do {tries} && echo $a; done"
    found = inside("carve_containers", script)
    for name in sorted(ADDRESSES):
        missing = sorted(set(everywhere) - set(found.get(name, [])))
        if missing:
            sys.exit(f"demo: {name} does not reach {', '.join(missing)}")
        print(f"  {name:<6} reaches {' '.join(found[name])}")


def limits() -> None:
    output = run("ansible", "-i", MANIFEST, "here", "-m", "carve.vps.node_info", capture=True)
    containers = json.loads(output.partition(" => ")[2])["containers"]
    for name in sorted(ADDRESSES):
        seen, declared = containers[name]["observed"], containers[name]["declared"]
        options = [option for option in ("cpus", "cpu_weight", "ram", "swap", "processes") if option in declared]
        if any(seen[option] != declared[option] for option in options):
            sys.exit(f"demo: {name} is held to {seen}, not to {declared}")
        first, last = containers[name]["uid_range"]
        print(f"  {name:<6} " + "  ".join(f"{o} {seen[o]}" for o in options) + f"  host uids {first}-{last}")


if __name__ == "__main__":
    sys.exit(main())
