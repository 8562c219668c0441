# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs and moves that were killed have left on a node."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from . import files, record, trial
from .checkpoint import suspend
from .engines import lxc
from .host import Host
from .kernel import freezer
from .paths import RETURNING


def are_there(host: Host) -> bool:
    """Whether a run that changes nothing else should be made for it. Another run may be busy with what looks so."""
    places = (host.paths.staging, host.paths.incoming)
    if any(os.path.isdir(place) and os.listdir(place) for place in places):
        return True
    return any(suspend.has_leftovers(host.paths.container(name)) for name in lxc.names(host))


def clear(host: Host) -> list[str]:
    """Remove it; the lock, which the caller has, says that nobody is making it any more.

    What cannot be removed is told, a sentence each, and keeps nothing else from being removed.
    """
    paths, problems = host.paths, list[str]()
    with _told(problems, "what was frozen"):
        freezer.thaw_leftovers(paths, host.cgroup)
    for name in trial.over(paths):
        with _told(problems, f"{paths.kept}/{name}"):
            trial.forget(paths, name)
    for name in sorted(os.listdir(paths.staging)):
        with _told(problems, f"{paths.staging}/{name}"):
            files.remove_mounted_tree(f"{paths.staging}/{name}")
    if os.listdir(paths.incoming):
        from .moves import incoming  # seldom needed

        with _told(problems, paths.incoming):
            incoming.clear_abandoned(host)
    for name in lxc.names(host):
        with _told(problems, paths.container(name)):
            _put_right(host, name)
    return problems


def _put_right(host: Host, name: str) -> None:
    # Where CRIU is still at work, whatever concerns that container says so itself.
    with contextlib.suppress(lxc.EngineError):
        suspend.put_right(host, name)
    directory = host.paths.container(name)
    if os.path.exists(f"{directory}/{record.FILE}"):
        for file in (record.FILE, lxc.CONFIG):
            files.remove_unfinished(f"{directory}/{file}")
        _forget_return(host, name, f"{directory}/{RETURNING}")


def _forget_return(host: Host, name: str, note: str) -> None:
    """A roll back was killed: its note, that the container is to be started, is for whoever repeats it. It is over
    where the container runs, and where it is declared that it does not."""
    if not os.path.exists(note):
        return
    here = record.load(host.paths.container(name))
    if (here and here.fields.get("state") in ("stopped", "suspended")) or lxc.init_pid(host, name) is not None:
        os.unlink(note)


@contextlib.contextmanager
def _told(problems: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problems.append(f"what a run that was killed has left is still there: {what}: {error}")
