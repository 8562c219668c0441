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
    if check:
        return _asked(params, host) if params["state"] == "open" else {"changed": False}
    host.paths.make()
    if params["state"] == "closed":
        session.close(host.paths, params["session"])
        return {"changed": True}
    networks, problems = _networks(params)
    if not params.get("key"):
        problems.append("key is missing: what carve.vps.departure returned, state: prepared")
    if problems:
        return failure(problems)
    try:
        with lock.held(host.paths, True, {"doing": "a move"}, _PATIENCE):
            arrival.make_bridges(host, params["fleet"], networks, params.get("bridges") or [])
        opened = session.open_for(
            host.paths, params["session"], params["key"], params.get("address"), params.get("port")
        )
    except (MoveError, lock.Busy, OSError) as error:
        return failure([str(error)])
    return {"changed": True, "port": opened[0], "host_key": opened[1]}


def _asked(params: Mapping[str, Any], host: Host) -> Result:
    networks, problems = _networks(params)
    problems += session.lacking()
    if problems:
        return failure(problems)
    to_come = arrival.bridges_of(networks, params.get("bridges") or [])
    answers = {}
    try:
        with lock.held(host.paths, True, {"doing": "a look before a move"}, _PATIENCE):
            for name, question in (params.get("questions") or {}).items():
                verdict = arrival.judge(host, name, question, to_come)
                answers[name] = {"reasons": verdict.reasons, "live": verdict.live}
    except (MoveError, lock.Busy, OSError) as error:
        return failure([str(error)])
    return {"changed": False, "answers": answers}


def _networks(params: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    problems: list[Problem] = []
    networks = desired.networks_of(params.get("networks") or {}, problems)
    return networks, [str(problem) for problem in problems]


def at_source(params: Mapping[str, Any], check: bool, host: Host | None = None) -> Result:
    """Make ready to send containers, or send them; to check, say what would become of them."""
    host = host or _host()
    names, ident, method = list(params["containers"]), params["session"], params.get("method") or preflight.AUTO
    problems = departure.problems(host, params["fleet"], names)
    if problems:
        return failure(problems)
    if check and params["state"] == "prepared":
        asked = preview.questions(host, names, method)
        return {"changed": False, "bridges": departure.bridges(host, names), "questions": asked}
    if check:
        return _result({name: preview.outcome(host, name, method, params.get("answers")) for name in names})
    host.paths.make()
    try:
        if params["state"] == "prepared":
            # Not under a move that is under way between the same two nodes: the key would be another one.
            with lock.held(host.paths, True, {"fleet": params["fleet"], "doing": "a move"}, _PATIENCE):
                key = departure.prepare(host, ident)
            return {"changed": False, "key": key, "bridges": departure.bridges(host, names)}
        with lock.held(host.paths, True, {"fleet": params["fleet"], "doing": "a move"}, _PATIENCE):
            where = (params["address"], params["port"], params["host_key"])
            remote = Remote(host.paths.move(ident), params.get("destination") or params["address"], *where)
            moves = _each(host, names, remote, method)
    except (MoveError, lock.Busy, OSError) as error:
        return failure([str(error)])
    finally:
        if params["state"] == "done":
            session.close(host.paths, ident)
    return _result(moves)


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
