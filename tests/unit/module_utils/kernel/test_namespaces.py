# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Visits to other namespaces end where they began, and a user namespace carries the ids of a container."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import namespaces, syscalls


def test_work_is_done_in_a_thread_of_its_own() -> None:
    assert namespaces.inside(threading.get_ident) != threading.get_ident()


def test_a_visit_leaves_the_visitor_where_it_was() -> None:
    def visit() -> str:
        syscalls.unshare(syscalls.CLONE_NEWUTS)
        syscalls.sethostname("elsewhere")
        return os.uname().nodename

    before = os.uname().nodename
    assert namespaces.inside(visit) == "elsewhere"
    assert os.uname().nodename == before


def test_what_goes_wrong_inside_comes_out() -> None:
    def fail() -> None:
        raise PermissionError("no")

    with pytest.raises(PermissionError, match="no"):
        namespaces.inside(fail)
    with pytest.raises(FileNotFoundError):
        namespaces.inside(os.getpid, (syscalls.CLONE_NEWNET, "/proc/0/ns/net"))


def test_a_user_namespace_has_the_ids_of_its_slot_and_no_process() -> None:
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = children.read_text(encoding="ascii")
    fd = namespaces.userns_fd(20)
    try:
        assert str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("user:[")
        assert os.fstat(fd).st_ino != Path("/proc/self/ns/user").stat().st_ino
        assert children.read_text(encoding="ascii") == before
    finally:
        os.close(fd)


def test_many_at_once_leave_no_descriptor_open() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for slot in range(16, 24):
        os.close(namespaces.userns_fd(slot))
    assert set(Path("/proc/self/fd").iterdir()) == before
