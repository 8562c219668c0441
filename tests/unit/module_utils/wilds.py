# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random fleets, and random nodes with a past: what was applied, by whom, and what was changed by hand since."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import model, plan
from ansible_collections.carve.vps.plugins.module_utils.desired import Desired
from ansible_collections.carve.vps.plugins.module_utils.engines import memory
from ansible_collections.carve.vps.plugins.module_utils.steps import BridgeSeen, ContainerSeen, NodeSeen
from hypothesis import strategies as st

from unit.module_utils import worlds

M = 1 << 20
NAMES = ("a", "b", "c", "d")
TEMPLATES = (worlds.TEMPLATES, {**worlds.TEMPLATES, "debian": {"build": {"suite": "forky"}}})
LANS: list[dict[str, Any]] = [{}, {"mtu": 1400}, {"gateway": "10.20.0.2"}, {"uplink": "eth1"}, {"bridge": "br-new"}]
BRIDGES: list[dict[str, Any]] = [
    {}, {"mtu": 9000}, {"addresses": ("192.0.2.1/24",)}, {"uplink": "eth9"}, {"recorded": None}, {"exists": False},
]  # fmt: skip
# What may be found of a row that is looked at.
FOUND: dict[str, list[Any]] = {
    "ram": [None, 64 * M, 2048 * M],
    "swap": [None, 0, 512 * M],
    "cpus": [None, 0.5, 2.0],
    "cpu_weight": [None, 100, 300],
    "cpu_set": [None, "0", "0-1"],
    "processes": [None, 100],
    "ram_guarantee": [None, 32 * M],
    "io_weight": [None, 300],
    "io_read": [None, M],
    "io_write": [None, M],
    "io_read_ops": [None, 50],
    "io_write_ops": [None, 50],
    "disk": [None, 512 * M],
    "inodes": [None, 5000],
    "disk_users": [{}, {"7": {"disk": M}}],
    "disk_groups": [{}, {"7": {"disk": M}}],
    "rlimits": [{}, {"nofile": "64:64"}],
    "sysctls": [{}, {"net.core.somaxconn": "7"}],
    "mounts": [{}, {"/evil": {"source": "/evil"}}],
    "devices": [{}, {"/dev/evil": {"mode": "rw"}}],
    "network_cards": [{}, {"evil0": {"card": "eth9"}}],
    "features": [[], ["fuse"]],
    "drop_capabilities": [[], ["sys_ptrace"]],
    "timezone": [None, "Etc/UTC"],
    "hostname": [None, "evil"],
    "nameservers": [None, [], ["192.0.2.1"]],
    "search_domains": [None, [], ["evil.example"]],
    "hosts": [{}, {"evil": "192.0.2.1"}],
    "ssh_keys": [[], ["evil"]],
    "network.mac": [None, "02:ff:ff:ff:ff:ff"],
    "network.mtu": [None, 9000],
    "network.bridge": [None, "br-evil"],
    "network.ip": [None, [], ["192.0.2.7/24"]],
    "network.gateway": [None, [], ["192.0.2.8"]],
    "network.rate_in": [None, 1000000],
    "network.rate_out": [None, 1000000],
    "network.trusted": [False, True],
    "network.firewall": [None, {"between": "deny", "node": "allow"}],
}


@functools.cache
def bodies(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """The options of one container. Addresses are its own, so that most fleets can be."""
    numbers = [10 + 10 * NAMES.index(name) + n for n in range(3)]

    def interface(network: str, first: str) -> st.SearchStrategy[dict[str, Any]]:
        ip = st.lists(st.sampled_from([f"{first}{number}" for number in numbers]), unique=True, max_size=2)
        mac = st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"])
        return st.fixed_dictionaries({"on": st.just(network), "ip": ip}, optional={"mac": mac})

    card = interface("lan", "10.20.0.") | interface("back", "10.30.0.") | interface("public", "203.0.113.")
    options = {
        "state": st.sampled_from(["running", "running", "stopped", "keep", "absent"]),
        "template": st.sampled_from(["debian", "web"]),
        "template_policy": st.sampled_from(["pin", "warn", "rebuild", "rebuild"]),
        "protect": st.booleans(),
        "ram": st.sampled_from(["64M", "512M", "1G"]),
        "swap": st.sampled_from([0, "512M"]),
        "cpus": st.sampled_from([0.5, 1, 2]),
        "cpu_weight": st.sampled_from([50, 200]),
        "cpu_set": st.sampled_from(["0", "1", "0-1"]),
        "processes": st.sampled_from([100, 200]),
        "io_write": st.sampled_from(["1M", "2M"]),
        "ram_guarantee": st.sampled_from(["16M", "32M"]),
        "sysctls": st.sampled_from([{}, {"net.core.somaxconn": 512}]),
        "features": st.sampled_from([[], ["tun"], ["nesting"]]),
        "hostname": st.just(f"{name}.example.net"),
        "nameservers": st.sampled_from([[], ["::1"]]),
        "hosts": st.sampled_from([{}, {"x": "::1"}]),
        "ssh_keys": st.sampled_from([[], ["k1"], ["k1", "k2"]]),
        "snapshots": st.sampled_from([{}, {"daily": {"every": "1d", "keep": 7, "memory": False}}]),
        "autostart": st.booleans(),
        "start_order": st.sampled_from([5, 10]),
        "network": st.dictionaries(st.sampled_from(["eth0", "eth1"]), card),
    }
    return st.fixed_dictionaries({}, optional=options)


@st.composite
def fleets(draw: st.DrawFn, fleet: str = "acme", allow: Any = None) -> Desired:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    lan = {**worlds.NETWORKS["lan"], **draw(st.sampled_from(LANS))}
    leave = draw(st.sets(st.sampled_from(model.ALLOWABLE))) if allow is None else allow
    return worlds.fleet(
        {name: draw(bodies(name)) for name in names},
        fleet=fleet,
        allow=sorted(leave),
        prune=draw(st.booleans()) if allow is None else True,
        templates=draw(st.sampled_from(TEMPLATES)),
        networks={**worlds.NETWORKS, "lan": lan},
    )


@st.composite
def nodes(draw: st.DrawFn) -> NodeSeen:
    world = replace(worlds.EMPTY, runtime=draw(st.sampled_from([None, "r0", "r1"])))
    for mark in draw(st.lists(st.sampled_from(["acme", "acme", "other"]), max_size=2)):
        past = draw(fleets(fleet=mark, allow=model.ALLOWABLE))
        made = plan.make(past, world)
        world = memory.carry_out(made, world, mark) if not made.errors else world
    containers = {name: draw(_aged(seen)) for name, seen in world.containers.items()}
    if draw(st.booleans()):
        containers["strange"] = ContainerSeen(fleet=None)
    bridges = {name: replace(seen, **draw(st.sampled_from(BRIDGES))) for name, seen in world.bridges.items()}
    bridges.update(draw(st.dictionaries(st.sampled_from(["br-back", "eth0"]), st.just(BridgeSeen(None)), max_size=1)))
    templates = {name: found for name, found in world.templates.items() if draw(st.booleans())}
    return replace(world, containers=containers, bridges=bridges, templates=templates)


@st.composite
def _aged(draw: st.DrawFn, seen: ContainerSeen) -> ContainerSeen:
    if draw(st.integers(0, 5)) == 0:
        seen = memory.stopped(seen) if seen.running else memory.running(seen)
    rows = {path: FOUND[model.row_name(path)] for path in seen.seen if model.row_name(path) in seen.looked}
    drift = draw(st.dictionaries(st.sampled_from(sorted(rows)), st.integers(0, 2), max_size=3)) if rows else {}
    found = {path: rows[path][number % len(rows[path])] for path, number in drift.items()}
    config = draw(st.sampled_from([None, None, None, (("lxc.x = 1",), ()), ((), ("lxc.y = 2",))]))
    in_use = draw(st.sampled_from([0, 0, 100 * M, 700 * M])) if seen.running else 0
    digest = draw(st.sampled_from([seen.digest, seen.digest, "older"]))
    return replace(seen, seen={**seen.seen, **found}, config=config, ram_in_use=in_use, digest=digest)


@st.composite
def crowded(draw: st.DrawFn) -> Desired:
    """A fleet whose containers have addresses of one small pool, each at most once, and cards of any kind."""
    pool = draw(st.permutations([f"10.20.0.{n}" for n in range(10, 15)]))
    bodies: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        mine = [pool.pop() for _unused in range(draw(st.integers(0, min(2, len(pool)))))]
        card: dict[str, Any] = {"on": draw(st.sampled_from(["lan", "routed"])), "ip": mine}
        if draw(st.booleans()):
            card["mac"] = draw(st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]))
        bodies[name] = {"network": {"eth0": card}, "state": draw(st.sampled_from(["running", "running", "stopped"]))}
    networks = {"lan": worlds.NETWORKS["lan"], "routed": {"mode": "routed", "subnet": "10.20.0.0/24"}}
    allow = draw(st.sampled_from([("destroy", "restart"), ("restart",), ()]))
    return worlds.fleet(bodies, networks=networks, allow=allow)
