#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: departure
short_description: Move containers from this node to another one
version_added: 0.1.0
author:
  - Carve contributors (@carve-vps)
description:
  - Copies a container while it runs, stops it, or suspends it with its memory, copies what has changed since, and lets
    the destination start it or make it anew. The
    copy here is removed when the destination has said that the container runs there, with its addresses.
  - At every moment at most one of the two runs. Where the destination refuses or fails, the container is started here
    again. Where it does not answer, the container stays aside until the same move is run again, which finds out.
  - Used by the playbooks C(carve.vps.migrate) and C(carve.vps.drain).
options:
  state:
    description: V(prepared) makes the key of the move and changes nothing else; V(done) moves the containers.
    type: str
    choices: [prepared, done]
    required: true
  session:
    description: The move's name, the same at the destination.
    type: str
    required: true
  fleet:
    description: The fleet that the containers belong to.
    type: str
    required: true
  containers:
    description: The containers to move.
    type: list
    elements: str
    required: true
  method:
    description:
      - V(live) moves them with their memory, frozen for a while and never stopped, or not at all.
      - V(restart) stops them here and starts them there.
      - V(auto) moves live those that are declared C(live_migration=true) where nothing forbids it, and the others by a
        restart.
    type: str
    choices: [auto, live, restart]
    default: auto
  destination:
    description: The destination's name in the inventory, kept with the container until the move has ended.
    type: str
  address:
    description: Where the destination is reached from here.
    type: str
  port:
    description: The port that M(carve.vps.arrival) returned.
    type: int
  host_key:
    description: The host key that M(carve.vps.arrival) returned.
    type: str
  answers:
    description:
      - What M(carve.vps.arrival) returned in check mode, to tell what would become of each container.
      - Without it, the destination was not asked, and only what is known here counts. Used in check mode alone.
    type: dict
attributes:
  check_mode:
    support: full
    description:
      - Says of every container whether it would move, and how, and why not, by what both nodes find before a move.
        Nothing is made, stopped or sent.
  diff_mode:
    support: none
    description: The result says of every container what became of it.
seealso:
  - module: carve.vps.arrival
"""

EXAMPLES = r"""
- name: Move two containers
  carve.vps.departure:
    state: done
    session: node1-node2
    fleet: acme
    containers: [web-1, web-2]
    address: 192.0.2.12
    port: "{{ arrival.port }}"
    host_key: "{{ arrival.host_key }}"
"""

RETURN = r"""
key:
  description: The public key of the move.
  returned: when it was prepared, not in check mode
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2
bridges:
  description: The bridges that the containers need at their destination.
  returned: when it was prepared
  type: list
  elements: str
  sample: [br-lan]
questions:
  description: What M(carve.vps.arrival) is to be asked about each container, in check mode.
  returned: when it was prepared, in check mode
  type: dict
moves:
  description: What became of each container, or would become of it.
  returned: when it was done
  type: dict
  contains:
    result:
      description: V(moved), V(stayed), or V(unknown) where the destination does not answer.
      type: str
      sample: moved
    error:
      description: Why it did not move.
      type: str
    method:
      description: V(live) or V(restart), whichever it was.
      type: str
      sample: live
    not_live:
      description: Why it was not moved live, or null.
      type: str
    ahead_s:
      description: Of a live move, seconds in which memory was written and sent while it ran, where possible.
      type: float
      sample: 1.2
    ahead_bytes:
      description: What was sent of its memory while it ran.
      type: int
      sample: 44040192
    dump_s:
      description: Of a live move, seconds until its memory was on disk here. Part of RV(moves.away_s), as the next two.
      type: float
      sample: 0.6
    memory_s:
      description: Of a live move, seconds until its memory was there.
      type: float
      sample: 0.4
    start_s:
      description: Seconds in which it was started, or made anew, there.
      type: float
      sample: 0.9
    memory_bytes:
      description: What was sent of its memory.
      type: int
      sample: 44040192
    away_s:
      description: Seconds from its stop here, or from when it was frozen, until it ran there.
      type: float
      sample: 3.2
    first_pass_bytes:
      description: What was sent while it ran.
      type: int
      sample: 52428800
    first_pass_s:
      description: Seconds in which that was sent.
      type: float
      sample: 4.1
    template_bytes:
      description: What was sent of its template, where the destination had not the very same.
      type: int
      sample: 314572800
    left_behind:
      description: Why the copy here could not be removed, of one that serves at its destination. An apply tries again.
      type: str
      sample: "rm: cannot remove 'x': Input/output error"
    snapshots_left:
      description: How many snapshots of it stay on this node, if any.
      type: int
      sample: 3
    second_pass_bytes:
      description: What was sent after it was stopped.
      type: int
      sample: 131072
    second_pass_s:
      description: Seconds in which that was sent. Part of RV(moves.away_s), beside RV(moves.memory_s).
      type: float
      sample: 0.8
errors:
  description: What went wrong, one sentence each.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.moves import ends


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "done"], "required": True},
            "session": {"type": "str", "required": True},
            "fleet": {"type": "str", "required": True},
            "containers": {"type": "list", "elements": "str", "required": True},
            "method": {"type": "str", "choices": ["auto", "live", "restart"], "default": "auto"},
            "destination": {"type": "str"},
            "address": {"type": "str"},
            "port": {"type": "int"},
            "host_key": {"type": "str", "no_log": False},
            "answers": {"type": "dict"},
        },
        required_if=[("state", "done", ["address", "port", "host_key"])],
        supports_check_mode=True,
    )
    result = ends.at_source(module.params, module.check_mode)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)


if __name__ == "__main__":
    main()
