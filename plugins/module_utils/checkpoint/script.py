# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CRIU calls on the node during a checkpoint and a restore (criu(8), --action-script).

* ``post-dump``, all frozen and written: keep what CRIU does not, and put all of it on disk. Where that fails, so does
  the dump, and the container goes on running.
* ``post-setup-namespaces``, of a restore that has just begun: make the control groups again.
* ``post-restore``, all made anew and nothing running yet: put in place what LXC does at a start and not at a restore,
  and what CRIU cannot know of. A container whose limits cannot be put back does not run.
"""

from __future__ import annotations

import os
import sys

from .. import files
from ..kernel import cgroup, syscalls
from ..paths import USED, Paths
from . import tree

GROUPS = "carve-groups.json"


def main(_arguments: list[str]) -> int:
    action, images = os.environ.get("CRTOOLS_SCRIPT_ACTION", ""), os.environ.get("CRTOOLS_IMAGE_DIR", "")
    work = {"post-dump": _keep, "post-setup-namespaces": _make_groups, "post-restore": _put_in_place}.get(action)
    if work is None:
        return 0
    try:
        return work(os.path.realpath(images))
    except OSError as error:
        sys.stderr.write(f"carve: {error}\n")
        return 1


def _top(images: str) -> str:
    """The control group of the container in whose directory the images lie."""
    return f"{cgroup.ROOT}/{cgroup.PARENT}/{os.path.basename(os.path.dirname(images))}"


def _paths(directory: str) -> Paths:
    """Those of the node, by the directory of a container."""
    return Paths(base=os.path.dirname(os.path.dirname(directory)))


def _keep(images: str) -> int:
    from .. import hook
    from . import shot, suspend

    directory = os.path.dirname(images)
    paths, name = _paths(directory), os.path.basename(directory)
    files.write_json(f"{images}/{GROUPS}", tree.save(_top(images)), mode=0o600)
    if os.path.basename(images) == suspend.SHOT:
        return 0 if shot.may_go_on(paths.still(name)) else 1
    # Of one that was restored itself, LXC does not tell the hook before its pairs are gone.
    hook.keep_use(paths, name, directory)
    # Also what the container has written itself: its memory says that it has.
    syscalls.sync_filesystem(images)
    return 0


def _make_groups(images: str) -> int:
    groups = files.read_json(f"{images}/{GROUPS}")
    if not isinstance(groups, list):
        raise OSError(f"{images} holds no control groups")
    tree.make(_top(images), groups)
    return 0


def _put_in_place(images: str) -> int:
    from .. import hook, record
    from ..facets import network
    from ..host import Box
    from ..kernel import links

    directory = os.path.dirname(images)
    found = record.load(directory)
    if found is None:
        raise OSError(f"{directory} holds no container of Carve's")
    # CRIU leaves the node's end of a pair down that it plugs into no bridge.
    for end in network.ends(Box(found, directory)):
        links.set_link(end, state="up")
    os.environ["LXC_PID"] = os.environ["CRTOOLS_INIT_PID"]
    status = hook.put_in_place(_paths(directory), directory, reboot=True, restored=True)
    if not status:
        # From here on it may run at any moment. Whatever comes of that, its files are then newer than this memory.
        files.write(f"{images}/{USED}", "")
    return status
