# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rebuild on trial: the old root filesystem is kept until the new one has passed its gate.

The old and the new container are two whole directories, ``containers/NAME`` and ``kept/NAME``, that change places in
one system call. The new one bears a mark, so that at any instant it is known which is which, and a run that is killed
leaves one of these:

* the mark is in ``kept/NAME``: the new one never took its place, or has left it again; it is nothing, and removed.
* the mark is in ``containers/NAME``: the new one is on trial. The next run's plan says so (``prove``) and asks the gate
  again; only a gate that fails, never a killed run, rolls a container back.
* the mark is in neither: the gate was passed; what is kept is nothing any more, and removed.
"""

from __future__ import annotations

import contextlib
import os

from . import files, record
from .host import Box, Host
from .paths import Paths

_MARK = "trial.json"


def mark(directory: str, running: bool, batch: files.Batch) -> None:
    """Say of a staged container that it will be on trial; ``running`` is whether the one that it replaces runs."""
    batch.write(f"{directory}/{_MARK}", files.as_json({"running": running}), mode=0o600)


def is_on(directory: str) -> bool:
    return os.path.exists(f"{directory}/{_MARK}")


def was_running(directory: str) -> bool:
    """Of a container on trial, whether the one that it replaces ran."""
    return bool((files.read_json(f"{directory}/{_MARK}") or {}).get("running"))


def begin(paths: Paths, name: str, staged: str) -> str | None:
    """Give a staged container, which is marked, its place. What it replaces is kept, unless something better is kept
    already: a rebuild of what never passed its gate. Returns the directory to be removed in that case."""
    place = paths.container(name)
    if kept(paths, name):
        files.exchange(staged, place)
        files.sync([paths.containers])
        return staged
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{place}/{_MARK}")  # with nothing kept beside it, it says nothing
    os.makedirs(paths.kept, mode=0o711, exist_ok=True)
    os.rename(staged, _kept(paths, name))
    files.sync([paths.kept])
    files.exchange(_kept(paths, name), place)
    files.sync([paths.kept, paths.containers])
    return None


def kept(paths: Paths, name: str) -> tuple[str, str] | None:
    """The template and version of what is kept of a container that is on trial."""
    old = record.load(_kept(paths, name)) if is_on(paths.container(name)) else None
    return (str(old.fields["template"]), old.digest) if old else None


def accept(paths: Paths, name: str) -> None:
    """The end of a trial that was passed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{paths.container(name)}/{_MARK}")
    files.sync([paths.container(name)])
    forget(paths, name)


def roll_back(host: Host, box: Box) -> Box:
    """The end of a trial that was not: the old container is in its place again, and runs if it did before."""
    from . import power  # every run looks for trials, and few roll back

    paths, name = host.paths, box.name
    to_be_started = was_running(box.directory)
    old = record.load(_kept(paths, name))
    if old is None:
        raise OSError(f"{_kept(paths, name)} holds no container that could be rolled back to")
    # Nothing of the new one is to be kept, so nothing is gained by waiting for its services.
    power.stop(host, box, timeout=0)
    files.exchange(_kept(paths, name), box.directory)
    files.sync([paths.kept, paths.containers])
    before = Box(old, box.directory)
    if to_be_started:
        power.start(host, before)
    forget(paths, name)
    return before


def forget(paths: Paths, name: str) -> None:
    """Remove what is kept of a container."""
    aside = f"{paths.staging}/{name}.kept"
    files.remove_tree(aside)
    with contextlib.suppress(FileNotFoundError):
        os.rename(_kept(paths, name), aside)
        files.remove_tree(aside)


def over(paths: Paths) -> list[str]:
    """Of which containers killed runs have left something of a trial that is over or never began, to be forgotten."""
    names = sorted(os.listdir(paths.kept))
    return [name for name in names if not is_on(paths.container(name)) or is_on(_kept(paths, name))]


def _kept(paths: Paths, name: str) -> str:
    return f"{paths.kept}/{name}"
