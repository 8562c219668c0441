# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run on one node: lock, observe, plan, carry out, observe again, report.

Check mode is the same run without the carrying out. The report of both is one shape (``report``), documented in the
module ``carve.vps.node``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import desired as desired_state
from . import leftovers, lock, plan
from .desired import Desired
from .failure import failure
from .host import Host, apparmor_enabled
from .observe import Observation, observe
from .steps import HELD, PLANNED, ContainerSeen, NodeSeen, Plan, Step, untouched

# Told of every step before and after it is carried out.
Watch = Callable[[Step, str], None]
Planner = Callable[[Desired, NodeSeen], Plan]


def run(
    params: Mapping[str, Any],
    check: bool,
    planner: Planner = plan.make,
    host: Host | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Reconcile a node with a module's options; the module's result. ``failed`` is set, never raised."""
    desired, problems = desired_state.build(params)
    if problems:
        return failure([str(problem) for problem in problems])
    host = host or Host(apparmor=apparmor_enabled())
    if not check:
        host.paths.make()
    job = Job(desired, host, check, planner, params.get("expect"), params.get("expect_containers") or {}, watch)
    try:
        with lock.held(host.paths, not check, _who(desired), float(params.get("lock_timeout") or 0)):
            return _locked(job)
    except (lock.Busy, TimeoutError) as error:
        return failure([str(error)])


def _who(desired: Desired) -> dict[str, str]:
    """What the lock tells others about this run."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"
    return {"fleet": desired.fleet, "user": user, "from": os.environ.get("SSH_CLIENT", "itself").split(" ")[0]}


@dataclass(frozen=True)
class Job:
    """What one run is to do."""

    desired: Desired
    host: Host
    check: bool
    planner: Planner
    expect: str | None
    # The same of single containers, by name.
    expect_containers: Mapping[str, str]
    watch: Watch | None


def _locked(job: Job) -> dict[str, Any]:
    desired, host = job.desired, job.host
    clock = _Clock()
    left = leftovers.clear(host) if not job.check else []
    concerned = {name: wanted for name, wanted in desired.containers.items() if desired.concerns(name)}
    seen = observe(host, concerned, desired.elsewhere)
    clock.mark("observe")
    made = job.planner(desired, seen.node)
    clock.mark("plan")
    statuses, errors = untouched(made), list(made.errors)
    errors += _unexpected(job, made)
    changed = bool(made.doable) and not errors
    if changed and not job.check:
        statuses, failures = _carry_out(job, made, seen)
        clock.mark("apply")
        try:
            seen = observe(host)
            errors += failures or _residue(made, job.planner(desired, seen.node))
        except TimeoutError as error:
            errors += [*failures, f"what was done could not be looked at: {error}"]
        clock.mark("verify")
        changed = any(status not in (HELD, PLANNED) for status in statuses)
    if not made.errors:
        errors += made.refusals
    # It is no reason to leave undone what is declared: whatever that hinders fails by itself.
    errors += left
    told = report(desired, made, statuses, errors, clock.times, seen, changed)
    return {**told, "leftovers": job.check and leftovers.are_there(host)}


def _unexpected(job: Job, made: Plan) -> list[str]:
    """A plan that is not the one that was shown is not carried out."""
    found, moved = made.fingerprints(), "since the plan was made; make a new plan"
    errors = [f"{name} or its declaration has changed {moved}" for name, wanted in sorted(job.expect_containers.items())
              if found.get(name, wanted) != wanted]  # fmt: skip
    if job.expect and job.expect != made.fingerprint():
        errors.append(f"this node or its declaration has changed {moved}")
    return errors


def _carry_out(job: Job, made: Plan, seen: Observation) -> tuple[list[str], list[str]]:
    """The status of each step, and what went wrong."""
    # Loaded here, for most runs have nothing to do and need not wait for all that doing takes.
    from .carry import Account
    from .hands import Hands

    account = Account(made)
    account.carry_out(Hands(job.host, job.desired, seen.boxes), job.watch)
    return account.statuses, account.errors


def _residue(made: Plan, after: Plan) -> list[str]:
    """What is still different though everything was carried out: never a silent ok.

    A step that was held back may be free now, as when a guard has just been taken away: it is for the next run, with
    the template that it needs.
    """
    later = {(step.kind, step.name, step.action) for step in made.steps if step.held}
    later |= {(step.kind, step.name, step.action) for step in after.steps if step.kind == "template"}
    later -= {(step.kind, step.name, step.action) for step in made.doable}
    return [
        f"{step.kind} {step.name}: {change.public()['field']} is {change.public()['before']} "
        f"after it was set to {change.public()['after']}"
        for step in after.doable
        if (step.kind, step.name, step.action) not in later
        for change in step.changes
    ]


def report(
    desired: Desired,
    made: Plan,
    statuses: list[str],
    errors: list[str],
    times: Mapping[str, float],
    seen: Observation,
    changed: bool,
) -> dict[str, Any]:
    """The result of a run, as it leaves the node."""
    steps = [{**step.public(), "status": status} for step, status in zip(made.steps, statuses)]
    result: dict[str, Any] = {
        "changed": changed,
        "steps": steps,
        "fingerprint": made.fingerprint(),
        "fingerprints": made.fingerprints(),
        "unmanaged": list(made.unmanaged),
        "notes": list(made.notes),
        "errors": errors,
        "containers": {
            name: _brief(found, "set aside" if name not in seen.node.containers else None)
            for name, found in sorted({**seen.node.aside, **seen.node.containers}.items())
            if found.fleet == desired.fleet
        },
        "diff": _diff(made),
        "timings": {key: round(value, 4) for key, value in times.items()},
    }
    if errors:
        result.update(failure(errors))
    return result


def _brief(found: ContainerSeen, state: str | None = None) -> dict[str, Any]:
    """What the rest of the fleet should know of a container."""
    ip = {
        path.split(".")[1]: [address.partition("/")[0] for address in value or ()]
        for path, value in found.recorded.items()
        if path.endswith(".ip")
    }
    template = f"{found.recorded.get('template')}@{found.digest}"
    aside = {} if found.aside is None else asdict(found.aside)
    return {"state": state or found.power, "template": template, "ip": ip, **aside}


def _diff(made: Plan) -> dict[str, str]:
    """The plan as Ansible's own --diff shows changes: the options before and after, a line each."""
    sides: dict[str, list[str]] = {"before": [], "after": []}
    for step in made.doable:
        for change in (change.public() for change in step.changes):
            for side, lines in sides.items():
                if change[side] is not None:
                    lines.append(f"{step.kind}.{step.name}.{change['field']}: {change[side]}\n")
    return {side: "".join(lines) for side, lines in sides.items()}


class _Clock:
    """Seconds between marks, for the report only: no decision is made by them."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, name: str) -> None:
        now = time.monotonic()
        self.times[name] = now - self._last
        self._last = now
