# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the destination of a move keeps open while it lasts: an SSH server of the move's own.

It is no part of the node's own SSH configuration: it has a host key and one user key made for the move, runs nothing
but ``arrive``, and lies in ``/run``, so that nothing of it outlives the node's next boot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from .. import files
from ..paths import LIBRARY, SEARCH, Paths
from .remote import MoveError

PORTS = range(8622, 8642)
_LIFETIME = 24 * 3600  # seconds after which a server that nobody has closed ends by itself
_PATIENCE = 10.0  # seconds that it may take to listen
_CONFIG = """\
Port {port}
{listen}HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
PermitRootLogin forced-commands-only
AllowUsers root
AuthenticationMethods publickey
KbdInteractiveAuthentication no
UsePAM yes
DisableForwarding yes
PermitTTY no
PermitUserRC no
ClientAliveInterval 5
ClientAliveCountMax 4
MaxStartups 50
PrintMotd no
"""


def open_for(paths: Paths, ident: str, public_key: str, address: str | None, port: int | None) -> tuple[int, str]:
    """Let whoever has the private key in; the port and the server's public host key. Raises ``MoveError``."""
    _refuse_odd(ident, public_key)
    close(paths, ident)
    directory = paths.move(ident)
    os.makedirs(directory, mode=0o700)
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    make_key(f"{directory}/host_key")
    command = f'restrict,command="{LIBRARY}/arrive {ident}" {public_key}\n'
    files.write(f"{directory}/authorized_keys", command, mode=0o600)
    for number in [port] if port else PORTS:
        if _is_free(address, number) and _serve(directory, address, number):
            return number, (files.read(f"{directory}/host_key.pub") or "").strip()
    said = (files.read(f"{directory}/log") or "").strip().splitlines()
    close(paths, ident)
    where = f"port {port}" if port else f"any port from {PORTS[0]} to {PORTS[-1]}"
    raise MoveError(f"sshd does not listen on {where}: {'; '.join(said[-3:]) or 'it says nothing'}")


def _refuse_odd(ident: str, public_key: str) -> None:
    if not re.fullmatch(r"[a-z0-9-]{1,80}", ident) or not re.fullmatch(r"ssh-ed25519 [A-Za-z0-9+/=]+", public_key):
        raise MoveError("the session's name or key is none that Carve makes")
    for reason in lacking():
        raise MoveError(reason)


def lacking() -> list[str]:
    """What is missing on this node for anything to come here."""
    needed = (("sshd", "openssh-server"), ("ssh-keygen", "openssh-client"), ("rsync", "rsync"))
    return [
        f"{program} is not installed; install Debian's package {package} on this node"
        for program, package in needed
        if shutil.which(program, path=SEARCH) is None
    ]


def make_key(path: str) -> str:
    """A new key pair at ``path`` and ``path.pub``; the public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise MoveError(f"no key can be made: {(result.stderr or result.stdout).strip()}")
    return (files.read(f"{path}.pub") or "").strip()


def _is_free(address: str | None, port: int) -> bool:
    """Whether nobody listens there. sshd is content with one family, and then the other one leads to a stranger."""
    families = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
    if address:
        families = {socket.AF_INET6 if ":" in address else socket.AF_INET: address}
    for family, host in families.items():
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
                # Only then does the kernel look whether another socket listens on an address of these.
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def _serve(directory: str, address: str | None, port: int) -> bool:
    listen = f"ListenAddress {address}\n" if address else ""
    files.write(f"{directory}/config", _CONFIG.format(directory=directory, port=port, listen=listen), mode=0o600)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/log")
    command = ["/usr/bin/timeout", str(_LIFETIME), "/usr/sbin/sshd", "-D", "-f", f"{directory}/config"]
    server = subprocess.Popen(
        [*command, "-E", f"{directory}/log"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
    )  # fmt: skip
    files.write(f"{directory}/pid", f"{server.pid}\n")
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        if "Server listening on" in (files.read(f"{directory}/log") or ""):
            return True
        with contextlib.suppress(OSError), socket.create_connection((address or "127.0.0.1", port), timeout=1) as line:
            if line.recv(4) == b"SSH-" and server.poll() is None:
                return True
        time.sleep(0.05)
    _end(directory)
    return False


def is_open(paths: Paths) -> bool:
    """Whether anybody may be sending something to this node."""
    with contextlib.suppress(FileNotFoundError):
        return any(_server(paths.move(ident)) for ident in os.listdir(os.path.dirname(paths.move("x"))))
    return False


def open_since(paths: Paths) -> float | None:
    """When the first of those that may be sending something was let in, in seconds of the node's clock."""
    top = os.path.dirname(paths.move("x"))
    with contextlib.suppress(FileNotFoundError):
        doors = [paths.move(ident) for ident in os.listdir(top)]
        return min((os.stat(f"{door}/authorized_keys").st_mtime for door in doors if _server(door)), default=None)
    return None


def close(paths: Paths, ident: str) -> None:
    """End a session; one that is not there is fine. Whoever is connected is cut off."""
    _end(paths.move(ident))
    files.remove_tree(paths.move(ident))


def _server(directory: str) -> int | None:
    """The process group of a session's server, if it lives: the number may be somebody else's by now."""
    with contextlib.suppress(OSError, ValueError):
        group = int(files.read(f"{directory}/pid") or "")
        with open(f"/proc/{group}/cmdline", encoding="utf-8") as handle:
            return group if f"{directory}/config" in handle.read() else None
    return None


def _end(directory: str) -> None:
    group = _server(directory)
    if group is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while _server(directory) is not None and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)
            time.sleep(0.02)
