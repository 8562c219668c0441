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
from dataclasses import replace
from typing import Any

from . import bridges, builder, facets, files, model, power, rootfs, runtime
from .desired import Desired
from .engines import lxc
from .facets import identity
from .host import Box, Host
from .moves import departure
from .record import Record
from .steps import Step


class Hands:
    """Does one step at a time; several threads may use one object for different containers."""

    def __init__(self, host: Host, desired: Desired, boxes: dict[str, Box]) -> None:
        self._host, self._desired, self._boxes = host, desired, boxes
        self._guard = threading.Lock()
        self._backends: dict[str, str] = {}
        self._unsaved: dict[str, Box] = {}
        self._staged: list[Box] = []

    def do(self, step: Step) -> None:
        """Carry one step out. Raises ``OSError``, ``lxc.EngineError`` or ``builder.BuildError``."""
        getattr(self, f"_{step.kind}_{step.action}")(step)

    def pause_after(self, steps: list[Step]) -> None:
        """The delay that containers just started ask for before those of the next order start."""
        delay = max((step.target.get("start_delay", 0) for step in steps if step.action == "start"), default=0)
        if delay:
            time.sleep(delay)

    def _node_change(self, step: Step) -> None:
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
        network = facets.BY_NAME["network"]
        for box in self._boxes.values():
            if box.pid and bridge in (v for k, v in box.record.fields.items() if k.endswith(".bridge")):
                network.reapply(self._host, box)

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

    def _stage(self, step: Step, fields: dict[str, Any], uuid: str | None = None) -> Box:
        """A whole container, made aside: root filesystem, identity, configuration, record."""
        paths = self._host.paths
        staged = f"{paths.staging}/{step.name}.new"
        files.remove_tree(staged)
        os.mkdir(staged, 0o711)
        digest = step.target["digest"]
        made = Record(self._desired.fleet, step.name, digest, self._backend(fields, digest), fields)
        box = Box(replace(made, uuid=uuid) if uuid else made, staged)
        try:
            rootfs.make(paths, box)
            identity.furnish(self._host, box)
            batch = files.Batch()
            lxc.write_config(self._host, box, batch, paths.container(step.name))
            box.record.save(staged, batch)
            batch.commit()
        except BaseException:
            files.remove_tree(staged)
            raise
        return box

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
        """A new root filesystem under the same identity: made aside, then exchanged with the old one."""
        old = self._boxes[step.name]
        was_running = old.pid is not None
        fields = {path: value for path, value in step.target.items() if path != "digest"}
        staged = self._stage(step, fields, uuid=old.record.uuid)
        if was_running:
            power.stop(self._host, old)
        aside = f"{self._host.paths.staging}/{step.name}.old"
        files.remove_tree(aside)
        files.exchange(staged.directory, old.directory)
        files.sync([self._host.paths.containers])
        box = Box(staged.record, old.directory)
        self._boxes[step.name] = box
        if was_running:
            power.start(self._host, box)
        os.rename(staged.directory, aside)
        files.remove_tree(aside)

    def _container_return(self, step: Step) -> None:
        """Take back what a move has set aside and no other node has."""
        ran = departure.was_running(self._host, step.name)
        box = departure.put_back(self._host, step.name)
        with self._guard:
            self._boxes[step.name] = box
        if ran:
            power.start(self._host, box)

    def _container_discard(self, step: Step) -> None:
        departure.discard(self._host, step.name)

    def _container_destroy(self, step: Step) -> None:
        box = self._boxes[step.name]
        if box.pid:
            # Nothing of it is to be kept, so nothing is gained by waiting for its services.
            power.stop(self._host, box, timeout=0)
        rootfs.unmount(box)
        aside = f"{self._host.paths.staging}/{step.name}.gone"
        files.remove_tree(aside)
        os.rename(box.directory, aside)
        files.sync([self._host.paths.containers])
        lxc.forget(self._host, step.name)
        files.remove_tree(aside)
        with self._guard:
            del self._boxes[step.name]
            self._unsaved.pop(step.name, None)

    def _keep(self, box: Box, fields: dict[str, Any]) -> None:
        """What now holds; ``settle`` puts it on disk."""
        box.record = box.record.with_fields(fields)
        with self._guard:
            self._unsaved[box.name] = box

    def settle(self) -> None:
        """Put on disk what the steps since the last call have done: records and configurations of what was changed,
        and the names of the containers that were made. Called at the end of each phase, for all containers at once.
        """
        batch = files.Batch()
        for box in self._unsaved.values():
            box.record.save(box.directory, batch)
            lxc.write_config(self._host, box, batch)
        self._unsaved.clear()
        batch.commit()
        for box in self._staged:
            final = self._host.paths.container(box.name)
            os.rename(box.directory, final)
            self._boxes[box.name] = Box(box.record, final)
        if self._staged:
            files.sync([self._host.paths.containers])
        self._staged.clear()
