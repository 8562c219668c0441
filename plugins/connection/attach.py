# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks inside a container, through its node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: attach
short_description: Run tasks inside a container from its node
version_added: 0.1.0
author:
  - Carve contributors (@carve)
description:
  - Runs tasks inside an LXC container by C(lxc-attach) on its node. The container needs no SSH server,
    no address and no key; C(ansible.builtin.raw) needs no Python in it either.
  - The node itself is reached as Ansible reaches it otherwise, by O(node_connection) with the variables of the node
    (C(ansible_host), C(ansible_user), C(ansible_ssh_common_args) and so on). If the node isn't in the inventory,
    they are taken from the variables of the container.
  - The P(carve.vps.fleet#inventory) inventory sets this connection, C(carve_node) and C(carve_container)
    for every container.
options:
  container:
    description:
      - Name of the container on its node. Required.
      - There is no default, so that a task that is delegated never ends up in another container.
    type: str
    vars:
      - name: carve_container
  node:
    description:
      - The node that the container is on, as it is called in the inventory. Required.
    type: str
    vars:
      - name: carve_node
  node_connection:
    description:
      - Connection plugin by which the node is reached, for example V(ssh) or V(local).
      - The default is the node's own C(ansible_connection), and V(ssh) if it has none.
    type: str
    vars:
      - name: carve_node_connection
  node_become:
    description:
      - Whether C(lxc-attach) is run by C(sudo -n) on the node. Needed where the node's user isn't root.
      - The default is the node's own C(ansible_become), and V(false) if it has none.
      - The node's user must be allowed to run C(lxc-attach) and C(lxc-info) without a password.
    type: bool
    vars:
      - name: carve_node_become
  lxc_path:
    description:
      - Directory on the node that holds the containers.
    type: str
    default: /var/lib/carve/containers
    vars:
      - name: carve_lxc_path
    env:
      - name: CARVE_LXC_PATH
    ini:
      - section: carve
        key: lxc_path
  pipelining:
    description:
      - Send modules to the interpreter's standard input instead of copying them into the container first.
      - On by default, unlike elsewhere. It is safe, because no terminal is ever asked for inside the container.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
notes:
  - Tasks run as the container's root. C(become) switches to other users inside the container as usual;
    the default C(become_method), V(sudo), needs C(sudo) in the container, V(su) doesn't.
  - C(ansible_user) and C(remote_user) say who logs in to the node.
  - Commands start in root's home with a fresh environment. Nothing of the node's environment is passed on.
  - A container that is frozen answers when it is thawed, not before.
  - C(meta=reset_connection) leaves the connection to the node alone, which other containers share.
    There is nothing else to reset, as every command enters the container anew.
seealso:
  - plugin: carve.vps.fleet
    plugin_type: inventory
"""

EXAMPLES = r"""
# Hosts of the carve.vps.fleet inventory use it by themselves:
#   ansible -i fleet.yml carve_containers -m ansible.builtin.ping
# By hand, in any YAML inventory:
all:
  hosts:
    node1:
      ansible_host: 192.0.2.11
    web-1:
      ansible_connection: carve.vps.attach
      carve_node: node1
      carve_container: web-1
"""

import contextlib
import os
import secrets
import typing as t
from collections import ChainMap
from collections.abc import Iterator, Mapping

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader
from ansible.utils.display import Display

from ..plugin_utils import attach

display = Display()

# An answer of a connection: return code, standard output, standard error.
Answer = tuple[int, bytes, bytes]


class Connection(ConnectionBase):
    """A container, through the connection to its node."""

    transport = "carve.vps.attach"
    has_pipelining = True
    has_tty = False
    # Who Ansible takes itself to be inside: it then needs no become for root, and may give files away.
    default_user = "root"

    def __init__(self, play_context: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(play_context, *args, **kwargs)
        # An inner connection has a shell of its own: the node's.
        self._inner_args = args
        self._inner_kwargs = {key: value for key, value in kwargs.items() if key != "shell"}
        self._inner: ConnectionBase | None = None
        self._inner_name = ""
        self._inner_variables: dict[str, t.Any] = {}
        self._node_become = False

    # Options: ours, and those of the inner connection, which come from the node's variables.

    def _resolve_option_variables(self, variables: Mapping[str, t.Any], templar: t.Any) -> dict[str, t.Any]:
        """Ansible's one moment at which a connection sees all variables: fetch the node's here."""
        options: dict[str, t.Any] = super()._resolve_option_variables(variables, templar)
        node, known = _node_variables(options.get("carve_node"), variables)
        # Only what the node itself says of become counts: in the container's variables it means become inside.
        self._node_become = boolean(_value(known, "ansible_become", templar, False)) if known is not None else False
        name = options.get("carve_node_connection")
        if not name and known is not None:
            name = _value(known, "ansible_connection", templar, None)
        self._load_inner(name or "ssh")
        self._inner_variables = self._loaded()._resolve_option_variables(node, templar)
        return options

    def set_options(
        self,
        task_keys: dict[str, t.Any] | None = None,
        var_options: dict[str, t.Any] | None = None,
        direct: dict[str, t.Any] | None = None,
    ) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if self._inner is None:
            self._load_inner(self.get_option("node_connection") or "ssh")
        inner = self._loaded()
        inner.set_options(task_keys=task_keys, var_options=self._inner_variables)
        # A terminal on the node would make lxc-attach open one inside too, which mixes standard output with standard
        # error and breaks binary data. Without one, ssh and local still answer password prompts.
        for option, value in (("use_tty", False), ("pipelining", True)):
            if inner.has_option(option):
                inner.set_option(option, value)

    def _load_inner(self, name: str) -> None:
        if self._inner is not None and self._inner_name == name:
            return
        inner = connection_loader.get(name, self._play_context, *self._inner_args, **self._inner_kwargs)
        if inner is None:
            raise AnsibleError(
                f"there is no connection plugin {name!r}: set carve_node_connection (or the node's "
                f"ansible_connection) to one that is installed, such as ssh or local"
            )
        if inner.matches_name([self._load_name, self.transport]):
            raise AnsibleError(
                f"the node of a container can't be reached by {self.transport}: set carve_node to a node, "
                f"or carve_node_connection to the connection of that node"
            )
        self._inner, self._inner_name = inner, name

    def _loaded(self) -> ConnectionBase:
        if self._inner is None:
            raise AnsibleError(f"{self.transport} was used before its options were set")
        return self._inner

    def _target(self) -> attach.Target:
        for option in ("container", "node"):
            if not self.get_option(option):
                raise AnsibleError(f"{self.transport} doesn't know the {option}: set carve_{option} for the host")
        become = self.get_option("node_become")
        return attach.Target(
            container=self.get_option("container"),
            node=self.get_option("node"),
            lxc_path=self.get_option("lxc_path"),
            become=self._node_become if become is None else become,
        )

    # Work.

    def _connect(self) -> Connection:
        self._connected = True  # the inner one connects by itself, and every command enters the container anew
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Answer:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        target = self._target()
        display.vvv(f"ATTACH {target.container} ON {target.node}: {to_text(cmd)}", host=target.container)
        return self._inside(target, to_text(cmd), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        target = self._target()
        display.vvv(f"PUT {in_path} TO {out_path}", host=target.container)
        part = f"{out_path}.{secrets.token_hex(4)}.part"
        size = 0
        try:
            with open(to_bytes(in_path, errors="surrogate_or_strict"), "rb") as source:
                left = os.fstat(source.fileno()).st_size
                while True:
                    data = source.read(attach.CHUNK)
                    script = attach.write_script(part, first=size == 0, empty=not data)
                    size += len(data)
                    last = size >= left
                    if last:
                        script += f" && {attach.commit_script(part, out_path, size)}"
                    script += f" || {{ {attach.discard_script(part)}; exit 1; }}"
                    self._transfer(target, script, f"put {in_path} to {out_path}", in_data=data or None)
                    if last:
                        return
        except FileNotFoundError as exc:
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}") from exc

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        target = self._target()
        display.vvv(f"FETCH {in_path} TO {out_path}", host=target.container)
        with open(to_bytes(out_path, errors="surrogate_or_strict"), "wb") as sink:
            index = 0
            while True:
                data = self._transfer(target, attach.read_script(in_path, index, attach.CHUNK), f"fetch {in_path}")
                sink.write(data)
                if len(data) != attach.CHUNK:
                    return
                index += 1

    def reset(self) -> None:
        self.close()  # and no more: other containers share the connection to the node

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()
        self._connected = False

    def _transfer(self, target: attach.Target, script: str, what: str, in_data: bytes | None = None) -> bytes:
        # Never sudoable: files go in and out as root, and Ansible hands them over by itself.
        returncode, stdout, stderr = self._inside(target, script, in_data=in_data, sudoable=False)
        if returncode != 0:
            why = to_text(stderr).strip() or f"ended with {returncode}"
            raise AnsibleError(f"container {target.container!r} on node {target.node!r}: failed to {what}: {why}")
        return stdout

    def _inside(self, target: attach.Target, script: str, *, in_data: bytes | None, sudoable: bool) -> Answer:
        """Run a script inside the container. What is the node's fault is raised, the rest is the caller's."""
        try:
            answer = self._on_node(target, target.command(script), in_data=in_data, sudoable=sudoable)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError:
            # The local connection raises, rather than answers, when become is awaited and the command ends first.
            self._raise_if_unreachable(target)
            raise
        if target.blames_lxc(answer[0], answer[2]):
            self._raise_if_unreachable(target)
        return answer

    def _raise_if_unreachable(self, target: attach.Target) -> None:
        trouble = target.explain(*self._on_node(target, target.state_command(), in_data=None, sudoable=False))
        if trouble:
            raise AnsibleConnectionFailure(trouble) from None  # the first error was but a symptom

    def _on_node(self, target: attach.Target, command: str, *, in_data: bytes | None, sudoable: bool) -> Answer:
        inner = self._loaded()
        # Ansible replaces ours between tasks, and inner connections (local) write to theirs.
        inner._play_context = self._play_context.copy()
        inner.set_become_plugin(self.become)  # it answers the prompts, of sudo and su inside the container too
        with _naming(target, self._inner_name):
            answer: Answer = inner.exec_command(command, in_data=in_data, sudoable=sudoable)
        return answer


def _node_variables(
    node: str | None, variables: Mapping[str, t.Any]
) -> tuple[Mapping[str, t.Any], Mapping[str, t.Any] | None]:
    """The variables to reach the node by, and the node's own (None if it isn't in the inventory)."""
    hostvars = variables.get("hostvars")
    if node and hostvars is not None and node in hostvars:
        known = hostvars[node]
        return known, known
    # `inventory_hostname` is what connections fall back to for the address: it must not be the container's name.
    return ChainMap({"inventory_hostname": node}, dict(variables)), None


def _value(variables: Mapping[str, t.Any], name: str, templar: t.Any, default: t.Any) -> t.Any:
    value = templar.template(variables[name]) if name in variables else None
    return default if value is None else value


@contextlib.contextmanager
def _naming(target: attach.Target, inner: str) -> Iterator[None]:
    """Say whose connection it was that failed."""
    try:
        yield
    except AnsibleConnectionFailure as exc:
        raise AnsibleConnectionFailure(
            f"container {target.container!r}: the {inner} connection to its node {target.node!r} failed"
        ) from exc
