# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``carve``: runs a playbook of the collection and makes an exit code of what came of it.

There is nothing here that ``ansible-playbook -i fleet.yml carve.vps.VERB`` could not do, but for the exit codes.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERBS = {
    "bootstrap": "turn the fleet's hosts into nodes; once for each, and after an update of Carve",
    "validate": "check the manifest; no node is contacted",
    "plan": "show what apply would do",
    "apply": "make the nodes as declared",
    "drift": "name what differs from what is declared",
    "usage": "show what containers use and have used",
    "migrate": "move containers to another node, or to where they belong",
    "drain": "empty a node: move its containers to the others",
    "snapshot": "keep containers' files as they are now, on their node",
    "rollback": "make containers' files those of a snapshot",
    "backup": "keep containers at a place of yours",
    "restore": "make a container of a backup",
    "unbootstrap": "undo bootstrap, on nodes without containers",
    "destroy": "destroy every container of the fleet",
}
USAGE = f"""\
usage: carve VERB fleet.yml [options]

{chr(10).join(f"  {verb:<11} {text}" for verb, text in VERBS.items())}

options:
  --out FILE            plan: save the plan, for apply --plan
  --plan FILE           apply: carry out this saved plan, or nothing if something has moved since
  --yes                 apply: do not show the plan and ask first
  --allow REACH[,...]   what may be done beyond what is harmless: restart, rebuild, destroy; rollback: restart
  --move NAME[,...]     migrate: these containers, or all
  --to NODE             migrate: where to; without it, to where they belong. restore: where to
  --node NODE           drain: the node
  --method METHOD       migrate, drain: live, restart, or auto: live where that is declared and possible
  --container NAME[,...]  usage: all that is known of this container
                        snapshot, rollback, backup, restore: whom it is about, or all (snapshot, backup)
  --name NAME           the snapshot's or the backup's name
  --delete              snapshot: remove it
  --memory              snapshot: memory and processes, too
  --place PLACE         backup, restore: a directory of the node, or ssh://user@host/directory
  --ssh-key FILE        backup, restore: the node's private key for a place on another machine
  --host-key KEY        backup, restore: that machine's public host key, such as 'ssh-ed25519 AAAA...'
  --as NAME             restore: under another name
  -e carve_destroy=NAME destroy: do not ask; NAME is the fleet's name
Every other option is given to ansible-playbook, such as --limit node1, --forks 20, -v.

exit codes: 0 as declared, 2 differences (plan, drift) or steps held back (apply, destroy), 1 errors
"""
NOTHING, ERRORS, DIFFERENCES = 0, 1, 2
# With these, Ansible runs nothing and there is no summary.
_LISTING = {"--list-hosts", "--list-tasks", "--list-tags", "--syntax-check", "--version", "--help", "-h"}
# Ours: the verbs that take them, and whether a value follows.
_KEEPING = ("snapshot", "rollback", "backup", "restore")
_PLACES = ("backup", "restore")
_OPTIONS = {"--move": (("migrate",), True), "--to": (("migrate", "restore"), True), "--node": (("drain",), True),
            "--method": (("migrate", "drain"), True),
            "--container": (("usage", *_KEEPING), True), "--name": (_KEEPING, True), "--delete": (("snapshot",), False),
            "--memory": (("snapshot",), False),
            "--place": (_PLACES, True), "--ssh-key": (_PLACES, True), "--host-key": (_PLACES, True),
            "--as": (("restore",), True),
            "--out": (("plan",), True), "--plan": (("apply",), True), "--yes": (("apply",), False),
            "--allow": (("plan", "apply", "rollback"), True)}  # fmt: skip
# Without these nothing can be meant.
_NEEDED = {"snapshot": ("--container", "--name"), "rollback": ("--container", "--name"),
           "backup": ("--container", "--place"), "restore": ("--container", "--place", "--to")}  # fmt: skip


class UsageError(Exception):
    """What was typed cannot be meant; the message says what to type."""


@dataclass(frozen=True)
class Request:
    """What was asked for: our own options, and what goes to ``ansible-playbook`` as it is."""

    verb: str
    manifest: str
    own: Mapping[str, str] = field(default_factory=dict)
    rest: Sequence[str] = ()

    @property
    def only_looks(self) -> bool:
        return self.verb in ("plan", "drift", "validate", "usage") or bool({"-C", "--check"} & set(self.rest))


def parse(words: Sequence[str]) -> Request:
    verb = words[0]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean {close[0]}?" if close else f"the verbs are {', '.join(VERBS)}"
        raise UsageError(f"there is no verb {verb!r}; {hint}")
    own: dict[str, str] = {}
    rest: list[str] = []
    left = list(words[1:])
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name not in _OPTIONS:
            rest.append(word)
            continue
        verbs, takes_value = _OPTIONS[name]
        if verb not in verbs:
            raise UsageError(f"{name} is an option of {' and '.join(verbs)}, not of {verb}")
        if takes_value and not equals:
            if not left:
                raise UsageError(f"{name} needs a value")
            value = left.pop(0)
        own[name] = value
    # An option that is not ours may take a value that looks like a manifest, so no other place will do.
    if not rest or rest[0].startswith("-"):
        raise UsageError(f"write the manifest after the verb: carve {verb} fleet.yml")
    return Request(verb, rest[0], own, rest[1:])


def command(request: Request, terminal: bool, playbook: str) -> list[str]:
    """The ``ansible-playbook`` command line."""
    variables: dict[str, Any] = {}
    if "--out" in request.own:
        variables["carve_plan_file"] = str(Path(request.own["--out"]).absolute())
    if "--allow" in request.own:
        variables["carve_allow"] = request.own["--allow"]
    for option, variable in (("--move", "carve_move"), ("--to", "carve_to"), ("--node", "carve_drain"),
                             ("--method", "carve_method"),
                             ("--container", "carve_usage" if request.verb == "usage" else "carve_of"),
                             ("--name", "carve_name"), ("--place", "carve_place"), ("--as", "carve_as"),
                             ("--ssh-key", "carve_ssh_key"), ("--host-key", "carve_host_key")):  # fmt: skip
        if option in request.own:
            variables[variable] = request.own[option]
    if "--delete" in request.own:
        variables["carve_snapshot_state"] = "absent"
    if "--memory" in request.own:
        variables["carve_memory"] = True
    for option in _NEEDED.get(request.verb, ()):
        if option not in request.own:
            raise UsageError(f"{request.verb} needs {option}")
    if "--plan" in request.own:
        variables["carve_saved_plan"] = str(Path(request.own["--plan"]).absolute())
    elif request.verb == "apply" and "--yes" not in request.own and not request.only_looks:
        if not terminal:
            raise UsageError("apply asks before it changes anything, and this is no terminal; add --yes or --plan FILE")
        variables["carve_ask"] = True
    extra = ["-e", json.dumps(variables)] if variables else []
    return [playbook, "-i", request.manifest, f"carve.vps.{request.verb}", *extra, *request.rest]


def environment(base: Mapping[str, str], request: Request, result_file: str) -> dict[str, str]:
    """Ansible's settings: Carve's words, no others, and no success with a manifest that could not be read."""
    more = any(word in ("-i", "--inventory", "--inventory-file") or word.startswith(("-i", "--inventory="))
               for word in request.rest)  # fmt: skip
    others = ",host_list,script,auto,yaml,ini,toml" if more else ""
    return {
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_PIPELINING": "1",
        **base,
        "ANSIBLE_STDOUT_CALLBACK": "carve.vps.plan",
        "ANSIBLE_INVENTORY_ENABLED": f"carve.vps.fleet{others}",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "CARVE_RESULT_FILE": result_file,
    }


def exit_code(request: Request, code: int, summary: Mapping[str, Any] | None) -> int:
    if code == 0 and _LISTING & set(request.rest):
        return NOTHING
    if code != 0 or summary is None or summary.get("errors"):
        return ERRORS
    return DIFFERENCES if summary.get("differences") else NOTHING


def playbook_command() -> str:
    """The ``ansible-playbook`` of the Python that runs this, for that is the one that knows this collection."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("ansible-playbook")
    if found is None:
        raise UsageError("ansible-playbook is not installed; install it with: pip install 'ansible-core>=2.19,<2.20'")
    return found


def run(request: Request) -> int:
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    line = command(request, terminal, playbook_command())
    if not Path(request.manifest).exists():
        raise UsageError(f"there is no manifest {request.manifest}")
    with tempfile.TemporaryDirectory(prefix="carve-") as directory:
        result_file = Path(directory, "result.json")
        # The terminal sends Ctrl-C to both, and it is Ansible's to act on it; what is sent to us alone is passed on.
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
        process = subprocess.Popen(line, env=environment(os.environ, request, str(result_file)))
        signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
        code = process.wait()
        summary = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else None
    return exit_code(request, code, summary)


def main() -> int:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return NOTHING if words else ERRORS
    try:
        return run(parse(words))
    except UsageError as error:
        sys.stderr.write(f"carve: {error}\n")
        return ERRORS


if __name__ == "__main__":
    sys.exit(main())
