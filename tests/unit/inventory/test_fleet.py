# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin: hosts, groups and variables, and how vault, expressions and errors come out of Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret
from ansible_collections.carve.vps.plugins.inventory.fleet import InventoryModule
from ansible_collections.carve.vps.plugins.plugin_utils import whereabouts
from ansible_collections.carve.vps.plugins.plugin_utils.whereabouts import Whereabouts

FLEET = """
plugin: carve.vps.fleet
version: 1
fleet: acme
policy: {allow: [restart], prune: false}
flavors: {small: {ram: 512M}}
templates: {debian-13: {build: {suite: trixie}}}
networks: {public: {mode: routed, subnet: 203.0.113.0/24}}
nodes:
  node1:
    ansible_host: 192.0.2.11
    ansible_port: 2222
    ansible_user: ops
    ansible_become: true
    ansible_python_interpreter: /usr/bin/python3
    labels: {zone: a-1, ssd: true}
  node2: {ansible_connection: local}
defaults: {template: debian-13, flavor: small, node: node1}
containers:
  web: {count: 2, labels: {role: web}, network: {eth0: {on: public, ip: 203.0.113.10-11}}}
  db: {node: node2, flavor: null}
  old: {state: absent}
"""


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def load(text: str, inventory: InventoryData | None = None, loader: DataLoader | None = None) -> InventoryData:
    inventory = inventory or InventoryData()
    path = Path("fleet.yml").absolute()
    path.write_text(dedent(text), encoding="utf-8")
    InventoryModule().parse(inventory, loader or DataLoader(), str(path))
    inventory.reconcile_inventory()
    return inventory


def own(inventory: InventoryData, host: str) -> dict[str, Any]:
    return {k: v for k, v in inventory.hosts[host].vars.items() if k not in ("inventory_dir", "inventory_file")}


def test_groups() -> None:
    found = {name: [host.name for host in group.hosts] for name, group in load(FLEET).groups.items()}
    assert found == {
        "all": [],
        "ungrouped": [],
        "carve_nodes": ["node1", "node2"],
        "carve_looked_at": ["node1", "node2"],
        "carve_containers": ["web-1", "web-2", "db"],
        "label_zone_a_1": ["node1"],
        "label_ssd_true": ["node1"],
        "label_role_web": ["web-1", "web-2"],
        "template_debian_13": ["web-1", "web-2", "db"],
        "flavor_small": ["web-1", "web-2"],
        "network_public": ["web-1", "web-2"],
        "on_node1": ["web-1", "web-2"],
        "on_node2": ["db"],
    }


def test_a_node() -> None:
    found = own(load(FLEET), "node1")
    desired = found.pop("carve_desired")
    assert found == {
        "ansible_host": "192.0.2.11",
        "ansible_port": 2222,
        "ansible_user": "ops",
        "ansible_become": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "carve_labels": {"zone": "a-1", "ssd": "true"},
    }
    ids = {name: options.pop("id") for name, options in desired["containers"].items()}
    assert len(set(ids.values())) == 3
    web = {"ram": "512M", "template": "debian-13"}
    assert desired == {
        "fleet": "acme",
        "allow": ["restart"],
        "prune": False,
        "networks": {"public": {"mode": "routed", "subnet": "203.0.113.0/24"}},
        "templates": {"debian-13": {"build": {"suite": "trixie"}}},
        "containers": {
            "web-1": {**web, "network": {"eth0": {"on": "public", "ip": ["203.0.113.10"]}}},
            "web-2": {**web, "network": {"eth0": {"on": "public", "ip": ["203.0.113.11"]}}},
            "old": {**web, "state": "absent"},
        },
        "secrets": [],
    }


def test_a_container_knows_its_node_and_nothing_of_the_way_there() -> None:
    assert own(load(FLEET), "web-1") == {
        "ansible_connection": "carve.vps.attach",
        "carve_node": "node1",
        "carve_container": "web-1",
        "carve_labels": {"role": "web"},
    }


def test_nodes_use_the_python_that_their_packages_are_for() -> None:
    found = load(FLEET).groups["carve_nodes"].vars
    assert found["ansible_python_interpreter"] == "/usr/bin/python3"
    assert found["ansible_pipelining"] is True
    assert set(found) == {"ansible_python_interpreter", "ansible_pipelining", "carve_look", "carve_hint"}


def test_defaults_of_the_policy() -> None:
    desired = load(FLEET.replace("policy: {allow: [restart], prune: false}", "")).hosts["node2"].vars["carve_desired"]
    assert (desired["allow"], desired["prune"]) == ([], True)


def test_two_manifests_that_share_a_host_are_refused() -> None:
    inventory = load(FLEET)
    with pytest.raises(AnsibleParserError, match="'node1' is in another manifest already; give one manifest at a time"):
        load(FLEET.replace("acme", "other"), inventory)


def test_only_yaml_files_are_manifests() -> None:
    for name, wanted in (("fleet.yml", True), ("fleet.yaml", True), ("fleet.ini", False)):
        Path(name).touch()
        assert InventoryModule().verify_file(name) is wanted
    assert InventoryModule().verify_file("missing.yml") is False


def vaulted(text: str) -> str:
    encrypted: bytes = VaultLib().encrypt(text, VaultSecret(b"password"), None)
    return "!vault |\n" + "".join(f"      {line}\n" for line in encrypted.decode().splitlines())


def test_vaulted_values_stay_vaulted_and_are_listed_as_secrets() -> None:
    text = FLEET + f"  key:\n    ssh_keys: {vaulted('ssh-ed25519 AAAA')}"
    secret = f"secret:\n    archive: {vaulted('/srv/x.tar')}    sha256: {'a' * 64}"
    text = text.replace("templates: {", f"templates:\n  {secret}\n  ")
    text = text.replace("debian-13: {build: {suite: trixie}}}", "debian-13: {build: {suite: trixie}}")
    inventory = load(text)
    one, two = (inventory.hosts[name].vars["carve_desired"] for name in ("node1", "node2"))
    assert isinstance(one["containers"]["key"]["ssh_keys"], EncryptedString)
    assert one["secrets"][0] is one["templates"]["secret"]["archive"]
    assert one["secrets"][1] is one["containers"]["key"]["ssh_keys"]
    assert len(one["secrets"]) == 2
    assert len(two["secrets"]) == 1


def test_a_manifest_that_is_vaulted_as_a_whole_leaves_no_trace() -> None:
    secret = VaultSecret(b"password")
    Path("fleet.yml").write_bytes(VaultLib().encrypt(FLEET, secret, None))
    loader = DataLoader()
    loader.set_vault_secrets([("default", secret)])
    inventory = InventoryData()
    InventoryModule().parse(inventory, loader, str(Path("fleet.yml").absolute()))
    assert "web-1" in inventory.hosts
    assert not Path("cache").exists()


def test_overcommitment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(InventoryModule, "display", None, raising=False)
    plugin = InventoryModule()
    plugin.display = type("Display", (), {"warning": staticmethod(shown.append)})()
    Path("fleet.yml").write_text(FLEET.replace("ansible_port: 2222", "capacity: {ram: 600M}"), encoding="utf-8")
    plugin.parse(InventoryData(), DataLoader(), str(Path("fleet.yml").absolute()))
    assert [line.partition(";")[0] for line in shown] == [
        "fleet.yml:12: nodes.node1.capacity.ram: 600M is less than the 1G promised (web-1 512M, web-2 512M)"
    ]


# From here on as people run it.


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    tool = Path(sys.executable).parent / words[0]
    return subprocess.run([tool, *words[1:]], capture_output=True, text=True, check=False, env={**clean, **environment})


def test_tasks_see_expressions_and_vaulted_values_filled_in() -> None:
    Path("password").write_text("password\n", encoding="utf-8")
    Path("host_vars").mkdir()
    Path("host_vars/node2.yml").write_text("db_ram: 3G\n", encoding="utf-8")
    Path("group_vars").mkdir()
    Path("group_vars/on_node2.yml").write_text("greeting: hello\n", encoding="utf-8")
    # An expression among the node's own variables too.
    fleet = FLEET.replace("local}", 'local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}')
    text = fleet + f'  mail:\n    node: node2\n    ram: "{{{{ db_ram }}}}"\n    ssh_keys: {vaulted("ssh-ed25519 AAAA")}'
    Path("fleet.yml").write_text(text, encoding="utf-8")
    Path("play.yml").write_text(
        dedent("""
        - hosts: node2
          gather_facts: false
          tasks:
            - ansible.builtin.copy:
                content: "{{ [carve_desired, hostvars.mail.greeting, groups.carve_containers] | to_json }}"
                dest: "{{ playbook_dir }}/seen.json"
        """),
        encoding="utf-8",
    )
    done = run("ansible-playbook", "-i", "fleet.yml", "--vault-password-file", "password", "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    desired, greeting, containers = json.loads(Path("seen.json").read_text(encoding="utf-8"))
    assert desired["containers"]["mail"]["ram"] == "3G"
    assert desired["containers"]["mail"]["ssh_keys"] == "ssh-ed25519 AAAA"
    assert desired["secrets"] == ["ssh-ed25519 AAAA"]
    assert (greeting, containers) == ("hello", ["web-1", "web-2", "db", "mail"])


def test_a_bad_manifest_is_told_of_once() -> None:
    Path("fleet.yml").write_text(FLEET.replace("512M", "512Q").replace("flavor: null", "flavor: big"), encoding="utf-8")
    strict = {"ANSIBLE_INVENTORY_ENABLED": "carve.vps.fleet", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
    done = run("ansible-inventory", "-i", "fleet.yml", "--list", **strict)
    assert done.returncode != 0
    lines = [line for line in done.stderr.split("\n") if line.startswith("fleet.yml")]
    assert lines == [
        "fleet.yml:6: flavors.small.ram: '512Q' is not a size; write a number with a unit such as 512M or 1.5G",
        "fleet.yml:21: containers.db.flavor: there is no flavor 'big'; write small",
    ]
    assert len(done.stderr.strip().split("\n")) == 5, done.stderr


def test_a_rollout_policy_is_a_variable_of_the_nodes() -> None:
    assert "carve_rollouts" not in load(FLEET).groups
    policy = "policy: {rollout: {batch: 5, gate: {port: 80}}}"
    inventory = load(FLEET.replace("policy: {allow: [restart], prune: false}", policy))
    assert {host.name for host in inventory.groups["carve_rollouts"].hosts} == {"node1", "node2"}
    assert inventory.hosts["node1"].vars["carve_rollout"] == {
        "canary": 1, "batch": 5, "order": [], "gate": {"port": 80},
    }  # fmt: skip


PLACED = FLEET.replace("flavor: small, node: node1}", "flavor: small}")


def test_a_placed_container_is_on_the_node_that_was_found_for_it() -> None:
    inventory = load(PLACED.replace("  old:", "  lb: {network: {eth0: {on: public, ip: auto}}}\n  old:"))
    placed = {node: own(inventory, node).get("carve_placed", {}) for node in ("node1", "node2")}
    for name in ("web-1", "web-2", "lb"):
        node = own(inventory, name)["carve_node"]
        assert name in own(inventory, node)["carve_desired"]["containers"]
        assert placed[node][name]["why"].startswith("spread: ")
    (address,) = next(found["lb"]["ip"]["eth0"] for found in placed.values() if "lb" in found)
    assert address.startswith("203.0.113.")
    assert "db" not in placed["node2"]


def test_what_is_remembered_decides() -> None:
    before = load(PLACED)
    there = {name: own(before, name)["carve_node"] for name in ("web-1", "web-2")}
    other = {"node1": "node2", "node2": "node1"}
    hint = before.groups["carve_nodes"].vars["carve_hint"]
    seen = Whereabouts({name: other[node] for name, node in there.items()})
    whereabouts.save(Path(hint["file"]), seen)
    after = load(PLACED)
    assert {name: own(after, name)["carve_node"] for name in there} == seen.nodes
    assert after.groups["carve_nodes"].vars["carve_hint"] == {**hint, "digest": seen.digest()}


def test_one_node_without_pools_needs_no_look() -> None:
    alone = FLEET.replace("  node2: {ansible_connection: local}\n", "").replace("node: node2, ", "")
    found = load(alone)
    assert found.groups["carve_nodes"].vars["carve_look"] is False
    assert "carve_looked_at" not in found.groups


def test_an_encrypted_manifest_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    loader = DataLoader()
    secret = VaultSecret(b"open")
    loader.set_vault_secrets([("default", secret)])
    path = Path("fleet.yml").absolute()
    path.write_bytes(VaultLib([("default", secret)]).encrypt(PLACED, secret))
    inventory = InventoryData()
    InventoryModule().parse(inventory, loader, str(path))
    assert not Path(inventory.groups["carve_nodes"].vars["carve_hint"]["file"]).is_relative_to(tmp_path / "cache")
