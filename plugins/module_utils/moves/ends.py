# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ends of a move as the modules call them: ``carve.vps.arrival`` and ``carve.vps.departure``. Results only;
what goes wrong is in ``failed`` and ``msg``, as Ansible wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import desired, lock
from ..engines import lxc
from ..failure import failure
from ..host import Host, apparmor_enabled
from ..model import Problem
from ..paths import Paths
from . import arrival, departure, preflight, preview, session
from .remote import MoveError, Remote

_AT_ONCE = 4  # more share one line and one disk without coming sooner
_PATIENCE = 60.0  # seconds that another run on the node may take

Result = dict[str, Any]


def at_destination(params: Mapping[str, Any], check: bool = False, host: Host | None = None) -> Result:
    """Open or close what the source of a move speaks to; to check, say what it would be told."""
    host = host or _host()
    if params["state"] == "closed":
        if not check:
            session.close(host.paths, params["session"])
        return {"changed": not check}
    fleet, bridges = params["fleet"], params.get("bridges") or []
    problems: list[Problem] = []
    networks = desired.networks_of(params.get("networks") or {}, problems)
    errors = [str(problem) for problem in problems]
    if not (check or params.get("key")):
        errors.append("key is missing: what carve.vps.departure returned, state: prepared")
    if errors:
        return failure(errors)
    try:
        if check:
            with lock.held(host.paths, False, {}, _PATIENCE):
                to_come = arrival.bridges_to_come(host, fleet, networks, bridges)
                told = preview.answers(host, params.get("questions") or {}, to_come)
            return {"changed": False, "answers": told}
        host.paths.make()
        with lock.held(host.paths, True, {"doing": "a move"}, _PATIENCE):
            arrival.make_bridges(host, fleet, networks, bridges)
        where = (params.get("address"), params.get("port"))
        port, host_key = session.open_for(host.paths, params["session"], params["key"], *where)
    except (MoveError, lock.Busy, OSError) as error:
        return failure([str(error)])
    return {"changed": True, "port": port, "host_key": host_key}


def at_source(params: Mapping[str, Any], check: bool, host: Host | None = None) -> Result:
    """Make ready to send containers, or send them; to check, say what would become of them."""
    host = host or _host()
    names, ident, method = list(params["containers"]), params["session"], params.get("method") or preflight.AUTO
    destination, ready = params.get("destination") or params.get("address"), params["state"] == "prepared"
    problems = departure.problems(host, params["fleet"], names)
    if problems:
        return failure(problems)
    try:
        if not check:
            host.paths.make()
        # Not under a move that is under way between the same two nodes: the key would be another one.
        with lock.held(host.paths, not check, {"fleet": params["fleet"], "doing": "a move"}, _PATIENCE):
            if check and ready:
                asked = preview.questions(host, names, method)
                return {"changed": False, "bridges": departure.bridges(host, names), "questions": asked}
            if check:
                told = params.get("answers")
                return _result({name: preview.outcome(host, name, method, destination, told) for name in names})
            if ready:
                return {"changed": False, "key": departure.prepare(host, ident),
                        "bridges": departure.bridges(host, names)}  # fmt: skip
            try:
                return _send(host, params, names, str(destination), method)
            finally:
                session.close(host.paths, ident)
    except (MoveError, lxc.EngineError, lock.Busy, OSError) as error:
        return failure([str(error)])


def _send(host: Host, params: Mapping[str, Any], names: Sequence[str], destination: str, method: str) -> Result:
    if not params["port"]:
        return failure([f"nothing was moved: {destination} lets nobody in"])
    key = host.paths.move(params["session"])
    return _result(
        _each(host, names, Remote(key, destination, params["address"], params["port"], params["host_key"]), method)
    )


def _result(moves: Mapping[str, Any]) -> Result:
    errors = [f"{name}: {_said(came)}" for name, came in moves.items() if came["result"] != departure.MOVED]
    result = {"changed": any(came["result"] == departure.MOVED for came in moves.values()), "moves": moves}
    return {**result, **failure(errors)} if errors else result


def _each(host: Host, names: Sequence[str], remote: Remote, method: str) -> dict[str, Any]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: departure.move(host, name, remote, method), names)))


def _said(came: Mapping[str, Any]) -> str:
    if came["result"] == departure.UNKNOWN:
        return f"it is set aside here, and runs nowhere that is known ({came['error']}); run the same move again"
    beside = f" ({came['not_live']})" if came.get("not_live") else ""
    return f"stays where it was: {came['error']}{beside}"


def _host() -> Host:
    return Host(paths=Paths(), apparmor=apparmor_enabled())
