# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a container is: blocks in files that are the container's own, and what is read back of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.carve.vps.plugins.module_utils import kinds, model, rootfs
from ansible_collections.carve.vps.plugins.module_utils.facets import identity
from ansible_collections.carve.vps.plugins.module_utils.facets.identity import Identity
from ansible_collections.carve.vps.plugins.module_utils.host import Box, Host
from ansible_collections.carve.vps.plugins.module_utils.steps import Change
from hypothesis import assume, example, given
from hypothesis import strategies as st

from unit.module_utils.facets import boxes

BEGIN, END = identity._BEGIN, identity._END
# One line as the field table lets it in.
KEY = model.row("ssh_keys")
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
lines = st.lists(texts | st.sampled_from([f"{BEGIN} x", f"x {END}", f"{END}x", "# END"]), max_size=4)
files = st.lists(
    st.text("ab \n\r#é\u2028", max_size=8) | st.sampled_from(["\n", f" {BEGIN}\n", f"x{END}\n"]), max_size=6
)


def canonical(value: list[str]) -> list[str]:
    try:
        found: list[str] = kinds.KINDS["lines"].parse(value, KEY)
    except ValueError:
        assume(False)
    return found


@given(files.map("".join), lines, lines)
@example("a\n", ["k\u2028j"], [f"x {END}"])
def test_a_block_is_read_as_it_was_written_and_the_rest_is_kept(text: str, first: list[str], second: list[str]) -> None:
    first, second = canonical(first), canonical(second)
    assume(identity._split(text)[1] is None)
    once = identity._with_block(text, first)
    assert (identity._split(once)[1] or []) == first
    assert identity._with_block(once, first) == once
    twice = identity._with_block(once, second)
    assert (identity._split(twice)[1] or []) == second
    # The file comes back whole, but for a line end that it lacked.
    assert identity._with_block(twice, []) in (text, f"{text}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f"{BEGIN}\nk\n{END}\n"),
        ("a", f"a\n{BEGIN}\nk\n{END}\n"),
        (f"a\n{BEGIN}\nold\n{END}\nb\n", f"a\n{BEGIN}\nk\n{END}\nb\n"),
        (f"a\n{BEGIN}\nold\n{END}", f"a\n{BEGIN}\nk\n{END}\n"),
        (f"{BEGIN}\n{END}\n", f"{BEGIN}\nk\n{END}\n"),
        # Half a block is not one.
        (f"{BEGIN}\nold\n", f"{BEGIN}\nold\n{BEGIN}\nk\n{END}\n"),
    ],
)
def test_blocks(text: str, expected: str) -> None:
    assert identity._with_block(text, ["k"]) == expected


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The root filesystem of a container, open for writing; reading needs no help, it looks into ``upper``."""
    upper = tmp_path / "upper"
    (upper / "etc").mkdir(parents=True)
    fd = os.open(upper, os.O_PATH)
    monkeypatch.setattr(rootfs, "_tree", lambda paths, box: os.dup(fd))
    (tmp_path / "root").mkdir()
    yield upper
    os.close(fd)


def stopped(tmp_path: Path, fields: dict[str, Any]) -> Box:
    return boxes.box(fields, pid=None, directory=str(tmp_path))


def declare(host: Host, box: Box, fields: dict[str, Any]) -> None:
    """Declare other values, as a step does: the files first, the record after."""
    Identity().apply_live(host, box, [Change(path, box.record.fields.get(path), v) for path, v in fields.items()])
    box.record = box.record.with_fields(fields)


def observed(host: Host, box: Box) -> dict[str, Any]:
    return Identity().observe(host, [box])["web"]


FIELDS: dict[str, Any] = {
    "hostname": "web.example.net",
    "nameservers": ["192.0.2.53", "2001:db8::53"],
    "search_domains": ["example.net", "example.org"],
    "hosts": {"db": "10.20.0.5", "db6": "fd00::5"},
    "ssh_keys": ["ssh-ed25519 AAAA ops@example.net"],
}


def test_a_new_container_is_furnished(tmp_path: Path, root: Path) -> None:
    host, box = boxes.host(tmp_path), stopped(tmp_path, FIELDS)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
    identity.furnish(host, box)
    expected = {
        "etc/hostname": "web.example.net\n",
        "etc/resolv.conf": "search example.net example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n",
        "etc/machine-id": "0" * 32 + "\n",
    }
    assert {path: (root / path).read_text(encoding="utf-8") for path in expected} == expected
    assert (root / "etc/hosts").read_text(encoding="utf-8") == (
        f"127.0.0.1 localhost\n{BEGIN}\n127.0.1.1 web.example.net web\n10.20.0.5 db\nfd00::5 db6\n{END}\n"
    )
    assert observed(host, box) == FIELDS
    keys = (root / "root/.ssh/authorized_keys").stat()
    assert (keys.st_uid, keys.st_mode & 0o777) == (box.record.base_id, 0o600)


@pytest.mark.parametrize(
    "change",
    [
        {"hostname": "other"},
        {"nameservers": ["::1"]},
        {"nameservers": []},
        {"search_domains": []},
        {"search_domains": None},
        {"hosts": {}},
        {"hosts": None},
        {"hosts": {"x": "127.0.1.1"}},
        {"ssh_keys": []},
        {"ssh_keys": None},
        {"ssh_keys": ["k1", "k\u2028 2", "# END carve x"]},
        {"nameservers": None, "search_domains": None},
    ],
)
def test_what_is_changed_is_read_back(tmp_path: Path, root: Path, change: dict[str, Any]) -> None:
    host, box = boxes.host(tmp_path), stopped(tmp_path, FIELDS)
    identity.furnish(host, box)
    declare(host, box, change)
    seen = observed(host, box)
    assert {path: seen[path] for path in box.record.fields if path in FIELDS} == {
        path: value for path, value in {**FIELDS, **change}.items() if value is not None
    }


def test_what_is_not_declared_belongs_to_the_container(tmp_path: Path, root: Path) -> None:
    host, box = boxes.host(tmp_path), stopped(tmp_path, {})
    identity.furnish(host, box)
    (root / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n", encoding="utf-8")
    (root / "etc/hosts").write_text((root / "etc/hosts").read_text(encoding="utf-8") + "::5 mine\n", encoding="utf-8")
    assert observed(host, box) == {"hostname": "web", "hosts": {}}
    declare(host, box, {"hostname": "other", "hosts": {"a": "::1"}})
    assert (root / "etc/hosts").read_text(encoding="utf-8").endswith(f"::1 a\n{END}\n::5 mine\n")
    assert (root / "etc/resolv.conf").read_text(encoding="utf-8") == "nameserver 192.0.2.1\n"


@pytest.mark.parametrize(
    ("path", "text", "seen"),
    [
        ("etc/hostname", "evil\n", {"hostname": "evil"}),
        ("etc/hostname", "", {"hostname": None}),
        ("etc/hosts", "", {"hostname": None, "hosts": {}}),
        ("etc/hosts", f"{BEGIN}\n127.0.1.1 web.example.net\n::9 db\n\n# x\n{END}", {"hosts": {"db": "::9", "x": "#"}}),
        ("etc/resolv.conf", "nameserver 10.9.9.9\n", {"nameservers": ["10.9.9.9"], "search_domains": []}),
        ("root/.ssh/authorized_keys", "mine\n", {"ssh_keys": []}),
        ("root/.ssh/authorized_keys", f"mine\n{BEGIN}\nevil\n{END}\n", {"ssh_keys": ["evil"]}),
    ],
)  # fmt: skip
def test_what_was_changed_by_hand_is_seen(
    tmp_path: Path, root: Path, path: str, text: str, seen: dict[str, Any]
) -> None:
    host, box = boxes.host(tmp_path), stopped(tmp_path, FIELDS)
    identity.furnish(host, box)
    (root / path).write_text(text, encoding="utf-8")
    assert observed(host, box) == {**FIELDS, **seen}


@pytest.mark.parametrize("path", ["etc/hosts", "etc/hostname", "etc/resolv.conf", "root/.ssh/authorized_keys"])
def test_traps_are_seen_as_nothing_and_harm_nobody_else(tmp_path: Path, root: Path, path: str) -> None:
    """Whatever a container lays there, the node's run goes on."""
    host, box = boxes.host(tmp_path), stopped(tmp_path, FIELDS)
    identity.furnish(host, box)
    clean = observed(host, box)
    trap = root / path
    for lay in (os.mkfifo, os.mkdir, lambda at: at.symlink_to("/etc/passwd"), _huge):
        trap.unlink() if not trap.is_dir() else trap.rmdir()
        lay(trap)
        assert observed(host, box) != clean


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def test_at_boot(tmp_path: Path) -> None:
    lines = Identity().boot_config(boxes.host(tmp_path), boxes.box({"hostname": "a.b"}))
    assert lines == [("lxc.uts.name", "a.b")]
