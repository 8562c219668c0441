# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container is given of its node: the rows of one mount, one device, one network card, one schedule."""

from __future__ import annotations

from ..kinds import Field

MOUNT: tuple[Field, ...] = (
    Field(
        "source",
        "mount_source",
        "mounts",
        "live",
        "The file or directory of the node, by its path without symbolic links.",
        required=True,
        example="/data/web",
    ),
    Field("read_only", "bool", "mounts", "live", "Whether nothing can be written through the mount.", False),
    Field(
        "idmap",
        "bool",
        "mounts",
        "live",
        "Whether files keep the ids that they have inside: what the container's root writes belongs to the node's "
        "root. Without it they belong to the container's own host ids.",
        False,
    ),
    Field(
        "create",
        "bool",
        "mounts",
        "live",
        "Whether a missing C(source) is made: a directory of the container's root.",
        False,
    ),
)

DEVICE: tuple[Field, ...] = (
    Field(
        "mode",
        "choice",
        "devices",
        "live",
        "C(rw), or C(r) for reading only.",
        "rw",
        choices=("r", "rw"),
    ),
    Field(
        "group",
        "int",
        "devices",
        "live",
        "The group inside, by number, that may open the device; root always may.",
        0,
        minimum=0,
        maximum=65535,
    ),
)

CARD: tuple[Field, ...] = (
    Field(
        "name",
        "network_card",
        "cards",
        "restart",
        "The card's name inside; its name on the node unless given.",
        example="wan0",
    ),
)

SCHEDULE: tuple[Field, ...] = (
    Field(
        "every",
        "period",
        "snapshots",
        "live",
        "How often: C(30m), C(6h), C(1d), C(1w).",
        required=True,
        example="1d",
    ),
    Field(
        "keep",
        "int",
        "snapshots",
        "live",
        "How many of this schedule's snapshots are kept; the oldest go.",
        required=True,
        minimum=1,
        maximum=1000,
        example=7,
    ),
    Field(
        "memory",
        "bool",
        "snapshots",
        "live",
        "Whether memory and processes are kept, too, of a container with C(live_migration=true) that runs. It stands "
        "still for as long as they take to write.",
        False,
    ),
)
