# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What forbids a checkpoint, by what was found of a container; and what is found of real processes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import fitness, look
from ansible_collections.carve.vps.plugins.module_utils.checkpoint.fitness import Look, Process
from ansible_collections.carve.vps.plugins.module_utils.host import Host

from unit.module_utils.facets import boxes

COMMON = {kind: f"{kind}:[1]" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")}
INIT = Process(100, "systemd", COMMON, frozenset({"/dev/null", "anon_inode:[eventpoll]", "anon_inode:inotify"}))
# Mounts of its own are nothing unusual of a service, and CRIU saves them.
SERVICE = Process(120, "journald", {**COMMON, "mnt": "mnt:[2]"}, frozenset({"socket:[7]", "anon_inode:[signalfd]"}))
MOUNTS = frozenset({("overlay", "/"), ("proc", "/proc"), ("tmpfs", "/run"), ("cgroup2", "/sys/fs/cgroup")})
PRESSURE = frozenset({"/sys/fs/cgroup/init.scope/memory.pressure"})
LABEL = "lxc-carve-live (enforce)"
FIT = Look({"ram": 1}, (INIT, SERVICE), MOUNTS, LABEL, LABEL)


def test_a_container_that_is_built_for_it_is_fit() -> None:
    assert fitness.findings(FIT) == []
    assert fitness.findings(replace(FIT, label=None, wanted_label=None)) == []


def with_service(**facts: Any) -> Look:
    return replace(FIT, processes=(INIT, replace(SERVICE, **facts)))


@pytest.mark.parametrize(
    ("found", "telling"),
    [
        (replace(FIT, fields={"mounts": {"/srv": {}}}), "mounts: directories of the node"),
        (replace(FIT, fields={"features": ["fuse"]}), "features: "),
        (replace(FIT, backend="copy"), "is a copy"),
        (replace(FIT, own_filesystem=True), "a filesystem of its own"),
        (replace(FIT, label="lxc-web_//&:lxc-web_:unconfined (enforce)"), "under lxc-web_//&"),
        (replace(FIT, label=None), "under no profile"),
        (replace(FIT, processes=()), "no processes"),
        (replace(FIT, processes=(replace(INIT, descriptors=PRESSURE),)), "would spin"),
        (with_service(descriptors=frozenset({"/proc/pressure/memory"})), "journald (120) watches memory pressure"),
        (with_service(descriptors=frozenset({"anon_inode:bpf-prog"})), "journald (120) holds bpf-prog"),
        (with_service(descriptors=frozenset({"anon_inode:[io_uring]"})), "journald (120) holds [io_uring]"),
        (with_service(namespaces={**COMMON, "uts": "uts:[2]"}), "a uts namespace of its own (in a unit: Pro"),
        (with_service(namespaces={**COMMON, "net": "net:[2]"}), "PrivateNetwork="),
        (with_service(namespaces={**COMMON, "user": "user:[2]"}), "PrivateUsers="),
        (replace(FIT, mounts=MOUNTS | {("ramfs", "/run/credentials/a"), ("ramfs", "/run/credentials/b")}),
         "ramfs is mounted at /run/credentials/a and 1 more places"),
        (replace(FIT, mounts=MOUNTS | {("overlay", "/var/lib/docker/merged")}), "kind overlay is mounted at /var/"),
    ],
)  # fmt: skip
def test_each_finding_says_what_it_is(found: Look, telling: str) -> None:
    (finding,) = fitness.findings(found)
    assert telling in finding


def test_what_runs_here_is_seen_as_it_is(tmp_path: Path) -> None:
    host, box = boxes.host(tmp_path), boxes.box({}, pid=os.getpid(), directory=str(tmp_path))
    read, write = os.pipe()
    try:
        found = look.of(host, box)
    finally:
        os.close(read)
        os.close(write)
    (process,) = found.processes
    assert process.pid == os.getpid() and process.namespaces["uts"] == str(Path("/proc/self/ns/uts").readlink())
    assert any(descriptor.startswith("pipe:") for descriptor in process.descriptors)
    assert "/proc" in {place for kind, place in found.mounts if kind == "proc"}


def test_what_does_not_run_is_not_fit(tmp_path: Path) -> None:
    host = boxes.host(tmp_path)
    assert look.unfit(host, boxes.box({}, pid=None)) == ["it does not run"]
    assert look.unfit(host, boxes.box({}, pid=2**22 + 1))[-1] == "it ended while it was looked at"


def test_version_1_of_control_groups_forbids_it(tmp_path: Path) -> None:
    (lack,) = look.lacking(boxes.host(tmp_path, version=1))
    assert "version 1 of control groups" in lack


TRAITS: dict[str, Any] = {"criu": "4.1.1", "lxc": "6.0.4", "kernel": "6.12", "cpu": ["avx", "sse"], "apparmor": True}


@pytest.mark.parametrize(
    ("ours", "telling"),
    [
        ({"criu": "4.2"}, "it has criu 4.2, the other node 4.1.1"),
        ({"lxc": ""}, "it has lxc unknown, the other node 6.0.4"),
        ({"kernel": "6.18"}, "it has kernel 6.18, the other node 6.12"),
        ({"cpu": ["sse", "sse2"]}, "its processor has no avx"),
        ({"apparmor": False}, "AppArmor confines containers on one of the nodes"),
    ],
)
def test_nodes_that_differ_are_told_by_what(ours: dict[str, Any], telling: str) -> None:
    (reason,) = fitness.unlike(TRAITS, {**TRAITS, **ours})
    assert telling in reason


def test_a_processor_that_knows_more_is_no_hindrance() -> None:
    assert fitness.unlike(TRAITS, {**TRAITS, "cpu": ["avx", "avx512f", "sse"]}) == []


def test_this_node_has_what_is_compared() -> None:
    found = look.traits(Host())
    assert found.keys() == TRAITS.keys() and found["cpu"] and found["kernel"].count(".") == 1
