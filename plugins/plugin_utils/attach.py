# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attach connection says to a node's shell, and what a node's answers mean. Text in, text out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

# What travels in one command. The inner connections hold it in memory, and the ssh one appends to its output
# buffer by copying it, so that the cost of a command grows with the square of this.
CHUNK = 8 * 1024 * 1024

# The environment of a fresh root login; nothing of the node's own environment gets in (--clear-env).
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
}


@dataclass(frozen=True)
class Target:
    """A container, and how its node gets hold of it."""

    container: str
    node: str
    lxc_path: str
    become: bool = False

    def command(self, script: str) -> str:
        """What the node's shell is given to run *script* with the container's /bin/sh, in root's home."""
        argv = [*self._lxc("lxc-attach"), "--clear-env"]
        for name, value in _ENVIRONMENT.items():
            argv += ["--set-var", f"{name}={value}"]
        return shlex.join([*argv, "--", "/bin/sh", "-c", f"cd 2>/dev/null\n{script}"])

    def state_command(self) -> str:
        """What the node's shell is given to print the container's state."""
        return shlex.join([*self._lxc("lxc-info"), "-s", "-H"])

    def blames_lxc(self, returncode: int, stderr: bytes) -> bool:
        """Whether the node may have failed to enter the container, rather than the command inside it.

        A command inside can print the same words, so this is only a reason to ask the node (see `explain`).
        """
        if returncode == 0:
            return False
        signs = [b"lxc-attach"] + ([b"sudo"] if self.become else [])
        return any(sign in stderr for sign in signs)

    def explain(self, returncode: int, stdout: bytes, stderr: bytes) -> str | None:
        """What the answer to `state_command` says is in the way, and what to do; None if the container runs."""
        state = stdout.decode(errors="replace").strip()
        said = stderr.decode(errors="replace").strip()
        where = f"container {self.container!r} on node {self.node!r}"
        if returncode == 0:
            if state == "RUNNING":
                return None
            return (
                f"{where} is {state.lower() or 'in an unknown state'}, not running: start it "
                f"(`state: running` in the manifest, then apply) or leave it out with --limit."
            )
        if self.become and said.startswith("sudo"):
            return (
                f"{where}: sudo on the node refuses ({said}): let the node's user run lxc-attach and lxc-info "
                f"without a password, or reach the node as root."
            )
        if "doesn't exist" in said:
            doubt = "" if self.become else " If the node's user isn't root, set carve_node_become: true."
            return (
                f"there is no {where} (looked in {self.lxc_path}): apply the manifest that declares it, "
                f"or put carve_node and carve_container right.{doubt}"
            )
        if "privileges" in said:
            return f"{where}: the node's user may not control it: set carve_node_become: true for the node."
        if returncode == 127:
            return f"{where}: LXC's tools aren't installed on the node ({said}): run carve.vps.bootstrap for it."
        return f"{where}: its node can't tell its state ({said or f'lxc-info ended with {returncode}'})."

    def _lxc(self, tool: str) -> list[str]:
        sudo = ["sudo", "-n"] if self.become else []
        return [*sudo, tool, "-P", self.lxc_path, "-n", self.container]


def write_script(part: str, *, first: bool, empty: bool) -> str:
    """Put what comes on standard input at the end of *part*, which is begun anew by the first one."""
    name = shlex.quote(part)
    if empty:
        return f": > {name}"  # without reading: ssh leaves the input open where there is nothing to send
    return f"cat {'>' if first else '>>'} {name}"


def commit_script(part: str, path: str, size: int) -> str:
    """Give *part* its name *path*, if all of it has come: a link that breaks looks like the end of the input."""
    new, name = shlex.quote(part), shlex.quote(path)
    return f"[ $(wc -c < {new}) -eq {size} ] && mv -f {new} {name}"


def discard_script(part: str) -> str:
    """Leave nothing of a transfer that failed."""
    return f"rm -f {shlex.quote(part)}"


def read_script(path: str, index: int, chunk: int) -> str:
    """Print the chunk number *index* of *path*. One of exactly *chunk* bytes is followed by another.

    Files under /proc come whole with the first one: they can't be read in blocks, and tell no size beforehand.
    """
    name = shlex.quote(path)
    block = f"dd if={name} bs={chunk} skip={index} count=1 2>/dev/null"
    if index:
        return block
    return (
        f"[ -f {name} ] || {{ echo {name} is no file >&2; exit 1; }}\n"
        f"if [ $(wc -c < {name}) -le {chunk} ]; then cat {name}; else {block}; fi"
    )
