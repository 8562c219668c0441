#!/usr/bin/python
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Tell what a node is and which containers, templates and bridges it has
version_added: 0.1.0
description:
  - Reads the node's containers from their records, the kernel and their root filesystems. Changes nothing.
author:
  - Carve contributors (@carve-vps)
options: {}
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
  diff_mode:
    support: none
    description: Nothing is ever changed.
seealso:
  - module: carve.vps.node
"""

EXAMPLES = r"""
- name: Read the node
  carve.vps.node_info:
  register: found

- name: Name the containers that run
  ansible.builtin.debug:
    msg: "{{ found.containers | dict2items | selectattr('value.state', 'eq', 'running') | map(attribute='key') }}"
"""

RETURN = r"""
node:
  description: The node's kernel and tools, and what it lacks to be a node.
  returned: always
  type: dict
  contains:
    cgroup_version:
      description: Version of the control groups that hold the memory controller.
      type: int
      sample: 2
    cpus:
      description: How many processors are online.
      type: int
      sample: 8
    apparmor:
      description: Whether the kernel enforces AppArmor.
      type: bool
    swap_limit:
      description: Whether swap can be limited.
      type: bool
    quota:
      description: The kinds of disk quota that are in force where containers lie.
      type: list
      elements: str
      sample: [group, project, user]
    runtime:
      description: Version of the programs that start containers.
      type: str
      sample: 1144086b1831
    lacks:
      description: What bootstrapping would mend.
      type: list
      elements: str
containers:
  description: Everything that is listed as a container, by name.
  returned: always
  type: dict
  contains:
    managed:
      description: Whether it bears a readable record of Carve's. The values below are there only then.
      type: bool
    fleet:
      description: The fleet whose mark it bears.
      type: str
      sample: acme
    state:
      description: V(running), V(suspended) or V(stopped).
      type: str
      sample: running
    live_migration:
      description:
        - Whether the container, as it runs now, can be suspended with its memory and so be moved without a restart
          (C(fit)).
        - If not, what was found that forbids it (C(findings)), a sentence each.
      type: dict
      sample: {"fit": false, "findings": ["journald (120) holds bpf-prog, which CRIU does not save"]}
    pid:
      description: Process id of its init on the node, or null.
      type: int
    start_failure:
      description: Why it did not start when it was last tried, or null.
      type: str
    uuid:
      description: The container's identity, which is also its machine id.
      type: str
    template:
      description: The template version that it was made from.
      type: str
      sample: debian-13@1f4360e1dee7
    backend:
      description: V(overlay) or V(copy).
      type: str
      sample: overlay
    uid_range:
      description: The first and the last of its user ids on the node.
      type: list
      elements: int
      sample: [1310720, 1376255]
    declared:
      description: The options that were declared last.
      type: dict
      sample: {"ram": "512M"}
    observed:
      description: The values found in the kernel and in the root filesystem.
      type: dict
      sample: {"ram": "512M"}
    ram_in_use:
      description: Bytes of memory that cannot be reclaimed, where memory is limited.
      type: int
      sample: 12582912
    filesystem:
      description: The kind of the container's own filesystem, where the node's has no project quota; else null.
      type: str
      sample: xfs
    disk_in_use:
      description:
        - Bytes that the container alone takes on the node, its template not included, as a template is shared.
        - Null where nobody counts them.
      type: int
      sample: 73400320
    inodes_in_use:
      description: Files and directories that the container alone has, where project quota counts them; else null.
      type: int
      sample: 1532
    disk_users:
      description:
        - What the users take that are named in its option C(disk_users), by their ids inside, beside their limits.
        - Bytes are C(disk_in_use) of C(disk), files and directories C(inodes_in_use) of C(inodes). Null is no limit.
        - Null as a whole where the node's filesystem has no quota of users.
      type: dict
      sample: {"1000": {"disk_in_use": 524288000, "disk": 1073741824, "inodes_in_use": 812, "inodes": null}}
    disk_groups:
      description: The same of the groups in its option C(disk_groups).
      type: dict
      sample: {"100": {"disk_in_use": 1048576, "disk": 3221225472, "inodes_in_use": 7, "inodes": null}}
    snapshots:
      description: Its snapshots by name, with what they take, which is not counted for its option C(disk).
      type: dict
      sample: {"before-upgrade": {"taken": "2026-11-22T12:00:00Z", "schedule": null, "bytes": 73400320, "files": 1532,
        "frozen_s": 0.041, "memory_bytes": null, "template": "debian-13@1f4360e1dee7"}}
    snapshots_bytes:
      description: Bytes of all of its snapshots. Where the filesystem shares blocks, they take less together.
      type: int
      sample: 73400320
    configuration_edited:
      description: Whether its LXC configuration was changed by hand.
      type: bool
    usage:
      description:
        - What it uses and has used. Totals are over all of its runs, also those before a restart of the node.
        - What the kernel does not track is null, and so is what is held by a container that is stopped.
      type: dict
      contains:
        beancounters:
          description:
            - OpenVZ's beancounters by their names, in its units - pages of 4096 bytes, bytes, or things.
            - 9223372036854775807 is no limit.
          type: dict
          sample: {"numproc": {"held": 23, "maxheld": 61, "barrier": null, "limit": 400, "failcnt": 0}}
        cpu:
          description: Microseconds of processor time, and how long and how often its limit held it back.
          type: dict
          sample: {"cpu_us": 1500000, "throttled_us": 0, "throttled_times": 0}
        disk_traffic:
          description: Bytes and requests to block devices. What the node's memory answered is not among them.
          type: dict
          sample: {"read_bytes": 4096, "written_bytes": 8192, "reads": 1, "writes": 2}
        network_traffic:
          description: Bytes and packets by interface, as the container sees them.
          type: dict
          sample: {"eth0": {"in_bytes": 840, "in_packets": 10, "out_bytes": 420, "out_packets": 5}}
        network_buffers:
          description: Bytes of memory in network buffers of all kinds, where the kernel counts them for the container.
          type: int
          sample: 12288
set_aside:
  description: Containers that a move has set aside and that was broken off, with the fleet whose mark they bear.
  returned: always
  type: dict
  sample: {"web-2": "acme"}
left_behind:
  description: Snapshots of containers that are not on this node any more, as RV(containers) has them.
  returned: always
  type: dict
  sample: {"web-3": {"snapshots": {}, "snapshots_bytes": 0}}
templates:
  description: The versions of every template on the node.
  returned: always
  type: dict
  sample: {"debian-13": ["1f4360e1dee7"]}
bridges:
  description: The bridges that Carve made.
  returned: always
  type: dict
  sample: {"br-lan": {"fleet": "acme", "addresses": ["10.20.0.1/24"], "mtu": 1500, "uplink": null}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import info


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, **info.gather())


if __name__ == "__main__":
    main()
