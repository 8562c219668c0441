# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one shape of an attack, and when it counts as stopped.

An attack is Python that root runs inside one container. It fails as a test when it does harm, which is looked for at
the node and at the neighbour, and likewise when it was not really made: a program that could not run, a control that
did not work, a refusal that is not one of those by which a kernel refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.carve.vps.tests.isolation.scene import Scene

ENDED = "THE-ATTACK-ENDED "
BEGUN = "THE-ATTACK-BEGAN"
HELD = "THE-ATTACK-HOLDS"
GIVEN = "IT-IS-GIVEN"
DONE = "done"
# What runs inside before an attack's own lines.
PRELUDE = f"""
import ctypes, errno, fcntl, json, mmap, os, resource, signal, socket, stat, struct, subprocess, sys, time
given = json.loads(sys.argv[1])
_attempts, _told = {{}}, {{}}
_libc = ctypes.CDLL(None, use_errno=True)

def call(name, *args):
    "A function of libc's, or a system call by its number; its failure is an OSError."
    work = getattr(_libc, name) if isinstance(name, str) else _libc.syscall
    work.restype = ctypes.c_int if isinstance(name, str) else ctypes.c_long
    args = args if isinstance(name, str) else (name, *args)
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = work(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

def attempt(label, work, *args):
    "Something that must be refused; how it ended is what the test judges."
    try:
        result = work(*args)
    except OSError as error:
        _attempts[label] = errno.errorcode.get(error.errno, str(error))
    else:
        _attempts[label] = "{DONE}"
        return result

def must(work, *args):
    "Something that has to work for the attack to be one; anything else ends it, and the test fails."
    return work(*args)

def tell(**facts):
    _told.update(facts)

def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)

def run(*argv):
    "A program that must be refused."
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise OSError(errno.EPERM, done.stderr)

def mount(source, where, kind, flags=0, options=""):
    call("mount", source.encode(), where.encode(), kind.encode(), flags, options.encode())

print("{BEGUN}", flush=True)
"""
_HOLD = f"""
print("{HELD}", flush=True)
sys.stdin.readline()
"""
_END = f"""
print("\\n{ENDED}" + json.dumps({{"attempts": _attempts, "told": _told}}), flush=True)
"""


@dataclass(frozen=True)
class Report:
    """What the attacker's program says of itself. What harm it did is not asked of it."""

    attempts: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    # None when the program was ended before it could tell.
    ended: bool = True


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack. What is not refused by one of ``refusals`` and not known to be harmless by ``harm`` has succeeded."""

    name: str
    # What is tried and what stops it, as the documentation has them.
    tried: str
    stopped_by: str
    code: str
    # By which errors it may be refused. Others mean that it was not really made.
    refusals: tuple[str, ...] = ("EACCES", "EPERM")
    # Prepares the node and the neighbour, and gives what the program is ``given``.
    prepare: Callable[[Scene], dict[str, Any]] | None = None
    # What is seen of it outside: a sentence about the harm, or nothing.
    harm: Callable[[Scene, Report], str | None] | None = None
    # Runs even when the attack went wrong.
    tidy: Callable[[Scene], None] | None = None
    # Of an attack that takes something away: Python by which the neighbour and the node ask for the same, while the
    # attacker holds all that it got.
    probe: str = ""
    probed: tuple[str, ...] = ("neighbour", "node")
    # Whether the program may be killed for what it does.
    may_die: bool = False
    # How long it may take at most, as a net only.
    seconds: int = 60
    # Why it is left to succeed; the test then holds that it still does, so that the page stays true.
    limit: str = ""
    # Where it succeeds, when that is not everywhere: a question to the node, and its words.
    limit_where: Callable[[], bool] = lambda: True
    limit_place: str = ""


def program(attack: Attack) -> str:
    return PRELUDE + attack.code + (_HOLD if attack.probe else "") + _END


def probing(attack: Attack) -> str:
    return f"{PRELUDE}{attack.probe}\nprint('{GIVEN}')\n"


def parse(output: str) -> Report:
    for line in output.splitlines():
        if line.startswith(ENDED):
            found = json.loads(line.removeprefix(ENDED))
            return Report(found["attempts"], found["told"], output)
    return Report(output=output, ended=False)


def not_made(attack: Attack, report: Report) -> str | None:
    """Why this was no attack at all, or nothing."""
    if BEGUN not in report.output:
        return "its program did not run"
    if not report.ended:
        return None if attack.may_die and "Traceback" not in report.output else "its program broke off"
    if not report.attempts and not report.told:
        return "it tried nothing"
    strange = {label: how for label, how in report.attempts.items() if how != DONE and how not in attack.refusals}
    return f"not refused, but failed in another way: {strange}" if strange else None


def succeeded(attack: Attack, report: Report, seen: str | None) -> str | None:
    """What the attack achieved, or nothing."""
    got = [label for label, how in report.attempts.items() if how == DONE]
    return "; ".join(filter(None, (seen, f"not refused: {', '.join(got)}" if got else None))) or None
