# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin that makes hosts of a manifest; what a manifest is, ``plugin_utils`` knows."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet
short_description: A fleet of system containers, as one manifest describes it
version_added: 0.1.0
author: Carve contributors (@carve)
description:
  - Reads a manifest, C(fleet.yml), checks it as a whole, and gives its nodes and containers as hosts.
  - A node's variable C(carve_desired) is what M(carve.vps.node) makes of the node. A container is reached from its node
    by the connection plugin P(carve.vps.attach#connection), and needs no SSH server.
  - A container without C(node) is on the node that placement finds for it, by what was last seen of the fleet.
  - The groups are C(carve_nodes), C(carve_looked_at) (the nodes of a fleet whose plans need a look at all of them),
    C(carve_containers), C(on_NODE), C(template_NAME), C(flavor_NAME), C(network_NAME)
    and, of nodes and containers, C(label_KEY_VALUE). What cannot stand in a group's name becomes C(_).
  - C(host_vars) and C(group_vars) beside the manifest work as with every inventory.
notes:
  - Ansible itself goes on without hosts when no inventory could be read. Set C(any_unparsed_is_failed) in the section
    C(inventory) of C(ansible.cfg), or E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED), so that it stops there.
options:
  plugin:
    description: Marks the file as a manifest.
    type: str
    required: true
    choices: [carve.vps.fleet]
"""

EXAMPLES = r"""
plugin: carve.vps.fleet
version: 1
fleet: acme
flavors:
  small: {cpus: 1, ram: 512M, swap: 256M, processes: 400}
templates:
  debian-13: {build: {suite: trixie, packages: [openssh-server]}}
networks:
  public: {mode: routed, subnet: 203.0.113.0/24}
nodes:
  node1: {ansible_host: 192.0.2.11, labels: {zone: a}}
defaults: {template: debian-13, flavor: small}
containers:
  web: {count: 2, network: {eth0: {on: public, ip: 203.0.113.10-11}}}
"""

import os
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.parsing.vault import is_encrypted_file
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.carve.vps.plugins.plugin_utils import hosts, manifest, structure, whereabouts


class FleetError(AnsibleParserError):
    """Says file and line itself. Where Ansible adds its own idea of these, it prints the whole message twice."""

    @property
    def _formatted_source_context(self) -> None:
        return None


class InventoryModule(BaseInventoryPlugin):
    """``-i fleet.yml``"""

    NAME = "carve.vps.fleet"

    def verify_file(self, path: str) -> bool:
        """Any YAML file may be a manifest; what it says on top decides."""
        return bool(super().verify_file(path)) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Read the manifest and add what it declares."""
        super().parse(inventory, loader, path, cache)
        with Path(path).open("rb") as stream:
            encrypted = is_encrypted_file(stream)
        text = loader.get_text_file_contents(path)
        try:
            hint = _hint(path, encrypted)
            known = whereabouts.load(hint)
            fleet = manifest.read(text, _shown(path), None if encrypted else path, known)
            hosts.populate(inventory, fleet, {"file": str(hint), "digest": known.digest(), "manifest": path})
        except manifest.ManifestError as error:
            if "CARVE_RESULT_FILE" in os.environ:
                # The command `carve` reads nothing but manifests: Ansible's talk of other formats would only bury this.
                raise SystemExit(f"the manifest is not right:\n{error}") from None
            raise FleetError(f"the manifest is not right:\n{error}") from None
        except (hosts.TwoFleets, structure.Unavailable) as error:
            raise FleetError(str(error)) from None
        for warning in fleet.warnings:
            self.display.warning(warning)


def _hint(path: str, secret: bool) -> Path:
    """Where whereabouts are remembered; only as long as Ansible runs, for those who leave no traces."""
    place = None if secret else whereabouts.place(str(Path(path).absolute()))
    return place or Path(constants.DEFAULT_LOCAL_TMP) / "carve-whereabouts" / Path(path).name


def _shown(path: str) -> str:
    """The path as people see it from where they stand."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
