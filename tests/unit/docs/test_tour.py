# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outputs that the pages show are what Carve prints: the README's tour, taken again on a node of a dictionary."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import desired, plan, slots
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.steps import DONE, HELD, PLANNED, NodeSeen
from ansible_collections.carve.vps.plugins.plugin_utils import manifest, render

from unit.docs.pages import ROOT, blocks_of

README, QUICKSTART = ROOT / "README.md", ROOT / "docs" / "quickstart.md"
# As a node is after bootstrap.
BOOTSTRAPPED = NodeSeen(
    own_runtime="1a40ccc5492b", cpus=2, online=frozenset({0, 1}), own_ids=((1 << 20, 2146435072),)
)  # fmt: skip


@dataclass
class Tour:
    """A manifest, and the only node of it as it is at some point of the tour."""

    text: str
    node: NodeSeen = BOOTSTRAPPED

    def change(self, before: str, after: str) -> None:
        assert before in self.text
        self.text = self.text.replace(before, after)

    def wanted(self) -> desired.Desired:
        fleet = manifest.read(self.text, "fleet.yml")
        containers = {c.name: {**c.options, "id": fleet.slots[c.name]} for c in fleet.containers}
        made, problems = desired.build(
            {"fleet": fleet.name, "containers": containers, "templates": fleet.templates, "networks": fleet.networks}
        )
        assert problems == []
        return made

    def run(self, verb: str) -> str:
        """What ``carve VERB`` prints, but for the times."""
        wanted = self.wanted()
        made = plan.make(wanted, self.node)
        assert made.errors == ()
        did = DONE if verb == "apply" else PLANNED
        steps = [{**step.public(), "status": HELD if step.held else did} for step in made.steps]
        if verb == "apply":
            self.node = memory.carry_out(made, self.node, wanted.fleet)
        results: dict[str, Any] = {"node1": {"steps": steps, "notes": made.notes, "unmanaged": made.unmanaged}}
        style = render.Style(utf8=True)
        shown = [*render.node("node1", results["node1"], verb, style), *render.closing(results, verb, style)]
        return without_versions("\n".join(shown) + "\n")

    def by_hand(self, name: str, **facts: Any) -> None:
        changed = replace(self.node.containers[name], **facts)
        self.node = replace(self.node, containers={**self.node.containers, name: changed})


def without_versions(text: str) -> str:
    """Versions of templates change with the builder, too; one is as good as another here."""
    return re.sub(r"\b[0-9a-f]{12}\b", "0123456789ab", text)


@pytest.fixture
def shown() -> list[str]:
    """The outputs in the README, in their order, without the commands."""
    outputs = [block.text.partition("\n")[2] for block in blocks_of(README) if block.language == "console"]
    return [without_versions(output) for output in outputs]


def test_the_tour_of_the_readme(shown: list[str]) -> None:
    first, changed, drift, held = shown
    tour = Tour(next(block.text for block in blocks_of(README) if block.language == "yaml"))
    assert tour.run("plan") == first
    tour.run("apply")
    tour.change("ram: 256M", "ram: 384M")
    tour.change('ip: [10.20.0.5, "fd00:20::5"]', 'ip: [10.20.0.5, 10.20.0.6, "fd00:20::5"]')
    assert tour.run("apply") == changed
    assert "No changes." in tour.run("plan")

    before = tour.node
    tour.by_hand("web-2", running=False)
    found = tour.node.containers["db"].seen
    tour.by_hand("db", seen={**found, "network.eth0.ip": ["10.20.0.5/24", "fd00:20::5/64"]})
    assert tour.run("drift") == drift

    tour.node = before
    tour.change("eth0: {on: lan,", 'eth0: {on: lan, mac: "02:00:00:00:00:05",')
    assert tour.run("plan") == held


def test_the_mistakes_of_the_quickstart() -> None:
    text = next(block.text for block in blocks_of(QUICKSTART) if "plugin:" in block.text)
    complaint = next(block.text for block in blocks_of(QUICKSTART) if block.text.startswith("fleet.yml:"))
    wrong = text.replace("ram: 256M", "ram: 256MB2").replace("    count: 2\n", "    count: 2\n    proceses: 100\n")
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.read(wrong, "fleet.yml")
    assert f"{caught.value}\n" == complaint


def test_the_manifest_of_the_quickstart_has_as_many_containers_as_it_says() -> None:
    text = next(block.text for block in blocks_of(QUICKSTART) if "plugin:" in block.text)
    fleet = manifest.read(text, "fleet.yml")
    said = f"fleet {fleet.name}: {len(fleet.nodes)} node, {len(fleet.containers)} containers: valid"
    assert said in QUICKSTART.read_text(encoding="utf-8")


def test_the_range_of_ids_in_the_page_about_containers() -> None:
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    slot = slots.assign("quickstart", ["web-1"], {})["web-1"]
    first = slots.base_id(slot)
    assert f"id (slot) {slot}  →  host ids {first} (root) to {first + slots.RANGE - 1}" in page
    assert re.search(rf"\b{slots.COUNT} of them", page)
