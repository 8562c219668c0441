# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container leaves its node: copied while it runs, stopped or suspended, copied again, woken at its destination.

At every moment at most one copy runs. The source sets its copy aside before the destination may start the other one,
and gives it up only when the destination has said that it runs. Where the destination has said no, the source takes
its copy back; where it has said nothing, the copy stays aside, and the same move, begun again, finds out.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import files, power, rootfs, store, usage
from ..checkpoint import suspend
from ..engines import lxc
from ..host import Box, Host
from ..kernel import mounts, syscalls
from ..record import Record, load
from ..snapshots import shelf
from . import note, pace, preflight, session, setaside, verify
from .note import Note
from .preflight import AUTO, LIVE, RESTART
from .remote import LineBroken, MoveError, NotBegun, Remote

MOVED, STAYED, UNKNOWN = "moved", "stayed", "unknown"


def prepare(host: Host, ident: str) -> str:
    """Make the key of a move; its public half."""
    session.close(host.paths, ident)
    os.makedirs(host.paths.move(ident), mode=0o700)
    return session.make_key(f"{host.paths.move(ident)}/key")


def problems(host: Host, fleet: str, names: Sequence[str]) -> list[str]:
    """Everything that keeps these containers from being moved from here."""
    found = []
    for name in names:
        record, _aside = look_up(host, name)
        if record is None:
            found.append(f"{name} is not on this node")
        elif record.fleet != fleet:
            found.append(f"{name} belongs to fleet {record.fleet!r}")
    return found


def bridges(host: Host, names: Sequence[str]) -> list[str]:
    """The bridges that these containers need at their destination."""
    found: set[str] = set()
    for name in names:
        record, _aside = look_up(host, name)
        found |= {value for path, value in (record.fields if record else {}).items() if path.endswith(".bridge")}
    return sorted(found)


def look_up(host: Host, name: str) -> tuple[Record | None, bool]:
    """A container's record, and whether an earlier move has set it aside."""
    record = load(host.paths.container(name))
    if record is not None:
        return record, False
    return load(f"{host.paths.departing}/{name}"), True


def move(host: Host, name: str, remote: Remote, method: str = AUTO) -> dict[str, Any]:
    """Move one container; what came of it: ``result`` (moved, stayed, unknown), ``error``, and seconds and bytes.

    ``method`` is ``live``: with its memory, or not at all; ``restart``; or ``auto``: live where it is declared and
    possible, else by a restart, and why.
    """
    with remote.kept_open() as line:
        journey = _Journey(host, name, line, method)
        try:
            journey.run()
        except (MoveError, lxc.EngineError, OSError) as error:
            journey.clear_up()
            return journey.report(STAYED if journey.at_home else UNKNOWN, str(error))
    # They stay here, and can be used again when the container comes back.
    left = len(shelf.listed(host.paths, name))
    behind = {"left_behind": journey.left_behind} if journey.left_behind else {}
    return {**journey.report(MOVED), **({"snapshots_left": left} if left else {}), **behind}


class _Journey:
    """One container's move, and what is known of it so far."""

    def __init__(self, host: Host, name: str, remote: Remote, method: str = AUTO) -> None:
        self._host, self._name, self._remote, self._wanted = host, name, remote, method
        self._method = RESTART
        # Why it is not moved live, where it might have been.
        self._why_not: list[str] = []
        self._numbers: dict[str, float] = {}
        self._aside = f"{host.paths.departing}/{name}"
        self.at_home = True
        # Why this node's copy could not be removed, of one that has moved.
        self.left_behind: str | None = None
        self._was_running = False
        # What the destination was told of it, once it was asked whether it can come.
        self._sent: Record | None = None
        # Whether the destination was asked to start it, and so may have it running.
        self._asked = False
        # Tells the files that this move has sent from those of one before it.
        self._attempt = os.urandom(8).hex()
        # Where the destination has the writable part, below the container's directory.
        self._place = ""
        # Those of its addresses for which it has answered here, and is to answer there.
        self._answering: list[str] = []
        # When the first copy began of what the destination has; 0.0 where only a run that was killed has known that.
        self._copied_since: float | None = None

    def report(self, result: str, error: str | None = None) -> dict[str, Any]:
        why_not = "; ".join(self._why_not) or None
        return {"result": result, "error": error, "method": self._method, "not_live": why_not, **self._numbers}

    def run(self) -> None:
        record, aside = look_up(self._host, self._name)
        if record is None:
            raise MoveError(f"{self._name} is not on this node")
        self.at_home = not aside
        if aside and self._take_up(record):
            return
        suspend.put_right(self._host, self._name)
        box = Box(record, self._host.paths.container(self._name), lxc.init_pid(self._host, self._name))
        # One that a killed move has stopped is to run again, unless it was declared to be off since.
        before = note.read(box.directory)
        interrupted = before is not None and before.running and record.fields["state"] not in ("stopped", "suspended")
        self._was_running = box.pid is not None or interrupted
        answer = self._examine(box, record)
        self._sent, self._place = record, answer["place"]
        self._choose(box, answer)
        if not answer["empty"]:
            self._copied_since = 0.0
        if answer["copy_template"]:
            self._send_template(record)
        if box.pid:
            self._copy(box.directory, "first_pass")
            before_copy, box.pid = box.pid, lxc.init_pid(self._host, self._name)
            if box.pid != before_copy:  # it has rebooted, or ended, by itself
                self._choose(box, answer)
        if self._method == LIVE:
            self._answering = sorted(verify.answering(box))
            self._send_ahead(box)
        began = time.monotonic()
        self._leave(box)
        try:
            files.sync([self._host.paths.containers, self._host.paths.departing])
            with ThreadPoolExecutor(2) as pool:
                sent = [pool.submit(self._copy_memory), pool.submit(self._copy, self._aside, "second_pass")]
            for one in sent:
                one.result()
            wanted = {**self._about(record), "template": answer["template"], "start": self._was_running}
            wanted["answering"] = self._answering
            came = self._hand_over({**wanted, "memory": suspend.is_suspended(self._aside)})
        except BaseException as error:
            # Once the destination was asked, only its own no says that nobody is served there.
            if not self._asked or (isinstance(error, MoveError) and not isinstance(error, LineBroken)):
                self._come_back(record)
            raise
        self._numbers["away_s"] = round(time.monotonic() - began - came.get("verify_s", 0), 2)
        self._numbers["start_s"] = came.get("start_s", 0)
        if self._method == LIVE:
            parts = ("ahead_bytes", "memory_bytes")
            memory = int(sum(self._numbers.get(part, 0) for part in parts))
            with contextlib.suppress(OSError):  # of a full disk: the next estimate is the one before
                pace.keep(self._host.paths, memory, self._numbers["away_s"])
        self._give_up()

    def _examine(self, box: Box, record: Record) -> dict[str, Any]:
        """What the destination says. Where it says no, the error is all that forbids it, here and there."""
        question = {**self._about(record), **preflight.question(self._host, box, self._wanted)}
        try:
            return self._remote.ask("examine", self._name, question)
        except LineBroken:
            raise
        except MoveError as error:
            mine = preflight.own_reasons(self._host, box, self._wanted)
            raise MoveError("; ".join([*mine, str(error)])) from error

    def _choose(self, box: Box, answer: Mapping[str, Any]) -> None:
        chosen = preflight.choose(self._host, box, self._wanted, answer.get("live", []))
        self._method, self._why_not = chosen.method, list(chosen.why_not)

    def _about(self, record: Record) -> dict[str, Any]:
        used = usage.load(self._host.paths, self._name, record.uuid)
        return {**preflight.about(self._host, record), "usage": used, "attempt": self._attempt}

    def _take_up(self, record: Record) -> bool:
        """Go on with a move that did not end: whether it turns out to be over."""
        before = note.read(self._aside) or Note()
        self._was_running, self._asked = before.running, before.asked
        if before.handed_to not in (None, self._remote.node):
            raise MoveError(preflight.elsewhere(before.to))
        if not self._asked:
            self._come_back(record)
            return False
        answer = self._remote.ask_until_answered("arrived", self._name, self._about(record))
        if not answer["arrived"]:
            self._come_back(record)
            return False
        if answer["serves"]:
            # Whatever is to be said of it there: what it has written since the hand-over is nowhere else.
            self._give_up()
            return True
        memory = suspend.is_suspended(self._aside)
        wanted = {**self._about(record), "template": record.template_version, "start": self._was_running}
        try:
            self._remote.ask_until_answered("adopt", self._name, {**wanted, "memory": memory})
        except LineBroken:
            raise
        except MoveError:
            self._come_back(record)
            raise
        self._give_up()
        return True

    def _send_template(self, record: Record) -> None:
        """Send the template below the container, unless another container's move has just done it."""
        with self._remote.sending_templates:
            answer = self._remote.ask("examine", self._name, self._about(record))
            if answer["copy_template"]:
                template, version = record.fields["template"], answer["template"]
                source = self._host.paths.template(template, record.template_version)
                try:
                    self._numbers["template_bytes"] = self._remote.copy(source, f"templates/{template}/{version}")
                    self._remote.ask("take-template", template, {"version": version})
                except MoveError:
                    with contextlib.suppress(MoveError):
                        self._remote.ask("drop-template", template, {"version": version})
                    raise

    def _copy(self, directory: str, number: str) -> None:
        began = time.monotonic()
        with store.mounted(directory) as place:
            part = "copy" if os.path.isdir(f"{place}/copy") else "upper"
            since, self._copied_since = self._copied_since, time.time()
            # From now on, what is written gives its file a new time; pages that waited to be written would not.
            syscalls.sync_filesystem(place)
            destination = f"containers/{self._name}/{self._place}{part}"
            with mounts.without_links(f"{place}/{part}") as source:
                sent = self._remote.copy(source, destination, since, running=number == "first_pass")
        self._numbers[f"{number}_bytes"] = sent
        self._numbers[f"{number}_s"] = round(time.monotonic() - began, 2)

    def _send_ahead(self, box: Box) -> None:
        began = time.monotonic()
        if suspend.write_ahead(self._host, box):
            self._numbers["ahead_bytes"] = self._send_images(box.directory, suspend.AHEAD)
            self._numbers["ahead_s"] = round(time.monotonic() - began, 2)

    def _copy_memory(self) -> None:
        if suspend.is_suspended(self._aside):
            began = time.monotonic()
            if "ahead_bytes" not in self._numbers and os.path.isdir(f"{self._aside}/{suspend.AHEAD}"):
                self._send_images(self._aside, suspend.AHEAD)
            self._numbers["memory_bytes"] = self._send_images(self._aside, suspend.WHOLE)
            self._numbers["memory_s"] = round(time.monotonic() - began, 2)

    def _send_images(self, directory: str, name: str) -> int:
        return self._remote.copy(f"{directory}/{name}", f"containers/{self._name}/{name}", compress=True)

    def _leave(self, box: Box) -> None:
        """Stop it, or suspend it, and set it aside. Where that fails it runs here again."""
        Note(self._was_running, self._remote.node).write(box.directory)
        try:
            self._set_aside(box)
        except BaseException:
            note.remove(box.directory)
            self._run_again(box)
            raise
        self.at_home = False

    def _set_aside(self, box: Box) -> None:
        if box.pid and self._method == LIVE:
            self._suspend(box)
        if box.pid:
            power.stop(self._host, box)
        rootfs.unmount(box.directory)
        os.makedirs(self._host.paths.departing, mode=0o711, exist_ok=True)
        os.rename(box.directory, self._aside)

    def _suspend(self, box: Box) -> None:
        """Put it to disk. Where that fails it runs on, and is stopped where that is allowed."""
        began = time.monotonic()
        try:
            suspend.suspend(self._host, box, ahead="ahead_bytes" in self._numbers)
            self._numbers["dump_s"] = round(time.monotonic() - began, 2)
        except lxc.EngineError as error:
            if self._wanted == LIVE:
                raise
            self._method, self._why_not = RESTART, [str(error)]

    def _hand_over(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Let the destination adopt the container; when the line breaks, ask until it is known whether it has."""
        Note(self._was_running, self._remote.node, asked=True).write(self._aside)
        self._asked = True
        try:
            with self._remote.adopting:
                return self._remote.ask("adopt", self._name, wanted)
        except NotBegun:
            # It was asked once, and has not started it: to wait longer would keep it from those whom it serves.
            self._asked = False
            raise
        except LineBroken:
            return self._remote.ask_until_answered("adopt", self._name, wanted)

    def _come_back(self, record: Record) -> None:
        """Be here again as before; once the destination was asked, only after it has said that it has nothing of it."""
        if self._asked:
            self._remote.ask_until_answered("withdraw", self._name, self._about(record))
            self._asked = False
        box = setaside.put_back(self._host, self._name)
        self.at_home = True
        self._run_again(box)

    def clear_up(self) -> None:
        """Leave nothing of a move that did not come about, here or there, where it may have filled the disk.

        Where that is not heard now, the next run there does it.
        """
        if self.at_home:
            with contextlib.suppress(lxc.EngineError, OSError):
                suspend.put_right(self._host, self._name)
        if self._sent and self.at_home and not self._asked:
            with contextlib.suppress(MoveError):
                self._remote.ask("withdraw", self._name, self._about(self._sent))

    def _run_again(self, box: Box) -> None:
        """See to it that it runs here, if it did. Raises ``MoveError`` where it does not."""
        box.pid = lxc.init_pid(self._host, self._name)
        if not self._was_running or box.pid:
            return
        try:
            lost = power.start_anyhow(self._host, box)
        except (lxc.EngineError, OSError) as error:
            raise MoveError(f"it does not run: it could not be started here again: {error}") from error
        if lost:
            self._why_not.append(f"back here it could not be made anew from its memory either, and was started: {lost}")

    def _give_up(self) -> None:
        """Remove this node's copy. The other one serves by now, whatever comes of that."""
        try:
            setaside.discard(self._host, self._name)
        except (lxc.EngineError, OSError) as error:
            self.left_behind = str(error)
