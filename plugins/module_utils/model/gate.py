# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of the containers of a batch."""

from __future__ import annotations

from ..kinds import Field

# What is asked of the containers of a rollout's batch before the next one begins.
GATE: tuple[Field, ...] = (
    Field(
        "init",
        "choices",
        "",
        "live",
        "The states of the container's systemd that will do (C(systemctl is-system-running)). "
        "Of any other init it is enough that it runs.",
        ["running", "degraded"],
        choices=("running", "degraded"),
    ),
    Field(
        "command",
        "argv",
        "",
        "live",
        "A program with its arguments, run inside the container as root with no shell between; it must end with 0.",
        example=["test", "-e", "/run/ready"],
    ),
    Field(
        "port",
        "int",
        "",
        "live",
        "A TCP port on which the container must accept connections, on any of its own addresses.",
        minimum=1,
        maximum=65535,
        example=80,
    ),
    Field(
        "timeout",
        "int",
        "",
        "live",
        "Seconds that the containers of a batch have, all together, until all of this is so.",
        60,
        minimum=1,
        maximum=3600,
    ),
)
