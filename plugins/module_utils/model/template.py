# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a template."""

from __future__ import annotations

from ..kinds import Field

BUILD: tuple[Field, ...] = (
    Field(
        "suite",
        "text",
        "templates",
        "rebuild",
        "The release to build, such as C(trixie).",
        required=True,
        example="trixie",
    ),
    Field("packages", "lines", "templates", "rebuild", "Packages beside the minimal system with its init."),
    Field("mirror", "text", "templates", "rebuild", "The package mirror; mmdebstrap's own choice unless given."),
    Field("components", "lines", "templates", "rebuild", "The archive's components; C(main) unless given."),
)

TEMPLATE: tuple[Field, ...] = (
    Field(
        "build",
        "build",
        "templates",
        "rebuild",
        "Build a Debian or Ubuntu root filesystem on the node with "
        "mmdebstrap: C(suite), and optionally C(packages), C(mirror), C(components).",
        example={"suite": "trixie"},
    ),
    Field(
        "archive", "text", "templates", "rebuild", "Unpack a tar archive: a path on the node or a URL. Needs C(sha256)."
    ),
    Field("sha256", "text", "templates", "rebuild", "The archive's SHA-256 digest, 64 hex digits."),
    Field("from", "label", "templates", "rebuild", "Start from another template of the fleet."),
    Field("packages", "lines", "templates", "rebuild", "Debian packages to add."),
    Field(
        "commands",
        "lines",
        "templates",
        "rebuild",
        "Shell commands to run inside the new root filesystem, in order; one that fails fails the build.",
    ),
)
