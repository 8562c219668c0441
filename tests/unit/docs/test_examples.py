# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example that people could copy works: in the pages, in ``examples/`` and in the plugins' documentation.

A YAML block needs no mark, for what it is shows: a manifest names its plugin, a part of one has only keys that stand
at the top of a manifest, a playbook's items have hosts, tasks have none. What is none of these is a mistake.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.carve.vps.plugins.module_utils import argspec, desired
from ansible_collections.carve.vps.plugins.plugin_utils import cli, lines, manifest, schema

from unit.docs.pages import PAGES, ROOT, blocks, blocks_of, commands, constants, inline

# What a part of a manifest is put into.
BASE = """
plugin: carve.vps.fleet
version: 1
fleet: acme
flavors:
  small: {cpus: 1, ram: 512M, swap: 256M, processes: 400}
  medium: {cpus: 2, ram: 2G, swap: 1G}
templates:
  debian-13: {build: {suite: trixie, packages: [openssh-server]}}
  web: {from: debian-13, packages: [nginx-light]}
networks:
  public: {mode: routed, subnet: [203.0.113.0/24, "2001:db8:113::/64"]}
  lan: {mode: bridged, bridge: br-lan, subnet: [10.20.0.0/24, "fd00:20::/64"], gateway: [10.20.0.1, "fd00:20::1"]}
nodes:
  node1: {ansible_host: 192.0.2.11}
defaults: {template: debian-13, flavor: small}
containers:
  other: {}
"""
# Programs that are not Carve's.
PROGRAMS = {
    "ansible-galaxy", "ansible-inventory", "apt-get", "cat", "du", "export", "findmnt", "ip", "journalctl",
    "lxc-attach", "lxc-info", "lxc-ls", "lxc-stop", "nft", "ping", "pip", "python3", "systemctl",
}  # fmt: skip
LANGUAGES = {"python", "yaml", "sh", "console", "text", "mermaid"}
# Groups that playbooks name.
GROUPS = ("carve_nodes", "template_debian_13", "nodes", "containers")
PLUGINS = [*sorted((ROOT / "plugins").glob("*/*.py"))]


def plain(text: str) -> Any:
    """YAML as a manifest is read: ``on`` is a word there."""
    document = lines.parse(text)
    assert not document.findings, document.findings
    return document.value


def classify(text: str) -> str:
    """What a YAML example is."""
    value = plain(text)
    if isinstance(value, Mapping) and "plugin" in value:
        return "manifest"
    if isinstance(value, Mapping) and value and set(value) <= set(schema.manifest_schema()["properties"]):
        return "part"
    if isinstance(value, Mapping) and set(value) == {"all"}:
        return "inventory"
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        plays = ["hosts" in item or "ansible.builtin.import_playbook" in item for item in value]
        if all(plays) or not any(plays):
            return "playbook" if all(plays) else "tasks"
    raise AssertionError("is neither a manifest, nor a part of one, an inventory, a playbook or a list of tasks")


def merged(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{name: merged(below.get(name), value) for name, value in above.items()}}


# All YAML examples: from where, and their text.
EXAMPLES = [
    *((str(block), block.text) for block in blocks("yaml")),
    *(
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "examples").glob("**/*.yml"))
    ),
    *(
        (f"{path.relative_to(ROOT)} EXAMPLES", constants(path)["EXAMPLES"])
        for path in PLUGINS
        if "EXAMPLES" in constants(path)
    ),
]


def those(*kinds: str) -> list[Any]:
    return [pytest.param(text, id=where) for where, text in EXAMPLES if classify(text) in kinds]


def test_there_are_examples_of_every_kind() -> None:
    assert {classify(text) for _where, text in EXAMPLES} == {"manifest", "part", "inventory", "playbook", "tasks"}


def test_every_block_says_what_language_it_is_in() -> None:
    assert {str(block): block.language for page in PAGES for block in blocks_of(page)
            if block.language not in LANGUAGES} == {}  # fmt: skip


@pytest.mark.parametrize("text", those("manifest"))
def test_manifests_are_right(text: str) -> None:
    fleet = manifest.read(text, "fleet.yml")
    assert fleet.containers
    assert fleet.warnings == []


@pytest.mark.parametrize("text", those("part"))
def test_parts_of_manifests_are_right(text: str) -> None:
    whole = merged(plain(BASE), plain(text))
    fleet = manifest.read(json.dumps(whole), "fleet.yml")
    assert fleet.warnings == []


@pytest.mark.parametrize("text", those("inventory"))
def test_inventories_have_hosts(text: str, tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(text, encoding="utf-8")
    found = json.loads(_ansible("inventory", tmp_path, "-i", str(path), "--list"))
    hosts = found["_meta"]["hostvars"]
    assert any(host.get("ansible_connection") == "carve.vps.attach" for host in hosts.values())


def test_playbooks_and_tasks_are_understood_by_ansible(tmp_path: Path) -> None:
    for number, (where, text) in enumerate(EXAMPLES):
        kind = classify(text)
        if kind in ("playbook", "tasks"):
            body = text if kind == "playbook" else f"- hosts: all\n  tasks:\n{_indented(text)}"
            (tmp_path / f"{number:03}.yml").write_text(f"# {where}\n{body}", encoding="utf-8")
    written = sorted(map(str, tmp_path.glob("*.yml")))
    assert len(written) > 5
    inventory = tmp_path / "inventory"
    inventory.write_text("".join(f"[{group}]\nhost\n" for group in GROUPS), encoding="utf-8")
    said = _ansible("playbook", tmp_path, "--syntax-check", "-i", str(inventory), *written)
    assert said.count("playbook: ") == len(written)


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip("\n").splitlines())


def _ansible(program: str, home: Path, *words: str) -> str:
    """What one of Ansible's commands says. It must not warn."""
    environment = {
        **os.environ, "ANSIBLE_HOME": str(home / "home"), "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
    }  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-m", f"ansible.cli.{program}", *words],
        check=False, capture_output=True, text=True, env=environment, cwd=home,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert "[WARNING]" not in found.stderr, found.stderr
    return found.stdout


@pytest.mark.parametrize("text", those("playbook", "tasks"))
def test_calls_of_the_modules_are_right(text: str) -> None:
    for task in _tasks(yaml.safe_load(text)):
        for action, arguments in task.items():
            if action.startswith("carve.vps."):
                _check_call(action.removeprefix("carve.vps."), arguments or {})


def _tasks(items: Any) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        for section in ("pre_tasks", "tasks", "post_tasks", "block"):
            yield from _tasks(item.get(section) or [])


# These are told no desired state.
NO_STATE = ("settle", "moves", "arrival", "departure", "snapshot", "backup")


def _check_call(module: str, arguments: dict[str, Any]) -> None:
    documentation = yaml.safe_load(constants(ROOT / "plugins" / "modules" / f"{module}.py")["DOCUMENTATION"])
    options: dict[str, Any] = dict(documentation["options"])
    if "carve.vps.container" in documentation.get("extends_documentation_fragment", ()):
        options |= argspec.container_spec()
    assert set(arguments) <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= set(arguments)
    written_out = {name: value for name, value in arguments.items() if not isinstance(value, str) or "{{" not in value}
    deferred = (set(arguments) - set(written_out)) & {"containers", "templates", "networks"}
    if not module.endswith("_info") and module not in NO_STATE and not deferred:
        made = argspec.one_container(written_out) if module == "container" else written_out
        _desired, problems = desired.build(made)
        assert problems == []


# What is typed.

TYPED = [pytest.param(block, id=str(block)) for block in blocks("sh", "console")]


@pytest.mark.parametrize("block", TYPED)
def test_commands_are_right(block: Any) -> None:
    typed = list(commands(block))
    assert typed, "a block of commands without a command"
    subprocess.run(["bash", "-n"], input="\n".join(typed), text=True, check=True)
    for line in typed:
        _check_command(line, block.page.parent)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_commands_inside_sentences_are_right(page: Path) -> None:
    for code in inline(page):
        if re.match(r"(carve|\./dev|lxc-[a-z]+|ansible-playbook|ansible) [^.]", code) and "VERB" not in code:
            if code.split()[0] != "carve" or len(code.split()) > 2:
                _check_command(code, page.parent)
            else:
                assert code.split()[1] in cli.VERBS, code


def _check_command(line: str, place: Path) -> None:
    words = shlex.split(line, comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program = Path(words[0]).name if words[0].startswith("/") else words[0]
    if program == "carve":
        _check_carve(words[1:])
    elif program == "./dev":
        assert f"verb_{words[1]}()" in (ROOT / "dev").read_text(encoding="utf-8")
    elif program == "./pipeline":
        assert f"\n{words[1]})" in (place / "pipeline").read_text(encoding="utf-8")
    elif program == "ansible-playbook":
        _check_playbooks(words[1:], place)
    elif program == "ansible":
        _check_module(words[words.index("-m") + 1])
    elif program.startswith("lxc-"):
        assert words[words.index("-P") + 1] == "/var/lib/carve/containers", line
    else:
        assert program in PROGRAMS, line


def _check_carve(words: list[str]) -> None:
    if words == ["help"]:
        return
    request = cli.parse(words)
    assert (ROOT / "playbooks" / f"{request.verb}.yml").exists()
    assert cli.command(request, terminal=True, playbook="ansible-playbook")


def _check_playbooks(words: list[str], place: Path) -> None:
    names = [word for word in words if re.search(r"^carve\.vps\.|\.yml$", word) and word != "fleet.yml"]
    assert names or "--version" in words
    for name in names:
        if name.startswith("carve.vps."):
            assert (ROOT / "playbooks" / f"{name.removeprefix('carve.vps.')}.yml").exists(), name
        elif "examples" in place.parts:
            assert (place / name).exists(), name


def _check_module(name: str) -> None:
    if name.startswith("carve.vps."):
        assert (ROOT / "plugins" / "modules" / f"{name.removeprefix('carve.vps.')}.py").exists(), name
    else:
        assert name in ("ansible.builtin.raw", "ansible.builtin.command", "ansible.builtin.ping"), name
