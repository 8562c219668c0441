# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Netfilter's tables, by the program nft(8), which reads its commands from a pipe and carries them out as one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..paths import SEARCH
from ..units import PROTOCOLS

_ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Table:
    """One table as found: its hooks and rules in words (``guard.skeleton``), and the elements of each set."""

    skeleton: list[str]
    sets: dict[str, frozenset[str]]


def run(commands: str) -> None:
    """Carry out commands, all or none. Raises ``OSError`` with the words of nft."""
    if not commands:
        return
    done = subprocess.run(
        ["nft", "-f", "-"], input=commands, capture_output=True, text=True, check=False, env=_ENVIRONMENT
    )
    if done.returncode:
        # Its errors quote the command at fault; the first line says what is wrong.
        raise OSError(f"nft: {(done.stderr.strip().splitlines() or ['failed'])[0]}")


def tables(families: Iterable[str], name: str) -> dict[str, Table]:
    """The tables of one name, by family; those that are not there are not in it."""
    # One process for each: nft 1.0.6 finds no table when it is asked for several.
    running = {
        family: subprocess.Popen(
            ["nft", "-j", "list", "table", family, name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
        )
        for family in families
    }
    texts = {family: process.communicate()[0] for family, process in running.items()}
    return {family: parse(text) for family, text in texts.items() if running[family].returncode == 0}


def parse(text: str | bytes) -> Table:
    """A table from what ``nft -j`` prints of it (libnftables-json(5))."""
    skeleton: list[str] = []
    sets: dict[str, frozenset[str]] = {}
    numbers: dict[str, int] = {}
    for item in json.loads(text)["nftables"]:
        ((kind, body),) = item.items()
        if kind == "chain" and "hook" in body:
            skeleton.append(f"{body['name']} {body['hook']} {body['prio']} {body['policy']}")
        elif kind == "rule":
            number = numbers[body["chain"]] = numbers.get(body["chain"], -1) + 1
            skeleton.append(f"{body['chain']} {number} {body.get('comment')}")
        elif kind == "set":
            sets[body["name"]] = frozenset(_member(member) for member in body.get("elem", []))
    return Table(sorted(skeleton), sets)


def _member(member: Any) -> str:
    """An element as it is written in a command."""
    if isinstance(member, dict):
        ((kind, body),) = member.items()
        if kind == "concat":
            return " . ".join(_member(part) for part in body)
        if kind == "prefix":
            return f"{body['addr']}/{body['len']}"
        if kind == "elem":
            return _member(body["val"])
        return f"{kind} {body}"
    # It prints the names of /etc/protocols, where there is one.
    if member in PROTOCOLS:
        return PROTOCOLS[member]
    if isinstance(member, int) and member > 0xFFFF:
        return f"0x{member:032x}"
    return str(member)
