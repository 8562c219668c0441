# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory and swap: what is written, in which order, and that no moment is unlimited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils.facets import memory
from ansible_collections.carve.vps.plugins.module_utils.facets.memory import Memory
from ansible_collections.carve.vps.plugins.module_utils.host import Host
from ansible_collections.carve.vps.plugins.module_utils.steps import Change
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit.module_utils.facets import boxes

M = 1 << 20
LIMIT, MEMSW = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
SOFT, LOW = "memory.soft_limit_in_bytes", "memory.min"
by_version = pytest.mark.parametrize("version", [1, 2])


def apply(host: Host, before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    """What is written when a container's declared memory changes."""
    written: list[tuple[str, str]] = host.cgroup.written  # type: ignore[attr-defined]
    written.clear()
    changes = [Change(field, before.get(field), after.get(field)) for field in sorted({*before, *after})]
    changes = [change for change in changes if change.before != change.after]
    Memory().apply_live(host, boxes.box(before), changes)
    return list(written)


def observed(host: Host) -> dict[str, Any]:
    """What is found; of the guarantee only where there is one."""
    seen = Memory().observe(host, [boxes.box({})])["web"]
    return {row: value for row, value in seen.items() if row != "ram_guarantee" or value is not None}


def use(tmp_path: Path, **files: str) -> None:
    for file, text in files.items():
        (tmp_path / "cgroup" / f"memory.{file}").write_text(text, encoding="ascii")


@pytest.mark.parametrize(
    ("version", "fields", "lines"),
    [
        (2, {"ram": 512 * M, "swap": 0}, [("cgroup2.memory.max", "536870912"), ("cgroup2.memory.swap.max", "0")]),
        (2, {"swap": M}, [("cgroup2.memory.swap.max", "1048576")]),
        (1, {"ram": 2 * M, "swap": M}, [(f"cgroup.{LIMIT}", "2097152"), (f"cgroup.{MEMSW}", "3145728")]),
        (1, {"ram": 2 * M}, [(f"cgroup.{LIMIT}", "2097152")]),
        (1, {}, []),
        (2, {}, []),
    ],
)
def test_at_boot(tmp_path: Path, version: int, fields: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    expected = [(f"lxc.{key}", value) for key, value in lines]
    # Without it, no guarantee would be the greatest one.
    expected += [(f"lxc.cgroup.{SOFT}", "0")] if version == 1 else []
    assert Memory().boot_config(boxes.host(tmp_path, version), boxes.box(fields)) == expected


@by_version
@pytest.mark.parametrize(
    "fields", [{"ram": 512 * M, "swap": 256 * M}, {"ram": 512 * M, "swap": 0}, {"ram": 512 * M}, {}]
)
def test_what_is_written_is_read_back(tmp_path: Path, version: int, fields: dict[str, Any]) -> None:
    host = boxes.host(tmp_path, version)
    apply(host, {}, fields)
    assert observed(host) == {"ram": None, "swap": None, **fields}
    apply(host, fields, {})
    assert observed(host) == {"ram": None, "swap": None}


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        ((100, 100), (200, 100), [MEMSW, LIMIT]),
        ((200, 100), (100, 100), [LIMIT, MEMSW]),
        ((100, 300), (200, 50), [MEMSW, LIMIT]),
        ((200, 50), (100, 300), [LIMIT, MEMSW]),
        ((100, 100), (100, 200), [MEMSW, LIMIT]),
    ],
)
def test_version_1_never_has_memory_above_both(
    tmp_path: Path, before: tuple[int, int], after: tuple[int, int], order: list[str]
) -> None:
    host = boxes.host(tmp_path, 1)
    was, becomes = ({"ram": ram * M, "swap": swap * M} for ram, swap in (before, after))
    apply(host, {}, was)
    assert [file for file, _value in apply(host, was, becomes)] == order


sizes = st.integers(4, 4096).map(lambda megabytes: megabytes * M)
options = st.fixed_dictionaries({"ram": sizes}, optional={"swap": st.just(0) | sizes})


@by_version
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=options, after=options)
def test_no_moment_is_unlimited_and_none_refused(
    tmp_path_factory: pytest.TempPathFactory, version: int, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Version 1 refuses memory above memory and swap; neither may be lifted on the way from one limit to another."""
    host = boxes.host(tmp_path_factory.mktemp("memory"), version)
    apply(host, {}, before)
    limits = dict(host.cgroup.written)  # type: ignore[attr-defined]
    for file, value in apply(host, before, after):
        lifted = value in ("-1", "max")
        assert not lifted or (("swap" in file or file == MEMSW) and "swap" not in after)
        limits[file] = value
        if version == 1 and limits.get(MEMSW, "-1") != "-1":
            assert int(limits[LIMIT]) <= int(limits[MEMSW])
    assert observed(host) == {"swap": None, **after}


@by_version
def test_what_is_not_declared_keeps_what_it_has(tmp_path: Path, version: int) -> None:
    """Somebody has limited swap by hand, and only RAM is declared; and the other way round."""
    host = boxes.host(tmp_path, version)
    apply(host, {}, {"ram": 100 * M, "swap": 50 * M})
    apply(host, {"ram": 100 * M}, {"ram": 200 * M})
    assert observed(host) == {"ram": 200 * M, "swap": 50 * M}
    apply(host, {"ram": 200 * M}, {"ram": 60 * M})
    assert observed(host) == {"ram": 60 * M, "swap": 50 * M}
    apply(host, {"swap": 50 * M}, {"swap": 0})
    assert observed(host) == {"ram": 60 * M, "swap": 0}


@by_version
def test_a_reboot_inside_leaves_no_limit_that_is_not_declared(tmp_path: Path, version: int) -> None:
    """LXC makes the group anew as it was at the first start, which is older than what was changed since."""
    host = boxes.host(tmp_path, version)
    apply(host, {}, {"ram": 100 * M, "swap": 50 * M})
    Memory().reapply(host, boxes.box({"ram": 200 * M}))
    assert observed(host) == {"ram": 200 * M, "swap": None}


@pytest.mark.parametrize(
    ("version", "files", "in_use"),
    [
        (2, {"current": "1000", "stat": "active_file 100\ninactive_file 200\nslab_reclaimable 50\nanon 5"}, 650),
        (1, {"usage_in_bytes": "1000", "stat": "active_file 1\ntotal_active_file 100\ntotal_inactive_file 200"}, 700),
        (2, {"current": "10", "stat": "active_file 100"}, 0),
    ],
)
def test_memory_in_use_is_what_reclaim_cannot_free(
    tmp_path: Path, version: int, files: dict[str, str], in_use: int
) -> None:
    host = boxes.host(tmp_path, version)
    use(tmp_path, **files)
    assert memory.in_use(host, boxes.box({})) == in_use


@by_version
def test_a_limit_below_what_is_in_use_is_not_even_tried(tmp_path: Path, version: int) -> None:
    """Version 2 would take it and kill processes until it holds."""
    host = boxes.host(tmp_path, version)
    use(tmp_path, **{1: {"usage_in_bytes": str(100 * M)}, 2: {"current": str(100 * M)}}[version])
    with pytest.raises(OSError, match=r"104857600 bytes of memory are in use, more than the 52428800"):
        apply(host, {"ram": 200 * M}, {"ram": 50 * M})
    assert host.cgroup.written == []  # type: ignore[attr-defined]


def test_version_1_without_swap_accounting(tmp_path: Path) -> None:
    host = boxes.host(tmp_path, 1)
    (tmp_path / "cgroup" / MEMSW).unlink()
    assert apply(host, {}, {"ram": 64 * M}) == [(LIMIT, str(64 * M))]
    assert observed(host) == {"ram": 64 * M, "swap": None}


@by_version
def test_a_stopped_container_is_neither_read_nor_written(tmp_path: Path, version: int) -> None:
    host = boxes.host(tmp_path, version)
    stopped = boxes.box({"ram": 64 * M}, pid=None)
    Memory().apply_live(host, stopped, [Change("ram", None, 64 * M)])
    assert host.cgroup.written == []  # type: ignore[attr-defined]
    assert Memory().observe(host, [stopped]) == {}


@pytest.mark.parametrize(("version", "file", "prefix"), [(1, SOFT, "lxc.cgroup."), (2, LOW, "lxc.cgroup2.")])
def test_a_guarantee(tmp_path: Path, version: int, file: str, prefix: str) -> None:
    host = boxes.host(tmp_path, version)
    assert (prefix + file, str(256 * M)) in Memory().boot_config(host, boxes.box({"ram_guarantee": 256 * M}))
    assert apply(host, {}, {"ram_guarantee": 256 * M}) == [(file, str(256 * M))]
    assert observed(host)["ram_guarantee"] == 256 * M
    assert apply(host, {"ram_guarantee": 256 * M}, {}) == [(file, "0")]
    assert "ram_guarantee" not in observed(host)
