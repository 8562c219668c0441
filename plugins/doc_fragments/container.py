# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Generated from plugins/module_utils/model by `./dev docs`; edit that.

from __future__ import annotations


class ModuleDocFragment:
    """The options of a container."""

    DOCUMENTATION = r"""
options:
  state:
    description:
    - 'What should be: C(running), C(stopped), C(suspended) (processes and memory on disk, not running), C(absent) (destroyed),
      or C(keep), which leaves power as it is found.'
    type: str
    default: running
    choices:
    - running
    - stopped
    - suspended
    - absent
    - keep
  template:
    description:
    - The template that the container is cloned from.
    type: str
  template_policy:
    description:
    - 'What happens when the definition of the template changes after the container was made from it: C(pin) keeps the
      container as it is, C(warn) also says so, C(rebuild) makes its root filesystem anew, where rebuilding is allowed.'
    type: str
    default: warn
    choices:
    - pin
    - warn
    - rebuild
  protect:
    description:
    - Guards the container against being destroyed or rebuilt. The guard is kept on the node, so deleting the container
      from the manifest does not delete it.
    type: bool
    default: false
  id:
    description:
    - 'The container''s range of 65536 host user ids, as the number of the range: 20 means host ids from 1310720 up. Worked
      out from the name unless given. A container that is there keeps the range that it was made with; the plan says where
      that is another.'
    - From 16 to 32767.
    type: int
  cpus:
    description:
    - How much processor time the container may use, in processors.
    type: float
  cpu_weight:
    description:
    - The container's share of busy processors, against the others; 100 is what a container without a weight has.
    - From 1 to 10000.
    type: int
  cpuunits:
    description:
    - 'OpenVZ''s word for O(cpu_weight), where 1000 is the middle: 1000 units are a weight of 100.'
    type: int
  cpulimit:
    description:
    - 'OpenVZ''s word for O(cpus), as a percentage of one processor: C(150%) is 1.5 processors.'
    type: str
  cpu_set:
    description:
    - The processors that the container may run on.
    type: str
  ram:
    description:
    - Memory, page cache included. Lowering it below what is in use is refused.
    - At least 4M.
    type: str
  swap:
    description:
    - Swap space on top of C(ram); C(0) for none.
    - At least 0.
    type: str
  ram_guarantee:
    description:
    - Memory that is left to the container when the node runs short; others give back theirs first. At most O(ram).
    - At least 1M.
    type: str
  io_weight:
    description:
    - The container's share of a busy disk, against the others; 100 is what a container without a weight has. The disk
      needs a scheduler that knows weights.
    - From 1 to 1000.
    type: int
  ioprio:
    description:
    - OpenVZ's word for O(io_weight), from 0, the lowest, to 7; 4 is a weight of 100.
    type: int
  io_read:
    description:
    - Bytes per second that the container may read from the disk of the node's containers.
    - At least 64K.
    type: str
  io_write:
    description:
    - Bytes per second that it may write there.
    - At least 64K.
    type: str
  iolimit:
    description:
    - OpenVZ's word for O(io_read) and O(io_write), each of which gets the whole of it.
    - At least 64K.
    type: str
  io_read_ops:
    description:
    - Operations per second that the container may read from the disk with.
    - From 10 to 4294967294.
    type: int
  io_write_ops:
    description:
    - Operations per second that it may write to the disk with.
    - From 10 to 4294967294.
    type: int
  iopslimit:
    description:
    - OpenVZ's word for O(io_read_ops) and O(io_write_ops), each of which gets the whole of it.
    - From 10 to 4294967294.
    type: int
  processes:
    description:
    - How many processes and threads may exist at once.
    - From 8 to 4194304.
    type: int
  disk:
    description:
    - Disk space for what the container has written; its template, which is shared, does not count. Lowering it below
      what is in use is refused.
    - At least 16M.
    type: str
  inodes:
    description:
    - How many files and directories the container may have made; C(200k) is 200000.
    - At least 1k.
    type: str
  disk_users:
    description:
    - 'Limits of users inside the container, by their number there: C(disk), C(inodes), or both. They hold together with
      those of the container.'
    type: dict
  disk_groups:
    description:
    - The same of groups inside the container.
    type: dict
  network:
    description:
    - Network interfaces by their name inside the container.
    - C(on) - The network, by its name in C(networks).
    - C(ip) - IPv4 and IPv6 addresses, inside the network's subnets. In the manifest, a container with C(count) may write
      a range such as C(203.0.113.10-12), one address each, and C(auto) is one address of each of the network's subnets,
      from its pool.
    - C(mac) - The MAC address; worked out from fleet, container and interface unless given.
    - C(rate_in) - The most that the container receives in a second, such as C(10mbit) or C(1gbit).
    - C(rate_out) - The most that the container sends in a second.
    - C(trusted) - Whether the container may send from any address, as a router does. Otherwise what does not come from
      its own IP and MAC addresses is dropped.
    type: dict
  hostname:
    description:
    - The host name; the container's own name unless given.
    type: str
  nameservers:
    description:
    - DNS servers, written to C(/etc/resolv.conf). Without them that file belongs to the container.
    type: list
    elements: str
  search_domains:
    description:
    - DNS search domains, written with O(nameservers).
    type: list
    elements: str
  hosts:
    description:
    - More names for the container's C(/etc/hosts), in a block of Carve's.
    type: dict
  ssh_keys:
    description:
    - Public keys that may log in as root, in a block of Carve's in C(/root/.ssh/authorized_keys); keys outside the block
      are left alone.
    type: list
    elements: str
  mounts:
    description:
    - Files and directories of the node, by the path inside at which the container sees them.
    - C(source) - The file or directory of the node, by its path without symbolic links.
    - C(read_only) - Whether nothing can be written through the mount.
    - 'C(idmap) - Whether files keep the ids that they have inside: what the container''s root writes belongs to the node''s
      root. Without it they belong to the container''s own host ids.'
    - 'C(create) - Whether a missing C(source) is made: a directory of the container''s root.'
    type: dict
  devices:
    description:
    - Character and block devices of the node, by their path there, which is their path inside, too.
    - C(mode) - C(rw), or C(r) for reading only.
    - C(group) - The group inside, by number, that may open the device; root always may.
    type: dict
  network_cards:
    description:
    - Network cards of the node that are the container's alone while it runs, by their name there.
    - C(name) - The card's name inside; its name on the node unless given.
    type: dict
  features:
    description:
    - 'What the container may do beside what every container may: C(fuse), C(tun) and C(ppp) give it the device that such
      software opens; C(nesting) lets it run containers of its own, and needs a restart.'
    type: list
    elements: str
  sysctls:
    description:
    - 'Kernel parameters of the container''s own namespaces: C(net.*), C(fs.mqueue.*), and those of System V IPC.'
    type: dict
  rlimits:
    description:
    - 'Resource limits (getrlimit(2)) that the container''s init starts with, and no process inside can raise: C(SOFT:HARD),
      or one value for both.'
    type: dict
  drop_capabilities:
    description:
    - Capabilities that no process inside can ever have (capabilities(7)).
    type: list
    elements: str
  live_migration:
    description:
    - Whether the container is built and booted so that it can be suspended with its memory, and moved while it runs.
      It gives up what systemd confines its services by inside the container. No, unless given.
    type: bool
  timezone:
    description:
    - The time zone, as C(/etc/localtime) and C(/etc/timezone).
    type: str
  snapshots:
    description:
    - 'Schedules by which the node takes snapshots of the container, by a name of yours: how often, how many are kept,
      and whether with its memory. Those made by hand are not touched.'
    - 'C(every) - How often: C(30m), C(6h), C(1d), C(1w).'
    - C(keep) - How many of this schedule's snapshots are kept; the oldest go.
    - C(memory) - Whether memory and processes are kept, too, of a container with C(live_migration=true) that runs. It
      stands still for as long as they take to write.
    type: dict
  autostart:
    description:
    - Whether the container starts when the node does.
    type: bool
    default: true
  start_order:
    description:
    - Containers with a lower number start earlier; equal ones start together.
    - From 0 to 100000.
    type: int
    default: 100
  start_delay:
    description:
    - Seconds to wait after this container was started before those of the next order are.
    - From 0 to 3600.
    type: int
    default: 0
  stop_timeout:
    description:
    - Seconds that the container gets to shut down cleanly before it is killed.
    - From 0 to 86400.
    type: int
    default: 60
"""
