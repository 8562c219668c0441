# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processor time: in proportion to the weights, up to the limit, and what an idle neighbour leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .stage import Row, Stage, processor_seconds, throttled

_SPIN = "python3 -c 'while True: pass'"


def _spinning(name: str) -> list[tuple[str, str]]:
    """As many busy processes as there are processors."""
    return [(name, _SPIN)] * (os.cpu_count() or 1)


def weights(stage: Stage) -> Iterator[Row]:
    declared = {"one": 100, "two": 200, "four": 400}
    containers = stage.containers(**{name: {"cpu_weight": weight} for name, weight in declared.items()})
    with containers, stage.busy(*(work for name in declared for work in _spinning(name))):
        used = stage.rates(*(partial(processor_seconds, name) for name in declared))
    for weight, share in zip(declared.values(), used, strict=True):
        whole = sum(declared.values())
        note = f"{share:.2f} of {sum(used):.2f} processors"
        yield Row(f"share of weight {weight}", 100 * weight / whole, 100 * share / sum(used), "%", note)


def limits(stage: Stage) -> Iterator[Row]:
    asked = [cpus for cpus in (0.5, 1.5) if cpus < (os.cpu_count() or 1)]
    with stage.containers(limited={"cpus": asked[0]}):
        for cpus in asked:
            stage.declare(limited={"cpus": cpus})
            with stage.busy(*_spinning("limited")):
                before = throttled("limited")
                (used,) = stage.rates(partial(processor_seconds, "limited"))
                hit, periods = (last - first for first, last in zip(before, throttled("limited"), strict=True))
            note = f"limit reached in {hit} of {periods} periods"
            yield Row(f"cpus: {cpus}, under load", cpus, used, "processors", note)


def idle_share(stage: Stage) -> Iterator[Row]:
    """A container of little weight beside one of much that does nothing."""
    with stage.containers(small={"cpu_weight": 100}, idle={"cpu_weight": 10000}), stage.busy(*_spinning("small")):
        used, idle, unused = stage.rates(
            partial(processor_seconds, "small"), partial(processor_seconds, "idle"), _unused_seconds
        )
    note = f"it used {used:.2f} processors, the idle neighbour of 100 times its weight {idle:.2f}"
    yield Row("processors left unused", 0, unused, "processors", note)


def _unused_seconds() -> float:
    """The idle time of all processors, proc_stat(5)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
