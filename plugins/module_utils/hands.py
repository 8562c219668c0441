# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hands for each kind of step.

A step leaves the node either before it or after it. What is made is made in ``staging/`` and becomes visible by one
rename; what is changed is changed in the kernel first and recorded after, so that the run after one that was killed in
between finds the same difference again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from . import bridges, builder, facets, files, fullness, gate, model, power, removal, rootfs, runtime, store, trial
from .checkpoint import suspend
from .desired import Desired
from .engines import lxc
from .facets import disk, identity, memory, network
from .host import Box, Host
from .kernel import quota, syscalls
from .moves import setaside
from .paths import ARRIVED
from .record import Record
from .snapshots import shelf
from .steps import Step

# What is left of a container's own disk, if it has one, and of the node's.
Rooms = tuple["fullness.Room | None", "fullness.Room"]


@dataclass
class Verdict:
    """What became of a container that did not pass its gate, or that failed before it."""

    # Why the gate was not passed; ``None`` for one that was not asked.
    reason: str | None
    # What the container is made from again.
    rolled_back: str | None = None
    # What went wrong in ending the trial.
    problem: str | None = None


class Hands:
    """Does one step at a time; several threads may use one object for different containers."""

    def __init__(self, host: Host, desired: Desired, boxes: dict[str, Box]) -> None:
        self._host, self._desired, self._boxes = host, desired, boxes
        self._guard = threading.Lock()
        self._backends: dict[str, str] = {}
        self._unsaved: dict[str, Box] = {}
        self._staged: list[Box] = []
        # Of containers that could not be made: what was left when that failed.
        self._failed_with: dict[str, Rooms] = {}

    def do(self, step: Step) -> None:
        """Carry one step out. Raises ``OSError``, ``lxc.EngineError`` or ``builder.BuildError``."""
        getattr(self, f"_{step.kind}_{step.action}")(step)

    def pause_after(self, steps: list[Step]) -> None:
        """The delay that containers just started ask for before those of the next order start."""
        delay = max((step.target.get("start_delay", 0) for step in steps if step.action == "start"), default=0)
        if delay:
            time.sleep(delay)

    def _node_change(self, step: Step) -> None:
        if step.name == "rules":
            network.restore(self._boxes.values())
        elif step.name == "guarantees":
            memory.share_out(self._host)
        else:
            runtime.install()

    def _network_create(self, step: Step) -> None:
        bridges.ensure(self._host.paths, self._desired.fleet, step.target)
        self._plug_in(step.target["bridge"])

    def _network_change(self, step: Step) -> None:
        bridges.ensure(self._host.paths, self._desired.fleet, step.target)

    def _network_destroy(self, step: Step) -> None:
        bridges.remove(self._host.paths, step.name)

    def _plug_in(self, bridge: str) -> None:
        """A bridge that was gone has lost its ports: containers that run come back to it."""
        for box in self._boxes.values():
            if box.pid and bridge in (v for k, v in box.record.fields.items() if k.endswith(".bridge")):
                facets.BY_NAME["network"].reapply(self._host, box)

    def _template_build(self, step: Step) -> None:
        definition = step.target["definition"]
        parent = self._desired.templates[definition["from"]].digest if "from" in definition else None
        builder.build(self._host.paths, step.name, step.target["digest"], definition, parent)

    def _template_collect(self, step: Step) -> None:
        builder.remove(self._host.paths, step.name, step.target["digest"])

    def _container_create(self, step: Step) -> None:
        fields = {path: value for path, value in step.target.items() if path != "digest"}
        box = self._stage(step, fields)
        with self._guard:
            self._staged.append(box)

    def _stage(
        self, step: Step, fields: dict[str, Any], uuid: str | None = None, replaces_running: bool | None = None
    ) -> Box:
        """A whole container, made aside: root filesystem, limits, identity, configuration, record.

        ``replaces_running`` of one that will be on trial: whether the one whose place it takes runs.
        """
        paths = self._host.paths
        staged = f"{paths.staging}/{step.name}.new"
        files.remove_tree(staged)
        os.mkdir(staged, 0o711)
        digest = step.target["digest"]
        made = Record(self._desired.fleet, step.name, digest, self._backend(fields, digest), fields)
        box = Box(replace(made, uuid=uuid) if uuid else made, staged)
        try:
            rootfs.make(paths, box, self._project(box))
            disk.establish(self._host, box)
            identity.furnish(self._host, box)
            for facet in facets.ALL:
                facet.furnish(self._host, box)
            batch = files.Batch()
            lxc.write_config(self._host, box, batch, paths.container(step.name))
            box.record.save(staged, batch)
            if replaces_running is not None:
                trial.mark(staged, replaces_running, batch)
            if os.path.exists(f"{paths.container(step.name)}/{ARRIVED}"):
                batch.write(f"{staged}/{ARRIVED}", "")  # as the one whose place it takes
            batch.commit()
        except BaseException:
            with self._guard:
                self._failed_with[step.name] = self._rooms(box)
            files.remove_tree(staged)
            raise
        return box

    def _project(self, box: Box) -> int | None:
        """What a new root filesystem is counted for, apart from those of the same container that it replaces."""
        if quota.PROJECT not in self._host.quota:
            return None
        paths = self._host.paths
        return store.free_project(box.record.slot, (paths.container(box.name), f"{paths.kept}/{box.name}"))

    def _backend(self, fields: dict[str, Any], digest: str) -> str:
        """The backend that works for a template on this node; found by trying, once."""
        source = f"{self._host.paths.template(fields['template'], digest)}/rootfs"
        with self._guard:
            if source not in self._backends:
                self._backends[source] = rootfs.backend_for(self._host.paths, source, fields["id"])
            return self._backends[source]

    def _container_start(self, step: Step) -> None:
        box = self._boxes[step.name]
        self._keep(box, {"state": "running"})
        power.start(self._host, box)

    def _container_stop(self, step: Step) -> None:
        box = self._boxes[step.name]
        power.stop(self._host, box)
        self._keep(box, {"state": "stopped"})

    def _container_suspend(self, step: Step) -> None:
        box = self._boxes[step.name]
        suspend.suspend(self._host, box)
        self._keep(box, {"state": "suspended"})

    # ``power.start`` makes a suspended container anew from its memory.
    _container_resume = _container_start

    def _container_change(self, step: Step) -> None:
        box = self._boxes[step.name]
        for facet in facets.ALL:
            changes = [c for c in step.changes if c.field != "config" and model.row(c.field).facet == facet.name]
            if changes:
                facet.apply_live(self._host, box, changes)
        self._keep(box, {c.field: c.after for c in step.changes if c.field != "config"})

    def _container_restart(self, step: Step) -> None:
        box = self._boxes[step.name]
        box.record = box.record.with_fields({c.field: c.after for c in step.changes if c.field != "config"})
        batch = files.Batch()
        box.record.save(box.directory, batch)
        lxc.write_config(self._host, box, batch)
        power.stop(self._host, box)
        batch.commit()
        power.start(self._host, box)

    def _container_rebuild(self, step: Step) -> None:
        """A new root filesystem under the same identity: made aside, then exchanged with the old one, which is kept
        where there is a gate to pass."""
        old, paths = self._boxes[step.name], self._host.paths
        was_running, gated = old.pid is not None, self._desired.gate is not None
        fields = {path: value for path, value in step.target.items() if path != "digest"}
        ran = was_running or trial.was_running(old.directory)
        staged = self._stage(step, fields, old.record.uuid, ran if gated else None)
        syscalls.sync_filesystem(staged.directory)
        if was_running:
            power.stop(self._host, old)
        gone: str | None = staged.directory
        if gated:
            gone = trial.begin(paths, step.name, staged.directory)
        else:
            files.exchange(staged.directory, old.directory)
            files.sync([paths.containers])
            trial.forget(paths, step.name)
        box = Box(staged.record, old.directory)
        self._boxes[step.name] = box
        if was_running:
            power.start(self._host, box)
        if gone:
            aside = f"{paths.staging}/{step.name}.old"
            files.remove_tree(aside)
            os.rename(gone, aside)
            files.remove_tree(aside)

    def _container_prove(self, step: Step) -> None:
        """The gate is passed, or there is none any more."""
        trial.accept(self._host.paths, step.name)

    def gate(self, touched: Iterable[str], failed: Collection[str]) -> dict[str, Verdict]:
        """Ask the gate of the containers of this run, those that it is limited to or that were ``touched``; end their
        trials. What went wrong, by name. Containers that have ``failed`` are not asked, but rolled back if they can be.
        """
        if self._desired.gate is None:
            return {}
        names = sorted(self._desired.only if self._desired.only is not None else set(touched))
        boxes = [self._boxes[name] for name in names if name in self._boxes and name in self._desired.containers]
        asked = [box for box in boxes if box.name not in failed and self._should_run(box)]
        verdicts = {name: Verdict(reason) for name, reason in gate.wait(self._host, asked, self._desired.gate).items()}
        verdicts |= {box.name: Verdict(None) for box in boxes if box.name in failed}
        on_trial = [box for box in boxes if trial.kept(self._host.paths, box.name)]
        for name, error in power.each(lambda box: self._end_trial(box, verdicts.get(box.name)), on_trial).items():
            verdicts.setdefault(name, Verdict(None)).problem = str(error)
        return verdicts

    def _should_run(self, box: Box) -> bool:
        state = self._desired.containers[box.name]["state"]
        return state == "running" or (state == "keep" and box.pid is not None)

    def _end_trial(self, box: Box, verdict: Verdict | None) -> None:
        if verdict is None:
            trial.accept(self._host.paths, box.name)
            return
        box.pid = lxc.init_pid(self._host, box.name)
        self._boxes[box.name] = before = trial.roll_back(self._host, box)
        verdict.rolled_back = f"{before.record.fields['template']}@{before.record.digest}"

    def _container_return(self, step: Step) -> None:
        """Take back what a move has set aside and no other node has."""
        ran = setaside.was_running(self._host, step.name)
        box = setaside.put_back(self._host, step.name)
        with self._guard:
            self._boxes[step.name] = box
        if ran:
            power.start(self._host, box)

    def _container_discard(self, step: Step) -> None:
        setaside.discard(self._host, step.name)

    def _container_destroy(self, step: Step) -> None:
        # First: without the container nobody could tell them from those of one that has moved and may come back.
        shelf.forget(self._host.paths, step.name)
        removal.destroy(self._host, self._boxes[step.name])
        trial.forget(self._host.paths, step.name)
        with self._guard:
            del self._boxes[step.name]
            self._unsaved.pop(step.name, None)

    def words(self, error: Exception, step: Step | None = None) -> str:
        """What went wrong, in words: of a full disk first which one it is, whoever it was that ran into it."""
        if not fullness.is_told_by(error):
            return str(error)
        own, node = self._rooms_of(step)
        told = fullness.of_container(error, own, node) if step is not None and step.kind == "container" else None
        return told or fullness.of_node(error, self._host.paths.base, disk.room_at(self._host.paths.base))

    def _rooms_of(self, step: Step | None) -> Rooms:
        """What a step's container and the node have left: of one that could not be made, when that failed."""
        with self._guard:
            failed = self._failed_with.pop(step.name, None) if step is not None else None
        box = self._boxes.get(step.name) if step is not None else None
        return failed or self._rooms(box)

    def _rooms(self, box: Box | None) -> Rooms:
        return disk.room(self._host, box) if box is not None else None, disk.room_at(self._host.paths.base)

    def _keep(self, box: Box, fields: dict[str, Any]) -> None:
        """What now holds; ``settle`` puts it on disk."""
        box.record = box.record.with_fields(fields)
        with self._guard:
            self._unsaved[box.name] = box

    def settle(self) -> None:
        """Put on disk what the steps since the last call have done: records and configurations of what was changed,
        and the names of the containers that were made. Called at the end of each phase, for all containers at once.
        """
        unsaved, staged = list(self._unsaved.values()), list(self._staged)
        self._unsaved.clear()
        self._staged.clear()
        batch = files.Batch()
        try:
            for box in unsaved:
                box.record.save(box.directory, batch)
                lxc.write_config(self._host, box, batch)
            batch.commit()
            if staged:
                # What is in them before their names, as with any file; for all of them at once.
                syscalls.sync_filesystem(self._host.paths.containers)
        except OSError:
            # What is made and cannot be shown is no more use than what was not made.
            batch.discard()
            for box in staged:
                files.remove_tree(box.directory)
            raise
        for box in staged:
            final = self._host.paths.container(box.name)
            os.rename(box.directory, final)
            self._boxes[box.name] = Box(box.record, final)
        if staged:
            files.sync([self._host.paths.containers])
