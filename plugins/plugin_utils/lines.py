# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML text in, plain values out, with the line of every one of them.

Ansible's own loader parses the text and makes what only Ansible can make: vaulted values and trusted expressions. All
else becomes plain Python values, which costs a tenth of what Ansible's tagging of every value would. Whatever the text
holds, the answer is a value and a list of findings, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from ansible.parsing.yaml.loader import AnsibleLoader
from ansible.template import trust_as_template
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str, ...]

_TAG = "tag:yaml.org,2002:"
_STR, _MERGE = f"{_TAG}str", f"{_TAG}merge"
_KNOWN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "value")}
_VAULT_TAGS = ("!vault", "!vault-encrypted")
_OTHER_KIND = 'has a map or list for a name; if it is an expression, write it in quotes: "{{ ... }}"'
# Far beyond any manifest, and far below what Python's recursion and memory would suffer from.
_MAX_DEPTH, _MAX_VALUES, _MAX_OPEN = 40, 1_000_000, 500


class Finding(NamedTuple):
    """One thing that is wrong, at its line."""

    line: int
    path: Path
    message: str


class Vaulted(str):
    """A vaulted value's stand-in, which everything here takes for an expression and never decrypts."""

    __slots__ = ("encrypted",)
    encrypted: Any

    def __new__(cls, encrypted: Any) -> Vaulted:
        self = super().__new__(cls, "{{ a vaulted value }}")
        self.encrypted = encrypted
        return self


class Document(NamedTuple):
    """What a text holds. ``value`` is ``None`` where nothing could be made of it, as are the values in ``lost``."""

    value: Any
    findings: list[Finding]
    root: Node | None
    lost: frozenset[Path] = frozenset()

    def line(self, path: Path) -> int:
        """The line of a path, or of the closest part of it that is there."""
        line, node = 1, self.root
        for part in path:
            found = next((pair for pair in _children(node) if pair[0] == part), None)
            if found is None:
                break
            line, node = found[1], found[2]
        return line


def parse(text: str) -> Document:
    """The text of a manifest, as ``DataLoader.get_text_file_contents`` gives it (so that origins are known)."""
    if (bad := re.search("[\ud800-\udfff]", text)) is not None:
        line = text.count("\n", 0, bad.start()) + 1
        return Document(None, [Finding(line, (), "holds bytes that are not UTF-8; save the file as UTF-8")], None)
    if (deep := _too_deep(text)) is not None:
        return Document(None, [Finding(deep, (), "brackets are nested too deeply; write flat maps of options")], None)
    try:
        loader = AnsibleLoader(trust_as_template(text))
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        return Document(None, [_syntax(error, text)], None)
    if root is None:
        return Document(None, [], None)
    reader = _Reader(loader)
    value, size = reader.read(root, (), ())
    if size > _MAX_VALUES:
        reader.find(root, (), f"aliases make more than {_MAX_VALUES} values of it; write fewer")
        return Document(None, reader.findings, root)
    return Document(value, reader.findings, root, frozenset(reader.lost))


def _too_deep(text: str) -> int | None:
    """The line where brackets or dashes nest so deeply that the parser's recursion, in C, would overrun the stack."""
    if sum(map(text.count, ("[", "{", "- ", "? "))) < _MAX_OPEN:
        return None
    depth = 0
    for line, content in enumerate(text.split("\n"), 1):
        depth = max(0, depth + content.count("[") + content.count("{") - content.count("]") - content.count("}"))
        if depth > _MAX_OPEN or content.count("- ") + content.count("? ") > _MAX_OPEN:
            return line
    return None


def _children(node: Node | None) -> Iterator[tuple[str, int, Node]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key.value, key.start_mark.line + 1, value
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield str(index), item.start_mark.line + 1, item


class _Reader:
    """Makes values of nodes, and makes the nodes tidy on the way: merge keys carried out, doubtful pairs left out."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._made: dict[int, tuple[Any, int]] = {}
        self.findings: list[Finding] = []
        self.lost: set[Path] = set()

    def find(self, node: Node, path: Path, message: str) -> None:
        self.findings.append(Finding(node.start_mark.line + 1, path, message))

    def lose(self, node: Node, path: Path, message: str) -> None:
        """Report a value of which nothing, or not all, can be made."""
        self.find(node, path, message)
        self.lost.add(path)

    def read(self, node: Node, path: Path, above: tuple[int, ...]) -> tuple[Any, int]:
        """The value of a node and how many values it is made of, aliases counted each time they appear."""
        if id(node) in self._made:
            return self._made[id(node)]
        if id(node) in above:
            self.lose(node, path, "contains itself; write it without the alias")
            return None, 1
        if len(above) >= _MAX_DEPTH:
            self.lose(node, path, f"is nested more than {_MAX_DEPTH} levels deep; write a flat map of options")
            return None, 1
        self._check_tag(node, path)
        inside = (*above, id(node))
        made: tuple[Any, int]
        if node.tag in _VAULT_TAGS:
            made = self._vaulted(node, path), 1
        elif isinstance(node, MappingNode):
            made = self._mapping(node, path, inside)
        elif isinstance(node, SequenceNode):
            items = [self.read(item, (*path, str(index)), inside) for index, item in enumerate(node.value)]
            made = [value for value, _unused in items], 1 + sum(size for _unused, size in items)
        else:
            made = self._scalar(node, path), 1
        self._made[id(node)] = made
        return made

    def _check_tag(self, node: Node, path: Path) -> None:
        if node.tag == f"{_TAG}timestamp":
            node.tag = _STR  # dates mean nothing here; what is written is what is meant
        elif node.tag == "!unsafe" and isinstance(node, ScalarNode):
            pass
        elif node.tag not in _KNOWN_TAGS and node.tag not in _VAULT_TAGS:
            shown = node.tag.replace(_TAG, "!!")
            self.find(node, path, f"the tag {shown!r} means nothing here; delete it")
            kinds: dict[type[Node], str] = {MappingNode: "map", SequenceNode: "seq"}
            node.tag = _TAG + kinds.get(type(node), "str")

    def _mapping(self, node: MappingNode, path: Path, above: tuple[int, ...]) -> tuple[dict[str, Any], int]:
        merged: dict[str, tuple[Node, Node]] = {}
        own: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.lose(key, path, _OTHER_KIND)
            elif key.tag == _MERGE:
                merged = {**self._merged(value, path, above), **merged}
            else:
                # A name is what is written: YAML 1.1 would make a truth value of `on` and a number of `1`.
                if key.value in own:
                    first = own[key.value][0].start_mark.line + 1
                    self.find(key, (*path, key.value), f"is here twice, first in line {first}; write it once")
                own[key.value] = (key, value)
        node.value = list({**merged, **own}.values())
        result: dict[str, Any] = {}
        size = 1
        for key, value in node.value:
            result[key.value], more = self.read(value, (*path, key.value), above)
            size += more
        return result, size

    def _merged(self, node: Node, path: Path, above: tuple[int, ...]) -> dict[str, tuple[Node, Node]]:
        """The pairs that ``<<: *anchor`` or ``<<: [*one, *two]`` brings; of several, the first has the last word."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        pairs: dict[str, tuple[Node, Node]] = {}
        for source in reversed(sources):
            if not isinstance(source, MappingNode) or id(source) in above:
                self.lose(source, path, "only a map can be merged in; write <<: *NAME, where &NAME marks one")
                continue
            self.read(source, path, above)  # carries out its own merge keys
            pairs.update({key.value: (key, value) for key, value in source.value if isinstance(key, ScalarNode)})
        return pairs

    def _vaulted(self, node: Node, path: Path) -> Any:
        if not isinstance(node, ScalarNode) or not node.value.lstrip().startswith("$ANSIBLE_VAULT;"):
            self.lose(node, path, "is tagged !vault but not encrypted; write what ansible-vault encrypt_string prints")
            return None
        return Vaulted(self._loader.construct_object(node))

    def _scalar(self, node: Any, path: Path) -> Any:
        try:
            if node.tag == f"{_TAG}null":
                return None
            if node.tag == f"{_TAG}bool":
                return SafeConstructor.construct_yaml_bool(self._loader, node)
            if node.tag == f"{_TAG}int":
                return SafeConstructor.construct_yaml_int(self._loader, node)
            if node.tag == f"{_TAG}float":
                return SafeConstructor.construct_yaml_float(self._loader, node)
        except (ValueError, KeyError, OverflowError, IndexError):
            self.lose(node, path, "cannot be read as what its tag says; write it in quotes, without a tag")
            return None
        if node.tag == _STR and "{" in node.value:
            return self._loader.construct_object(node)
        return node.value


# What the parser says, and what to write instead.
_SYNTAX = {
    r"'\\t'|\bfound a tab": "a tab cannot stand here; indent with spaces",
    r"mapping values are not allowed": 'a second ": " stands in one value; '
    "write the value in quotes, or indent the line like its neighbours",
    r"undefined alias": "an alias *NAME has no anchor; write &NAME where the value is first given",
    r"expected ',' or '}'": "a { is not closed, or a comma is missing; write } after the last option of the map",
    r"expected ',' or ']'": "a [ is not closed, or a comma is missing; write ] after the last item of the list",
    r"end of stream": "a quote is not closed; write the closing quote",
    r"expected ':'|expected key|block end|block mapping|<block": "the line fits no map or list; "
    "write NAME: VALUE, indented with spaces like the lines of the same map",
    r"unexpected document separator": "a quote is not closed before ---; write the closing quote",
    r"another document|single document": "a second document begins; write one manifest in one file, without ---",
    r"escape": "an unknown escape in double quotes; write single quotes, or two backslashes",
    r"tag": "a tag is not understood; delete it",
    r"character": "a character cannot stand here; write the value in quotes",
}


def _syntax(error: yaml.YAMLError, text: str) -> Finding:
    """A parser's complaint in words that help, at the line that has to change."""
    mark = getattr(error, "problem_mark", None)
    said = " ".join(str(getattr(error, name, None) or "") for name in ("context", "problem")).strip() or str(error)
    context = getattr(error, "context_mark", None)
    # What is not closed ends somewhere below; where it opens is where to look.
    if context is not None and re.search(r"expected ',' or|end of stream|document separator", said):
        mark = context
    if mark is None:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    else:
        line = mark.line + 1
    lines = text.split("\n")
    content = lines[line - 1] if line <= len(lines) else ""
    if re.search(r"(^\s*-?|:|\[|,)\s*\{\{", content):
        return Finding(line, (), 'an expression that begins a value needs quotes; write "{{ ... }}"')
    if re.match(r"^ *\t", content):
        return Finding(line, (), "a tab cannot indent YAML; indent with spaces")
    for pattern, message in _SYNTAX.items():
        if re.search(pattern, said):
            return Finding(line, (), message)
    return Finding(line, (), f"is not YAML ({said}); look for a missing quote, colon or space here or just above")
