# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's monitor: one command, one answer; events on the way are kept.

https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from __future__ import annotations

import json
from typing import IO, Any


class QmpError(Exception):
    """What QEMU refused, or that it is gone."""


class Qmp:
    def __init__(self, reader: IO[str], writer: IO[str]) -> None:
        self._reader, self._writer = reader, writer
        self.events: list[dict[str, Any]] = []
        self._receive()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        try:
            print(json.dumps({"execute": name, "arguments": arguments}), file=self._writer, flush=True)
        except OSError as exc:
            raise QmpError(f"{name}: QEMU has ended") from exc
        while True:
            answer = self._receive()
            if "error" in answer:
                raise QmpError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def wait(self, *names: str) -> dict[str, Any]:
        """The next event of these names."""
        while True:
            for event in self.events:
                if event["event"] in names:
                    self.events.remove(event)
                    return event
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        line = self._reader.readline()
        if not line:
            raise QmpError("QEMU has ended")
        message: dict[str, Any] = json.loads(line)
        return message
