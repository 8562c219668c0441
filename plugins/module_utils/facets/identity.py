# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a container is: host name, ``/etc/hosts``, DNS, root's SSH keys, machine id.

``/etc/hosts`` and ``authorized_keys`` belong to the container but for a block of Carve's; ``/etc/hostname`` and, where
``nameservers`` are declared, ``/etc/resolv.conf`` are Carve's. The machine id (machine-id(5)) is given once, with the
root filesystem.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .. import files, rootfs
from ..host import Box, Host
from ..kernel import inroot, namespaces, syscalls
from ..steps import Change
from .base import Facet

_HOSTS, _HOSTNAME, _RESOLV, _KEYS = "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/root/.ssh/authorized_keys"
_BEGIN, _END = "# BEGIN carve: this block is written from the fleet's manifest", "# END carve"
# RFC 1700's loopback network; Debian's own convention for a host without a permanent address (Debian Reference, 5.1.1).
_OWN_ADDRESS = "127.0.1.1"


class Identity(Facet):
    name = "identity"
    live_rows = ()
    file_rows = ("hostname", "nameservers", "search_domains", "hosts", "ssh_keys")

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        running = [box for box in boxes if box.pid]
        names = namespaces.inside(lambda: {box.name: _kernel_name(box) for box in running}) if running else {}
        return {box.name: _observe(box, names.get(box.name)) for box in boxes}

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        return [("lxc.uts.name", box.record.fields["hostname"])]

    def apply_live(self, host: Host, box: Box, changes: Iterable[Change]) -> None:
        fields = {**box.record.fields, **{change.field: change.after for change in changes}}
        touched = {change.field for change in changes}
        if box.pid and "hostname" in touched:
            entered = (syscalls.CLONE_NEWUTS, f"/proc/{box.pid}/ns/uts")
            namespaces.inside(lambda: syscalls.sethostname(fields["hostname"]), entered)
        with rootfs.opened(host.paths, box) as root:
            _write(root, box.record.base_id, fields, touched)

    def reapply(self, host: Host, box: Box) -> None:
        """The files are kept; LXC sets the kernel's host name to that of the first start."""
        entered = (syscalls.CLONE_NEWUTS, f"/proc/{box.pid}/ns/uts")
        namespaces.inside(lambda: syscalls.sethostname(box.record.fields["hostname"]), entered)


def furnish(host: Host, box: Box) -> None:
    """Write all of a new root filesystem's identity."""
    with rootfs.opened(host.paths, box) as root:
        inroot.write(root, "/etc/machine-id", f"{box.record.uuid}\n", box.record.base_id, mode=0o444)
        _write(root, box.record.base_id, box.record.fields, set(box.record.fields))


def _write(root: int, owner: int, fields: Mapping[str, Any], touched: set[str]) -> None:
    if "hostname" in touched:
        inroot.write(root, _HOSTNAME, f"{fields['hostname']}\n", owner)
    if touched & {"hostname", "hosts"}:
        lines = [f"{_OWN_ADDRESS} {' '.join(_names(fields['hostname']))}"]
        lines += [f"{address} {name}" for name, address in (fields.get("hosts") or {}).items()]
        inroot.write(root, _HOSTS, _with_block(inroot.read(root, _HOSTS) or "", lines), owner)
    if touched & {"nameservers", "search_domains"} and fields.get("nameservers") is not None:
        search = fields.get("search_domains")
        lines = [f"search {' '.join(search)}"] if search else []
        lines += [f"nameserver {address}" for address in fields["nameservers"]]
        inroot.write(root, _RESOLV, "".join(f"{line}\n" for line in lines), owner)
    if "ssh_keys" in touched:
        text = _with_block(inroot.read(root, _KEYS) or "", fields.get("ssh_keys") or [])
        inroot.write(root, _KEYS, text, owner, mode=0o600, directory_mode=0o700)


def _names(hostname: str) -> list[str]:
    short = hostname.partition(".")[0]
    return [hostname] if short == hostname else [hostname, short]


def _with_block(text: str, lines: Iterable[str]) -> str:
    """The file's text with its block replaced, added at the end, or removed when there are no lines."""
    before, block, after = _split(text)
    ours = list(lines)
    new = f"{_BEGIN}\n" + "".join(f"{line}\n" for line in ours) + f"{_END}\n" if ours else ""
    if block is None and before and not before.endswith("\n"):
        before += "\n"
    return before + new + after


def _split(text: str) -> tuple[str, list[str] | None, str]:
    """What stands before the block, the block's lines (``None`` when there is none), and what stands after it."""
    start = _find_line(text, _BEGIN, 0)
    end = _find_line(text, _END, start) if start >= 0 else -1
    if end < 0:
        return text, None, ""
    block = text[start + len(_BEGIN) + 1 : end].split("\n")[:-1]
    return text[:start], block, text[end + len(_END) :].removeprefix("\n")


def _find_line(text: str, line: str, start: int) -> int:
    """Where a line stands that is just this, or -1."""
    return f"\n{text}\n".find(f"\n{line}\n", start)


def _kernel_name(box: Box) -> str | None:
    try:
        fd = os.open(f"/proc/{box.pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        syscalls.setns(fd, syscalls.CLONE_NEWUTS)
    finally:
        os.close(fd)
    return files.printable(os.uname().nodename)


def _observe(box: Box, kernel_name: str | None) -> dict[str, Any]:
    recorded = box.record.fields
    with rootfs.opened_for_reading(box) as root:
        if root is None:
            return {}
        hosts_name, hosts = _read_hosts(inroot.look(root, _HOSTS))
        names = [(inroot.look(root, _HOSTNAME) or "").strip() or None, hosts_name]
        if box.pid:
            names.append(kernel_name)
        seen: dict[str, Any] = {
            # Three places hold the name; one that differs is what there is to tell.
            "hostname": next((name for name in names if name != recorded["hostname"]), recorded["hostname"]),
            "hosts": hosts,
        }
        if "nameservers" in recorded:
            seen["nameservers"], seen["search_domains"] = _read_resolv(inroot.look(root, _RESOLV))
        if "ssh_keys" in recorded:
            seen["ssh_keys"] = _split(inroot.look(root, _KEYS) or "")[1] or []
        return seen


def _read_hosts(text: str | None) -> tuple[str | None, dict[str, str]]:
    name, hosts = None, {}
    for line in _split(text or "")[1] or []:
        address, *names = line.split() or [""]
        if names and address == _OWN_ADDRESS and name is None:
            name = names[0]
        elif names:
            hosts[names[0]] = address
    return name, hosts


def _read_resolv(text: str | None) -> tuple[list[str] | None, list[str] | None]:
    servers: list[str] = []
    search: list[str] = []
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            servers.append(words[1])
        elif len(words) > 1 and words[0] == "search":
            search = words[1:]
    return (None, None) if text is None else (servers, search)
