# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manifest, from its text to what each node should be.

``read`` says everything that is wrong at once, each on its line; there is no such thing as half a fleet.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import slots
from ..module_utils.model import Problem
from . import arrange, collector, expand, lines, meaning, schema, structure
from .expand import Container, section
from .lines import Document, Finding, Path
from .placement import Node, Request
from .pools import Want
from .whereabouts import NOWHERE, Whereabouts

_LONGEST = 300


class ManifestError(Exception):
    """Everything that is wrong with a manifest, one line each."""


@dataclass(frozen=True)
class Fleet:
    """What a good manifest says. Values are as written: expressions and vaulted values are filled in by the task."""

    name: str
    policy: Mapping[str, Any]
    nodes: Mapping[str, Mapping[str, Any]]
    templates: Mapping[str, Any]
    networks: Mapping[str, Any]
    # On their nodes; what fits nowhere is in ``unplaced``, with the reason.
    containers: list[Container]
    unplaced: Mapping[str, str]
    # Why placed containers are where they are.
    reasons: Mapping[str, str]
    # The addresses that pools have given.
    addresses: Mapping[str, Mapping[str, Sequence[str]]]
    # Each container's range of user ids (``module_utils.slots``).
    slots: Mapping[str, int]
    # What placement goes by, to place anew what is to be moved.
    machines: Sequence[Node]
    asked: Mapping[str, Request]
    warnings: list[str] = field(default_factory=list)


def read(text: str, shown: str, remember_as: str | None = None, known: Whereabouts = NOWHERE) -> Fleet:
    """The fleet that a manifest's text declares.

    ``shown`` is the file's name in messages, ``remember_as`` the name under which a good one is remembered, if it may
    be. ``known`` says where containers are. Raises ``ManifestError``.
    """
    with collector.paused():
        return _read(text, shown, remember_as, known)


def _read(text: str, shown: str, remember_as: str | None, known: Whereabouts) -> Fleet:
    document = lines.parse(text)
    findings = list(document.findings)
    warnings: list[Finding] = []
    containers: list[Container] = []
    asked: dict[str, Request] = {}
    if not isinstance(document.value, Mapping):
        if not findings:
            findings.append(_not_a_map(document))
    else:
        containers, asked = _check(document, text, remember_as, findings, warnings)
    if findings:
        raise ManifestError("\n".join(_sorted(findings, shown)))
    manifest = document.value
    found = arrange.arrange(manifest, containers, asked, known)
    if found.missing:
        raise ManifestError("\n".join(_sorted(_too_small_pools(document, found.missing), shown)))
    return Fleet(
        name=manifest["fleet"],
        policy=section(manifest, "policy"),
        nodes={name: body or {} for name, body in section(manifest, "nodes").items()},
        templates=section(manifest, "templates"),
        networks={
            name: {key: value for key, value in body.items() if key != schema.POOL.name}
            for name, body in section(manifest, "networks").items()
        },
        containers=found.containers,
        unplaced=found.unplaced,
        reasons=found.reasons,
        addresses=found.addresses,
        machines=arrange.nodes(manifest),
        asked=asked,
        slots=_slots(manifest["fleet"], containers, found.containers),
        warnings=_sorted(warnings, shown) + [f"{shown}: {note}" for note in found.notes],
    )


def _too_small_pools(document: Document, missing: list[Want]) -> list[Finding]:
    """A finding for each subnet that has too few addresses."""
    lacking = Counter((want.network, str(want.subnet)) for want in missing)
    findings = []
    for (network, subnet), count in lacking.items():
        path = ("networks", network, "pool")
        text = f"has {count} address{'es' * (count > 1)} too few in {subnet} for those that are auto; write more ranges"
        findings.append(Finding(document.line(path), path, text))
    return findings


def _slots(fleet: str, declared: list[Container], placed: list[Container]) -> dict[str, int]:
    """A range of user ids for each container: its own in the whole fleet, or on its node where there are too many."""
    pinned = {c.name: c.options["id"] for c in declared if isinstance(c.options.get("id"), int)}
    if len(declared) <= slots.COUNT:
        return slots.assign(fleet, [c.name for c in declared], pinned)
    by_node: dict[str | None, list[str]] = {}
    for container in placed:
        by_node.setdefault(container.node, []).append(container.name)
    result: dict[str, int] = {}
    for names in by_node.values():
        result |= slots.assign(fleet, names, {name: pinned[name] for name in names if name in pinned})
    return result


def _check(
    document: Document, text: str, remember_as: str | None, findings: list[Finding], warnings: list[Finding]
) -> tuple[list[Container], dict[str, Request]]:
    meant: list[Problem] = []

    def report(path: Path, message: str) -> None:
        meant.append(Problem(path, message))

    def warn(path: Path, message: str) -> None:
        warnings.append(Finding(document.line(path), path, message))

    shape = structure.check(document.value, text, remember_as)
    containers = expand.containers(document.value, report)
    asked = meaning.check(document.value, containers, report, warn)
    for path, message in _without_echoes(shape, meant, document.lost):
        findings.append(Finding(document.line(path), path, message))
    return containers, asked


def _without_echoes(shape: list[Problem], meant: list[Problem], lost: frozenset[Path]) -> list[Problem]:
    """One mistake, one message: what follows from something that is reported already is left out."""
    unmade = {problem.path for problem in shape}
    meant = [p for p in meant if not any(p.path[:length] in unmade for length in range(len(p.path)))]
    # Where both have something to say of one option, the second knows better what to write.
    told = {problem.path for problem in meant}
    items = {p.path for p in shape if p.path and p.path[-1].isdigit() and p.path[:-1] in told}
    shape = [p for p in shape if p.path not in told | items]
    return [p for p in (*shape, *meant) if not any(p.path[:length] in lost for length in range(len(p.path) + 1))]


def _not_a_map(document: Document) -> Finding:
    wanted = "write plugin: carve.vps.fleet, version: 1, fleet:, nodes: and containers:"
    if document.value is None:
        return Finding(1, (), f"holds nothing; {wanted}")
    what = "a list" if isinstance(document.value, list) else "a single value"
    return Finding(document.root.start_mark.line + 1 if document.root else 1, (), f"is {what}, not a map; {wanted}")


def _sorted(findings: list[Finding], shown: str) -> list[str]:
    unique = dict.fromkeys(sorted(findings, key=lambda finding: finding.line))
    return list(dict.fromkeys(_format(finding, shown) for finding in unique))


def _format(finding: Finding, shown: str) -> str:
    path = ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in finding.path)
    message = re.sub(r"[\x00-\x1f\x7f]", lambda control: repr(control[0])[1:-1], finding.message)
    if len(message) > _LONGEST:
        # The remedy stands at the end.
        message = f"{message[: _LONGEST // 2]}...{message[-_LONGEST // 2 :]}"
    line = f"{shown}:{finding.line}: {path}: {message}" if path else f"{shown}:{finding.line}: {message}"
    return line.encode(errors="backslashreplace").decode()
