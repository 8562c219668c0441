# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suspending and resuming one container, as ``carve.vps.checkpoint`` does it. Results only: what goes wrong is in
``failed`` and ``msg``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .. import files, lock, power
from ..engines import lxc
from ..failure import failure
from ..host import Box, Host, apparmor_enabled
from ..record import load
from . import look, suspend

_PATIENCE = 60.0  # seconds that another run on the node may take
SUSPENDED, RESUMED = "suspended", "resumed"

Result = dict[str, Any]


def run(params: Mapping[str, Any], check: bool, host: Host | None = None) -> Result:
    host = host or Host(apparmor=apparmor_enabled())
    if not check:
        host.paths.make()
    try:
        with lock.held(host.paths, True, {"fleet": params["fleet"], "doing": "a checkpoint"}, _PATIENCE):
            return _locked(params, check, host)
    except (lock.Busy, lxc.EngineError, OSError) as error:
        return failure([f"{params['name']}: {error}"])


def _locked(params: Mapping[str, Any], check: bool, host: Host) -> Result:
    name = params["name"]
    record = load(host.paths.container(name))
    if record is None:
        return failure([f"{name} is not on this node"])
    if record.fleet != params["fleet"]:
        return failure([f"{name} belongs to fleet {record.fleet!r}"])
    if not check:
        suspend.put_right(host, name)
    box = Box(record, host.paths.container(name), lxc.init_pid(host, name))
    was = "running" if box.pid else "suspended" if suspend.is_suspended(box.directory) else "stopped"
    wanted = "suspended" if params["state"] == SUSPENDED else "running"
    if was == "stopped":
        what = "it has no memory to suspend" if wanted == "suspended" else "it is not suspended; start it"
        return failure([f"{name} is stopped: {what}"])
    if wanted == was:
        changed = record.fields["state"] != wanted
        if changed and not check:
            _keep(host, box, wanted)
        return _result(changed, was, wanted, box)
    findings = look.unfit(host, box) if wanted == "suspended" else look.lacking(host)
    if findings:
        return {**failure([f"{name} cannot be {params['state']}: {'; '.join(findings)}"]), "findings": findings}
    began = time.monotonic()
    if not check:
        if wanted == "suspended":
            suspend.suspend(host, box)
        else:
            power.start(host, box)
        _keep(host, box, wanted)
    return {**_result(True, was, wanted, box), "seconds": round(time.monotonic() - began, 2)}


def _keep(host: Host, box: Box, state: str) -> None:
    box.record = box.record.with_fields({"state": state})
    batch = files.Batch()
    box.record.save(box.directory, batch)
    lxc.write_config(host, box, batch)
    batch.commit()


def _result(changed: bool, was: str, wanted: str, box: Box) -> Result:
    diff = {"before": f"state: {was}\n", "after": f"state: {wanted}\n"}
    return {"changed": changed, "state": wanted, "images_bytes": suspend.size(box.directory), "diff": diff}
