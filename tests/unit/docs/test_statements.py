# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages say of the code, where that can be looked up in the code."""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.carve.vps.plugins.module_utils import model, steps
from ansible_collections.carve.vps.plugins.module_utils.facets.cpu import Cpu
from ansible_collections.carve.vps.plugins.module_utils.facets.memory import Memory
from ansible_collections.carve.vps.plugins.module_utils.facets.processes import Processes
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.kernel.cgroup import Cgroup, CgroupV1, CgroupV2
from ansible_collections.carve.vps.plugins.module_utils.record import Record
from ansible_collections.carve.vps.plugins.plugin_utils import cli

from unit.docs.pages import PAGES, ROOT, blocks_of, prose

DOCS = ROOT / "docs"
# The shortest piece of a message that tells which one it is.
TELLING = 12
# Variables of the playbooks that are theirs alone.
INNER = {
    "carve_allowed", "carve_answer", "carve_confirmed", "carve_containers", "carve_desired", "carve_expect",
    "carve_looked_at", "carve_nodes", "carve_planned", "carve_protected", "carve_result", "carve_round",
    "carve_settled", "carve_unplaced", "carve_verb",
    # Of rollouts.
    "carve_batch", "carve_batch_number", "carve_batches", "carve_expect_containers", "carve_gate", "carve_only",
    "carve_rollouts", "carve_tried", "carve_wanted",
    # Of moves.
    "carve_arrival", "carve_departure", "carve_found", "carve_group", "carve_label", "carve_moved", "carve_moves",
    "carve_moving", "carve_target", "carve_would_stay",
    # Of snapshots and backups.
    "carve_all", "carve_asked", "carve_backup", "carve_here", "carve_holders", "carve_missing",
}  # fmt: skip
# For documentation and for private use: RFC 5737, 3849, 1918, 4193, 3927, 4291, 1122.
NETWORKS = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "10.0.0.0/8", "172.16.0.0/12",
        "192.168.0.0/16", "fd00::/8", "169.254.0.0/16", "fe80::/10", "127.0.0.0/8", "::1/128",
    )
]  # fmt: skip

# IPv6 is told from times and MAC addresses by its double colon.
ADDRESS = re.compile(r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*::[0-9a-f:]*)")


def table(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows of a table below a heading, by their first cell."""
    text = f"\n{page.read_text(encoding='utf-8')}".partition(f"\n{heading}\n")[2]
    assert text, heading
    rows = re.findall(r"^\| (.*) \|$", re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)
    cells = [re.split(r" \| |^\| ", row) for row in rows]
    return {row[0]: row[1:] for row in cells[2:]}


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if target.startswith("https://"):
                continue
            path, _hash, anchor = target.partition("#")
            aim = (page.parent / path).resolve() if path else page
            assert aim.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(aim), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_addresses_belong_to_nobody() -> None:
    files = [*PAGES, *(path for path in (ROOT / "examples").rglob("*") if path.is_file())]
    found = {word for file in files for word in ADDRESS.findall(file.read_text(encoding="utf-8"))}
    assert len(found) > 10
    assert {word for word in found if not any(ipaddress.ip_address(word) in network for network in NETWORKS)} == set()


# Messages.


def _pieces() -> Iterator[str]:
    """The fixed pieces of everything that the code can say."""
    for path in [*(ROOT / "plugins").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node.value
    for path in [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").rglob("*.yml")]:
        for text in _texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
            yield from re.split(r"\{\{.*?\}\}", " ".join(text.split()))
    for path in (ROOT / "roles").rglob("*.sh"):
        for text in re.findall(r'echo "(.*)"', path.read_text(encoding="utf-8")):
            yield from re.split(r"\$\w+|\$\{.*?\}|\$\(.*?\)", text)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


PIECES = sorted({piece.strip() for piece in _pieces() if len(piece.strip()) >= TELLING})


def _can_be_said(message: str) -> bool:
    return any(piece in message or message in piece for piece in PIECES)


def test_messages_that_are_explained_are_messages_of_the_code() -> None:
    quoted = [block for block in blocks_of(DOCS / "troubleshooting.md") if block.language == "text"]
    said = [line for block in quoted for line in block.text.splitlines()]
    assert len(said) > 25
    assert [line for line in said if not _can_be_said(line)] == []


def test_a_message_that_the_code_cannot_say_would_be_noticed() -> None:
    assert not _can_be_said("the node is asleep; wake it up first")


# Tables.


def test_every_verb_is_described() -> None:
    page = DOCS / "playbooks.md"
    assert set(table(page, "# Verbs and playbooks")) == {f"`{verb}`" for verb in cli.VERBS}


def test_every_variable_of_the_playbooks_is_described() -> None:
    playbooks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").rglob("*.yml"))
    used = set(re.findall(r"\bcarve_[a-z_]+", playbooks)) - INNER
    rows = table(DOCS / "playbooks.md", "## Options")
    described = set(re.findall(r"\bcarve_[a-z_]+", " ".join(cell for row in rows.values() for cell in row)))
    described |= {found for row in rows for found in re.findall(r"\bcarve_[a-z_]+", row)}
    text = (DOCS / "playbooks.md").read_text(encoding="utf-8").partition("## Options")[2].partition("## Exit")[0]
    described |= set(re.findall(r"`(carve_[a-z_]+)", text))
    assert described == used


def test_everything_that_can_be_allowed_is_described() -> None:
    rows = table(DOCS / "playbooks.md", "## What may be done: `allow`")
    assert set(rows) == {f"`{word}`" for word in model.ALLOWABLE}


def test_phases_are_named_in_their_order() -> None:
    assert ", ".join(steps.PHASES) in (DOCS / "architecture.md").read_text(encoding="utf-8")


ALL_LIMITS = {
    "cpus": 1.5, "cpu_weight": 200, "cpu_set": "0-1", "ram": 1 << 29, "swap": 1 << 28, "ram_guarantee": 1 << 27,
    "processes": 400,
}  # fmt: skip


@pytest.mark.parametrize(("column", "cgroup"), [(0, CgroupV2()), (1, CgroupV1({}, []))])
def test_limits_are_in_the_files_that_the_page_names(column: int, cgroup: Cgroup) -> None:
    rows = table(DOCS / "containers.md", "## Limits")
    assert set(rows) == {f"`{option}`" for option in ALL_LIMITS}
    record = Record("acme", "web-1", "1a2b", "overlay", {**ALL_LIMITS, "id": 20})
    box = Box(record, "/nowhere")
    host = Host(cgroup=cgroup)
    lines = [line for facet in (Cpu(), Memory(), Processes()) for line in facet.boot_config(host, box)]
    written = {key.removeprefix("lxc.cgroup2.").removeprefix("lxc.cgroup.") for key, _value in lines if "cgroup" in key}
    assert {cells[column].strip("`") for cells in rows.values()} == written


def test_every_module_of_the_node_has_its_place_in_the_drawing() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## The rooms")[2].partition("\n- ")[0]
    folder = ROOT / "plugins" / "module_utils"
    names = {path.stem for path in folder.rglob("*.py")} - {"__init__", "base"}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()
