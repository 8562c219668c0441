# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a manifest's containers to the single ones: counted out, merged with flavor and defaults.

What the container itself says goes before its flavor, the flavor before ``defaults``, and these before the model's
defaults. Maps (``network`` and each of its interfaces, ``labels``, ``hosts``) are merged key by key; all else, lists
too, is taken whole from whoever goes first. An option left empty undoes what the others say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import kinds, model
from . import ranges, schema
from .lines import Path

Report = Callable[[Path, str], None]
AUTO = "auto"
_OPTIONS = frozenset(row.name for row in model.CONTAINER)
_RESOURCES = frozenset(row.name for row in model.CONTAINER if row.resource)
_MEANINGS = {row.name: frozenset(model.meanings(row)) for row in model.CONTAINER}
# The other words for what an option says, such as OpenVZ's.
_SYNONYMS = {
    name: tuple(other for other, also in _MEANINGS.items() if other != name and also & meant)
    for name, meant in _MEANINGS.items()
}


@dataclass(frozen=True)
class Container:
    """One container of the fleet, before its options are looked at more closely."""

    name: str
    # The key in ``containers`` that it comes from.
    entry: str
    # ``None`` until placement has found one.
    node: str | None
    flavor: str | None
    labels: Mapping[str, Any]
    options: Mapping[str, Any]
    placement: Mapping[str, Any]
    # Interfaces that get addresses from a pool; what is fixed beside them is in the options.
    auto: tuple[str, ...]
    # What its options come from, the first that has one counts: (where in the manifest, what is written there).
    layers: tuple[tuple[Path, Mapping[str, Any]], ...] = field(repr=False)

    def source(self, path: Path) -> Path:
        """Where in the manifest an option's value is written, or should be."""
        best, depth = (*self.layers[0][0], *path), 0
        for where, body in self.layers:
            for written in words(path):
                found = _depth(body, written)
                if found > depth:
                    best, depth = (*where, *written), found
        return best


def words(path: Path) -> Iterator[Path]:
    """An option's path, and the paths that say the same in other words."""
    yield path
    for synonym in _SYNONYMS.get(str(path[0]), ()) if path else ():
        yield (synonym, *path[1:])


def section(manifest: Any, name: str) -> Mapping[str, Any]:
    """A top-level map, empty when it is absent or something else."""
    found = manifest.get(name) if isinstance(manifest, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def containers(manifest: Any, report: Report) -> list[Container]:
    """Every container, in the manifest's order. Those of which nothing can be made are left out and reported."""
    result: list[Container] = []
    taken: dict[str, str] = {}
    for entry, body in section(manifest, "containers").items():
        own = {} if body is None else body
        if isinstance(own, Mapping):
            for container in _counted(entry, own, manifest, report):
                if container.name in taken:
                    other = taken[container.name]
                    text = f"makes a container {container.name!r}, as {other!r} does; rename one of the two"
                    report(("containers", entry), text)
                else:
                    taken[container.name] = entry
                    result.append(container)
    return result


def _counted(entry: str, own: Mapping[str, Any], manifest: Any, report: Report) -> Iterator[Container]:
    defaults = section(manifest, "defaults")
    here: Path = ("containers", entry)
    flavor = _flavor(own, defaults, manifest, here, report)
    body = section(section(manifest, "flavors"), flavor or "")
    layers = (
        (here, own),
        (("flavors", flavor or ""), {key: value for key, value in body.items() if key in _RESOURCES}),
        (("defaults",), {key: value for key, value in defaults.items() if key not in ("id", "count")}),
    )
    merged: Any = {}
    for where, layer in reversed(layers):
        merged = _respelled(merged, layer)
        _check_empty(merged, layer, where, report)
        merged = _merge(merged, layer)
    merged = _without_empty(merged)
    options: Mapping[str, Any] = {key: value for key, value in merged.items() if key in _OPTIONS}
    node = _node(merged, manifest, here, report)
    labels, placement = _map(merged.get("labels")), _map(merged.get("placement"))
    template = Container(entry, entry, node, flavor, labels, options, placement, (), layers)
    template = _without_auto(template, report)
    count = _count(own, here, report)
    if count is None:
        yield dataclasses.replace(template, options=_alone(template, report))
        return
    if count > 1:
        for name in ("id", "mac"):
            for path in _having(name, template.options):
                alike = "they cannot share it; delete it, or write the containers one by one"
                report(template.source(path), f"is given to {count} containers, and {alike}")
    addresses = _addresses(template, count, report)
    for index in range(count):
        name = f"{entry}-{index + 1}"
        options = give(template.options, {path: found[index] for path, found in addresses.items()})
        yield Container(name, entry, node, flavor, labels, options, placement, template.auto, layers)


def _flavor(
    own: Mapping[str, Any], defaults: Mapping[str, Any], manifest: Any, here: Path, report: Report
) -> str | None:
    where, source = (here, own) if "flavor" in own else (("defaults",), defaults)
    name = source.get("flavor")
    flavors = section(manifest, "flavors")
    if not isinstance(name, str) or model.is_deferred(name):
        return None  # absent, or wrong by the schema
    if name not in flavors:
        instead = model.nearest(name, list(flavors)) if flavors else "declare it in flavors:"
        report((*where, "flavor"), f"there is no flavor {name!r}; {instead}")
        return None
    return name


def _node(merged: Mapping[str, Any], manifest: Any, here: Path, report: Report) -> str | None:
    nodes = section(manifest, "nodes")
    name = merged.get("node")
    if name is None and len(nodes) == 1:
        return next(iter(nodes))
    if not isinstance(name, str) or model.is_deferred(name):
        return None
    if nodes and name not in nodes:
        where = here if _depth(section(manifest, "containers"), (here[1], "node")) == 2 else ("defaults",)
        report((*where, "node"), f"there is no node {name!r}; {model.nearest(name, list(nodes))}")
        return None
    return name if nodes else None


def _count(own: Mapping[str, Any], here: Path, report: Report) -> int | None:
    value = own.get("count")
    if value is None or model.is_deferred(value):
        return None
    try:
        found: int = kinds.KINDS["int"].parse(value, schema.COUNT)
    except ValueError as error:
        report((*here, "count"), str(error))
        return None
    return found


def _check_empty(below: Any, layer: Mapping[str, Any], where: Path, report: Report) -> None:
    """An option left empty is a way to undo, and a mistake where there is nothing to undo."""
    for name, value in layer.items():
        under = below.get(name) if isinstance(below, Mapping) else None
        if value is None and under is None:
            report((*where, name), "is empty, and nothing else sets it; write a value, or delete the line")
        elif isinstance(value, Mapping):
            _check_empty(under, value, (*where, name), report)


def _respelled(below: Mapping[str, Any], layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What others say, in the words of the layer that goes before them; what it says nothing of keeps its own.

    A word for several options has values that each of them takes as they are.
    """
    result = dict(below)
    for name in layer:
        for synonym in _SYNONYMS.get(name, ()):
            if synonym in result and synonym not in layer:
                value = result.pop(synonym)
                result.update(dict.fromkeys((name, *(_MEANINGS[synonym] - _MEANINGS[name])), value))
    return result


def _merge(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{name: _merge(below.get(name), value) for name, value in above.items()}}


def _without_empty(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_empty(item) for name, item in value.items() if item is not None}


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def texts(labels: Mapping[str, Any]) -> dict[str, str]:
    """Labels with their values as text, as groups and placement compare them."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in labels.items()}


def _depth(body: Any, path: Path) -> int:
    """How many parts of a path are there."""
    for index, part in enumerate(path):
        if not isinstance(body, Mapping) or part not in body:
            return index
        body = body[part]
    return len(path)


def _having(name: str, options: Mapping[str, Any]) -> Iterator[Path]:
    if name in options:
        yield (name,)
    network = options.get("network")
    for interface, body in network.items() if isinstance(network, Mapping) else ():
        if isinstance(body, Mapping) and name in body:
            yield ("network", interface, name)


def _without_auto(container: Container, report: Report) -> Container:
    """The container with its interfaces that say ``ip: auto`` named, and only fixed addresses in its options."""
    fixed: dict[Path, list[Any]] = {}
    for path, listed in _listed(container.options):
        if AUTO in listed:
            fixed[path] = [item for item in listed if item != AUTO]
            if len(fixed[path]) < len(listed) - 1:
                report(container.source(path), f"{AUTO!r} is listed twice; write it once")
    if not fixed:
        return container
    auto = tuple(interface for _unused, interface, _ip in fixed)
    return dataclasses.replace(container, options=give(container.options, fixed), auto=auto)


def _alone(container: Container, report: Report) -> Mapping[str, Any]:
    """The options of a container without count, which has no use for ranges."""
    kept: dict[Path, list[Any]] = {}
    for path, listed in _listed(container.options):
        spans = [item for item in listed if isinstance(item, str) and "-" in item and not model.is_deferred(item)]
        for text in spans:
            report(container.source(path), f"{text!r} is a range; write one address, or count: beside network:")
        if spans:
            kept[path] = [item for item in listed if item not in spans]
    return give(container.options, kept)


def _addresses(container: Container, count: int, report: Report) -> dict[Path, list[Any]]:
    """For each interface with addresses, what each of the counted containers gets."""
    result: dict[Path, list[Any]] = {}
    for path, listed in _listed(container.options) if count else ():
        where = container.source(path)
        given: list[list[Any]] = [[] for _unused in range(count)]
        for text in listed:
            if model.is_deferred(text) and count > 1:
                report(where, f"an expression gives all {count} containers the same address; write a range")
            elif isinstance(text, str) and not model.is_deferred(text):
                try:
                    found = ranges.parse(text)
                except ValueError as error:
                    report(where, str(error))
                    continue
                if len(found) != count:
                    many = f"{text} is {len(found)} address{'es' if len(found) > 1 else ''} for {count} containers"
                    report(where, f"{many}; write {count}, such as {ranges.suggest(found.first, count)}")
                for index in range(min(count, len(found))):
                    given[index].append(found[index])
            else:
                for got in given:
                    got.append(text)
        result[path] = given
    return result


def _listed(options: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
    network = options.get("network")
    for interface, body in network.items() if isinstance(network, Mapping) else ():
        ip = body.get("ip") if isinstance(body, Mapping) else None
        if ip is not None:
            yield ("network", interface, "ip"), ip if isinstance(ip, list) else [ip]


def give(options: Mapping[str, Any], values: Mapping[Path, Any]) -> Mapping[str, Any]:
    """The options with other values at some paths below ``network``, such as addresses."""
    if not values:
        return options
    result = {**options, "network": dict(options["network"])}
    for (_unused, interface, name), value in values.items():
        result["network"][interface] = {**result["network"][interface], name: value}
    return result
