# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that stay on a node: they bring all that they import, and nothing that a node has not."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils import runtime

HERE = Path(runtime.__file__).parent
# Debian's own, which bootstrap installs.
ON_THE_NODE = {"pyroute2"}


def imports(module: str) -> Iterator[tuple[int, str, str]]:
    """Every import of a module, wherever it stands: level, module, name."""
    for node in ast.walk(ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def own(module: str) -> Iterator[str]:
    """The modules of this package that a module imports, and the packages that they are in."""
    for level, name, member in imports(module):
        if level:
            package = Path(module).parts[:-level] + tuple(filter(None, name.split(".")))
            for parts in (package, (*package, member)):
                if (HERE / "/".join(parts)).with_suffix(".py").is_file():
                    yield "/".join(parts)
                    yield from ("/".join((*parts[:end], "__init__")) for end in range(1, len(parts)))
                elif parts and (HERE / "/".join(parts) / "__init__.py").is_file():
                    yield "/".join((*parts, "__init__"))


def closure(*modules: str) -> set[str]:
    found: set[str] = set()
    todo = list(modules)
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += own(module)
    return found


def test_they_are_all_that_the_programs_import() -> None:
    programs = ("hook", "boot", "checkpoint/script", "moves/arrive", "snapshots/scheduled", "usage")
    assert sorted(runtime.MODULES) == sorted(closure(*programs))
    assert len(set(runtime.MODULES)) == len(runtime.MODULES)


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_nothing_that_travels_imports_what_a_node_has_not(path: Path) -> None:
    module = str(path.relative_to(HERE).with_suffix(""))
    for level, name, _member in imports(module):
        if level:
            assert level <= len(Path(module).parts), f"{module} reaches above module_utils"
        else:
            assert name.split(".")[0] in sys.stdlib_module_names | ON_THE_NODE, f"{module} imports {name}"


def installed(tmp_path: Path) -> Path:
    library = tmp_path / "lib"
    runtime.install(str(library), str(tmp_path / "systemd"))
    return library


def test_they_are_installed_and_known(tmp_path: Path) -> None:
    assert runtime.installed(str(tmp_path / "lib")) is None
    library = installed(tmp_path)
    assert runtime.installed(str(library)) == runtime.digest()
    for target, unit, line in (
        ("multi-user", "carve.service", f"ExecStart={library}/boot start\n"),
        ("multi-user", "carve-shutdown.service", f"ExecStop={library}/boot stop\n"),
        ("timers", "carve-usage.timer", "OnUnitActiveSec=1min\n"),
        ("timers", "carve-snapshots.timer", "OnCalendar=*:0/5\n"),
    ):
        wants = tmp_path / f"systemd/{target}.target.wants/{unit}"
        assert wants.resolve() == tmp_path / f"systemd/{unit}"
        assert line in wants.read_text(encoding="utf-8")
    service = (tmp_path / "systemd/carve-usage.service").read_text(encoding="utf-8")
    assert f"ExecStart={library}/usage\n" in service
    service = (tmp_path / "systemd/carve-snapshots.service").read_text(encoding="utf-8")
    assert f"ExecStart={library}/scheduled\n" in service


def test_installing_again_changes_nothing_and_older_versions_go(tmp_path: Path) -> None:
    library = installed(tmp_path)
    (library / "0ld" / "carve").mkdir(parents=True)
    assert installed(tmp_path) == library
    assert {path.name for path in library.iterdir()} == {
        "arrive", "boot", "checkpoint", "hook", "scheduled", "usage", "current", runtime.digest(),
    }  # fmt: skip


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd="/", env={**os.environ, **environment}
    )


def test_they_run_from_where_they_are_installed(tmp_path: Path) -> None:
    library = installed(tmp_path)
    config = tmp_path / "containers/web/config"
    result = run(library / "hook", "web", "lxc", "pre-start", LXC_CONFIG_FILE=str(config))
    assert (result.returncode, result.stderr) == (1, f"carve: {config.parent} holds no container of Carve's\n")
    (config.parent / "memory").mkdir(parents=True)
    result = run(library / "hook", "web", "lxc", "pre-start", LXC_CONFIG_FILE=str(config))
    assert (result.returncode, result.stderr) == (
        1, "carve: web is suspended, and its memory would be lost; resume it, or stop it first\n"
    )  # fmt: skip
    for may_start in ({"CARVE_RESTORING": "1"}, {}):
        result = run(library / "hook", "web", "lxc", "pre-start", LXC_CONFIG_FILE=str(config), **may_start)
        assert "holds no container of Carve's" in result.stderr
        (config.parent / "memory/used").touch()
    result = run(library / "boot", "again")
    assert (result.returncode, result.stderr) == (2, "usage: boot start | stop | again NAME\n")


def test_what_lxc_reads_is_beside_them(tmp_path: Path) -> None:
    seccomp = (installed(tmp_path) / "current/live.seccomp").read_text(encoding="ascii")
    assert seccomp.startswith("2\ndenylist\n") and "\nbpf errno 1\n" in seccomp


def test_all_of_them_can_be_loaded_there(tmp_path: Path) -> None:
    names = [f"carve.{module.replace('/', '.')}" for module in runtime.MODULES]
    code = f"import sys; sys.path.insert(0, {str(installed(tmp_path) / 'current')!r})\nimport {', '.join(names)}"
    result = subprocess.run(["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
