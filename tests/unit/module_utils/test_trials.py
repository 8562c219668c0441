# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.carve.vps.plugins.module_utils import trials

ALL = dict.fromkeys(("cpu", "cpuset", "memory", "pids", "io"), True)


def missing(available: set[str], known: dict[str, bool]) -> list[tuple[str, str]]:
    return [(lack.cure, lack.detail) for lack in trials.missing_controllers(available, known)]


def test_controllers_that_are_there() -> None:
    assert missing({"cpu", "cpuset", "io", "memory", "pids"}, ALL) == []


def test_a_controller_that_is_turned_off_is_the_command_lines() -> None:
    (lack,) = trials.missing_controllers({"cpu", "cpuset", "pids"}, {**ALL, "memory": False})
    assert (lack.need, lack.cure, lack.detail) == ("cgroups", trials.COMMAND_LINE, "memory")
    assert "cgroup_enable=memory" in lack.why


def test_a_controller_that_is_mounted_nowhere_is_for_a_person() -> None:
    assert missing({"cpu", "cpuset", "memory"}, ALL) == [(trials.PERSON, "")]


def test_a_controller_that_the_kernel_does_not_have_is_another_kernels() -> None:
    known = {name: on for name, on in ALL.items() if name != "pids"}
    assert missing({"cpu", "cpuset", "memory"}, known) == [(trials.KERNEL, "")]


def test_trials_leave_nothing_behind(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    trials.lacking(sorted(trials.TRIALS), str(tmp_path / "not" / "there"))
    assert list(tmp_path.iterdir()) == []
    assert Path("/proc/self/mounts").read_text(encoding="utf-8") == mounts


def test_a_place_that_no_overlay_can_lie_on_is_named(tmp_path: Path) -> None:
    """/proc carries no directories of anyone's making, so no trial of a mount can begin there."""
    lacks = trials.lacking(["idmapped_overlay", "overlay"], "/proc/carve")
    assert [lack.need for lack in lacks] == ["idmapped_overlay", "overlay"]
