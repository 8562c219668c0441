# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`./dev lab`: machines to try things on by hand. They are on one private segment and stay until `down`."""

from __future__ import annotations

import argparse
import sys
import zlib

from ansible_collections.carve.vps.tests.lab import image, place
from ansible_collections.carve.vps.tests.lab.machine import SEGMENT, Machine, machines

# Each checkout has a segment of its own, the same one whenever machines are added to it.
_SEGMENT_PORT = 45000 + zlib.crc32(str(place.ROOT).encode()) % 10000
_HAND = "hand-"  # so that a test's machine is never taken for one of these


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bare machines, or those that are there switched on")
    up.add_argument("name", nargs="*", default=["node1", "node2"])
    up.add_argument("--debian", type=int, choices=sorted(image.SUITES), default=13, help="the release (default: 13)")
    down = verbs.add_parser("down", help="switch machines off and remove them")
    down.add_argument("name", nargs="*", help="default: all, and those that broken tests left")
    verbs.add_parser("list", help="machines, and a manifest's lines for them")
    ssh = verbs.add_parser("ssh", help="a shell, or a command, as root")
    ssh.add_argument("name")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("images", help="make the images that are missing")
    arguments = parser.parse_args()
    try:
        return globals()[f"_{arguments.verb}"](arguments) or 0
    except place.LabError as exc:
        print(f"./dev lab: {exc}", file=sys.stderr)
        return 1


def _up(arguments: argparse.Namespace) -> None:
    for name in arguments.name:
        there = {machine.name: machine for machine in machines()}
        machine = there.get(_HAND + name)
        if machine is None:
            index = min(set(range(1, 250)) - {other.index for other in there.values()})
            machine = Machine.create(_HAND + name, arguments.debian, index, _SEGMENT_PORT)
        machine.boot()
        _show(machine)


def _down(arguments: argparse.Namespace) -> None:
    for machine in machines():
        if not arguments.name or machine.name.removeprefix(_HAND) in arguments.name:
            machine.destroy()
            print(f"{machine.name}: removed")


def _list(_arguments: argparse.Namespace) -> None:
    for machine in machines():
        _show(machine)


def _show(machine: Machine) -> None:
    state = "on" if machine.is_on() else "off"
    print(f"# {machine.name}: Debian {machine.version}, {state}, {SEGMENT[0]}.{machine.index} on the segment")
    variables = ", ".join(f"{key}: {value!r}" for key, value in machine.ansible().items())
    print(f"  {machine.name.removeprefix(_HAND)}: {{{variables}}}", flush=True)


def _ssh(arguments: argparse.Namespace) -> None:
    Machine(_HAND + arguments.name).ssh.interactive(*arguments.command)


def _images(_arguments: argparse.Namespace) -> None:
    for version in image.SUITES:
        print(image.image(version).directory)


if __name__ == "__main__":
    sys.exit(main())
