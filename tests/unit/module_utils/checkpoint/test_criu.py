# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CRIU is called with, what it says, and what is left of its work when a run is killed."""

from __future__ import annotations

import fcntl
import itertools
import os
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.checkpoint import criu, suspend, tree
from ansible_collections.carve.vps.plugins.module_utils.engines import lxc
from ansible_collections.carve.vps.plugins.module_utils.host import Host

from unit.module_utils.facets import boxes

DUMP_LOG = """\
(00.000310) Version: 4.1.1 (gitid 0)
(00.512091) Warn  (criu/kerndat.c:1103): $XDG_RUNTIME_DIR not set
(03.120014) Error (criu/namespaces.c:481): Can't dump nested uts namespace for 4711
(03.120101) Error (criu/namespaces.c:745): Can't make utsns id
(03.450000) Error (criu/cr-dump.c:2098): Dumping FAILED.
"""
RESTORE_LOG = """\
(00.912091)      1: Error (criu/files-reg.c:2208): File var/log/x has bad size 10 (expect 12)
(00.998231)      1: Error (criu/files-reg.c:2208): File var/log/x has bad size 10 (expect 12)
     1: Error (criu/files-reg.c:2208): File var/log/x has bad size 10 (expect 12)
Error (criu/cr-restore.c:2320): Restoring FAILED.
"""
CONFIG = """\
lxc.mount.entry = /var/lib/lxcfs/proc/uptime proc/uptime none bind,optional 0 0
lxc.mount.entry = tmpfs srv tmpfs size=1m 0 0
lxc.mount.entry = /run/carve/shown/web dev/carve none bind,ro,create=dir 0 0
lxc.uts.name = web
"""


def test_the_errors_are_told_without_what_is_around_them() -> None:
    words = "Can't dump nested uts namespace for 4711; Can't make utsns id; Dumping FAILED."
    assert criu.words(DUMP_LOG) == words
    assert criu.words(RESTORE_LOG) == "File var/log/x has bad size 10 (expect 12); Restoring FAILED."
    assert criu.words("(00.1) Dumping finished successfully\n") == ""


def test_what_lxc_has_bound_is_named_to_the_dump() -> None:
    places = criu.bound_places(CONFIG)
    assert places == ["sys/fs/fuse/connections", "proc/uptime", "dev/carve"]
    arguments = criu.dump_arguments(42, "web", "/images", ["cpu", "memory"], places)
    assert arguments[:2] == ["criu", "dump"]
    pairs = list(itertools.pairwise(arguments))
    for pair in (
        ("-t", "42"), ("-D", "/images"), ("--cgroup-root", "cpu,memory:carve/web"),
        ("--freeze-cgroup", "/sys/fs/cgroup/carve/web"), ("--ext-mount-map", "/dev/carve:dev/carve"),
    ):  # fmt: skip
        assert pair in pairs


@pytest.mark.parametrize(("after", "spins"), [(10.0, False), (10.3, False), (10.46, True), (10.5, True)])
def test_an_init_that_uses_a_whole_processor_spins(after: float, spins: bool) -> None:
    assert suspend.is_spinning(10.0, after, 0.5) == spins


@pytest.fixture
def place(tmp_path: Path) -> tuple[Host, Path]:
    host = boxes.host(tmp_path)
    directory = Path(host.paths.container("web"))
    directory.mkdir(parents=True)
    return host, directory


def part(directory: Path, log: str) -> Path:
    made = directory / "memory.part"
    made.mkdir()
    (made / "dump.log").write_text(log, encoding="ascii")
    return made


def test_how_a_dump_ends_is_told_to_criu() -> None:
    def arguments(kind: str) -> list[str]:
        return criu.dump_arguments(42, "web", "/images", [], [], kind)

    assert "--leave-running" not in arguments(criu.WHOLE) and "--action-script" in arguments(criu.WHOLE)
    assert {"--leave-running", "--action-script"} <= set(arguments(criu.GOING_ON))
    assert arguments(criu.AHEAD)[1] == "pre-dump" and "--action-script" not in arguments(criu.AHEAD)


def test_memory_of_a_container_that_went_on_is_never_taken_for_a_suspended_ones(place: tuple[Host, Path]) -> None:
    host, directory = place
    made = directory / "memory.shot"
    made.mkdir()
    (made / "dump.log").write_text("(09.1) Dumping finished successfully\n", encoding="ascii")
    suspend.put_right(host, "web")
    assert list(directory.iterdir()) == [] and not suspend.is_suspended(str(directory))


def test_images_that_are_not_whole_go(place: tuple[Host, Path]) -> None:
    host, directory = place
    part(directory, DUMP_LOG)
    suspend.put_right(host, "web")
    assert list(directory.iterdir()) == [] and not suspend.is_suspended(str(directory))


def test_images_that_a_killed_run_has_not_named_are_taken_for_what_they_are(place: tuple[Host, Path]) -> None:
    host, directory = place
    part(directory, "(09.1) Dumping finished successfully\n")
    suspend.put_right(host, "web")
    assert suspend.is_suspended(str(directory)) and suspend.size(str(directory)) > 0
    suspend.put_right(host, "web")
    assert suspend.is_suspended(str(directory))


def test_nothing_is_done_while_criu_is_at_work(place: tuple[Host, Path]) -> None:
    host, directory = place
    made = part(directory, DUMP_LOG)
    fd = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(lxc.EngineError, match="is being checkpointed by a run that was killed"):
            suspend.put_right(host, "web")
    finally:
        os.close(fd)
    assert made.is_dir()


def test_images_are_given_up_whole(place: tuple[Host, Path]) -> None:
    _host, directory = place
    (directory / "memory").mkdir()
    (directory / "memory" / "core-1.img").write_bytes(b"1")
    suspend.discard(str(directory))
    assert list(directory.iterdir()) == []
    suspend.discard(str(directory))


def test_groups_are_made_again_as_they_were(tmp_path: Path) -> None:
    """On directories that are no control groups, where values are files as well."""
    before, after = tmp_path / "before", tmp_path / "after"
    inner = before / "system.slice" / "a.service"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o775)
    for directory, text in ((before, "cpu memory"), (before / "system.slice", "memory")):
        (directory / "cgroup.subtree_control").write_text(text, encoding="ascii")
    (inner / "memory.max").write_text("1048576\n", encoding="ascii")
    (inner / "memory.max").chmod(0o664)
    groups = tree.save(str(before))
    assert [group["path"] for group in groups] == [".", "system.slice", "system.slice/a.service"]
    assert groups[0]["controllers"] == ["cpu", "memory"]
    tree.make(str(after), groups)
    made = after / "system.slice" / "a.service" / "memory.max"
    assert made.read_text(encoding="ascii") == "1048576"
    assert (made.stat().st_mode & 0o777, made.parent.parent.stat().st_mode & 0o777) == (0o664, 0o775)


def test_no_group_is_made_outside(tmp_path: Path) -> None:
    group = {"path": "../other", "owner": [0o755, 0, 0], "files": {}, "controllers": [], "knobs": {}}
    with pytest.raises(OSError, match="no group of the container's"):
        tree.make(str(tmp_path / "web"), [group])
    assert not (tmp_path / "other").exists()
