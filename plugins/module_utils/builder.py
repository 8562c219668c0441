# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates on the node: built aside, visible by one rename, shared read-only by the containers made from them.

Commands and names from the manifest are only ever arguments of programs; the text of ``commands:`` is handed, whole, to
the shell of the new root filesystem, which is what it is written for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from . import files
from .paths import SEARCH, Paths

# What every built system has: an init, and what is needed to look at a network that does not work.
_BASE_PACKAGES = ("init", "dbus", "iproute2", "iputils-ping", "netbase", "procps")
# Units that cannot work without the host's privileges and would leave systemd "degraded".
_MASKED = ("sys-kernel-debug.mount", "sys-kernel-config.mount", "systemd-modules-load.service")
_SSH_DROP_IN = (
    "# Each container makes host keys of its own at its first start: the template has none.\n"
    "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n"
)
_DOWNLOADER = "/usr/lib/apt/apt-helper"
_OUTPUT_LINES = 15
_ABOUT = "template.json"


class BuildError(Exception):
    """A template cannot be built; the message holds the words of the program that failed."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        # Programs go on for a while after the line that tells why.
        self.disk_full = files.FULL in output


def build(paths: Paths, name: str, digest: str, definition: Mapping[str, Any], parent: str | None) -> None:
    """Make one version of a template. ``parent`` is the version of ``from:``. Raises ``BuildError``."""
    staged = f"{paths.staging}/template.{name}.{digest}"
    files.remove_tree(staged)
    os.makedirs(staged, mode=0o711)
    rootfs = f"{staged}/rootfs"
    try:
        if "build" in definition:
            _bootstrap(rootfs, definition["build"])
        elif "archive" in definition:
            _unpack(definition["archive"], definition["sha256"], staged, rootfs)
        else:
            _run(["cp", "-a", "--reflink=auto", f"{paths.template(definition['from'], parent or '')}/rootfs", rootfs])
        _customise(rootfs, definition)
        _finish(rootfs)
        about = {"name": name, "digest": digest, "definition": dict(definition), "build": os.urandom(6).hex()}
        files.write_json(f"{staged}/{_ABOUT}", about)
        publish(paths, staged, name, digest)
    except BaseException:
        files.remove_tree(staged)
        raise


def build_of(paths: Paths, name: str, version: str) -> str | None:
    """Which build a version is: no two have the same. ``None`` where there is no such version."""
    about = files.read_json(f"{paths.template(name, version)}/{_ABOUT}")
    return str(about["build"]) if about else None


def remove(paths: Paths, name: str, digest: str) -> None:
    """Remove a version that no container is made from."""
    staged = f"{paths.staging}/template.{name}.{digest}.gone"
    os.rename(paths.template(name, digest), staged)
    with contextlib.suppress(OSError):
        os.rmdir(f"{paths.templates}/{name}")
    files.remove_tree(staged)


def publish(paths: Paths, staged: str, name: str, version: str) -> None:
    """Let a version that was made aside be one."""
    # Data before the name that makes it a template: a power cut must not leave one with empty files.
    _run(["sync", "--file-system", staged])
    os.makedirs(f"{paths.templates}/{name}", mode=0o711, exist_ok=True)
    os.rename(staged, paths.template(name, version))
    files.sync([f"{paths.templates}/{name}"])


def _bootstrap(rootfs: str, build_options: Mapping[str, Any]) -> None:
    packages = ",".join((*_BASE_PACKAGES, *build_options.get("packages", ())))
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={packages}"]
    if build_options.get("components"):
        command.append(f"--components={','.join(build_options['components'])}")
    command += [build_options["suite"], rootfs]
    if build_options.get("mirror"):
        command.append(build_options["mirror"])
    _run(command)


def _unpack(source: str, sha256: str, staged: str, rootfs: str) -> None:
    archive = source
    if not source.startswith("/"):
        archive = f"{staged}/archive"
        # apt's own downloader knows the node's proxies; as root, for its usual user cannot write here.
        _run([_DOWNLOADER, "-o", "APT::Sandbox::User=root", "download-file", source, archive])
    found = _digest(archive)
    if found != sha256:
        raise BuildError(f"{source} has the SHA-256 digest {found}, not the declared {sha256}")
    os.mkdir(rootfs, 0o755)
    _run(
        [
            "tar",
            "--extract",
            "--file",
            archive,
            "--directory",
            rootfs,
            "--numeric-owner",
            "--preserve-permissions",
            "--xattrs",
            "--xattrs-include=*",
            "--exclude=./dev/*",
        ]
    )
    if archive != source:
        os.unlink(archive)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise BuildError(f"{path} cannot be read on this node: {error.strerror}") from error
    return digest.hexdigest()


def _customise(rootfs: str, definition: Mapping[str, Any]) -> None:
    """Add packages, run commands. A build has installed its own packages already."""
    packages, commands = definition.get("packages", ()), definition.get("commands", ())
    if not packages and not commands:
        return
    with _working_system(rootfs):
        if packages:
            _chroot(rootfs, ["apt-get", "-q", "update"])
            _chroot(rootfs, ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages])
            _chroot(rootfs, ["apt-get", "clean"])
        for command in commands:
            _chroot(rootfs, ["/bin/sh", "-e", "-c", command])


@contextlib.contextmanager
def _working_system(rootfs: str) -> Iterator[None]:
    """What installing packages needs: the node's DNS, and a word that no service is to be started."""
    policy, resolv = f"{rootfs}/usr/sbin/policy-rc.d", f"{rootfs}/etc/resolv.conf"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(resolv)
    shutil.copyfile("/etc/resolv.conf", resolv)
    with open(policy, "w", encoding="ascii") as handle:
        handle.write("#!/bin/sh\nexit 101\n")
    os.chmod(policy, 0o755)
    try:
        yield
    finally:
        os.unlink(policy)


def _chroot(rootfs: str, command: list[str]) -> None:
    """Run a program in the new system, in process and mount namespaces that end with it."""
    script = (
        'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" && '
        'mount --rbind /dev "$0/dev" && mount --make-rprivate "$0/dev" && root="$0" && exec chroot "$root" "$@"'
    )
    _run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script, rootfs, *command])


def _finish(rootfs: str) -> None:
    """Take out what must be each container's own, and what cannot work in one."""
    for path in ("etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(f"{rootfs}/{path}")
    if os.path.isdir(f"{rootfs}/etc/ssh"):
        for name in os.listdir(f"{rootfs}/etc/ssh"):
            if name.startswith("ssh_host_"):
                os.unlink(f"{rootfs}/etc/ssh/{name}")
    os.makedirs(f"{rootfs}/etc", mode=0o755, exist_ok=True)
    files.write(f"{rootfs}/etc/machine-id", "uninitialized\n", mode=0o444)
    if os.path.isdir(f"{rootfs}/usr/lib/systemd/system"):
        units = f"{rootfs}/etc/systemd/system"
        os.makedirs(f"{units}/ssh.service.d", mode=0o755, exist_ok=True)
        for unit in _MASKED:
            with contextlib.suppress(FileExistsError):
                os.symlink("/dev/null", f"{units}/{unit}")
        files.write(f"{units}/ssh.service.d/carve-host-keys.conf", _SSH_DROP_IN)
    _mark_updated(rootfs)
    # Whoever enters a container's root directory is root of that container, or anybody of its users.
    os.chmod(rootfs, 0o755)


def _mark_updated(rootfs: str) -> None:
    """Say that /etc and /var are as new as /usr: installing packages has made it true (systemd-update-done.service(8)).

    Without it every container's first start would rebuild the linker's cache and the journal's catalogue.
    """
    if not os.path.exists(f"{rootfs}/etc/ld.so.cache") or not os.path.isdir(f"{rootfs}/var"):
        return
    modified = os.stat(f"{rootfs}/usr").st_mtime_ns
    for directory in ("etc", "var"):
        path = f"{rootfs}/{directory}/.updated"
        files.write(path, f"TIMESTAMP_NSEC={modified}\n")
        os.utime(path, ns=(modified, modified))


def _run(command: list[str]) -> None:
    environment = {"PATH": SEARCH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    environment["DEBIAN_FRONTEND"] = "noninteractive"
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        if name in os.environ:
            environment[name] = os.environ[name]
    try:
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            cwd="/",
            errors="replace",
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed; run carve.vps.bootstrap on this node") from error
    if result.returncode:
        tail = "\n".join(result.stdout.strip().splitlines()[-_OUTPUT_LINES:])
        raise BuildError(f"{' '.join(command[:3])} … ended with {result.returncode}:\n{tail}", result.stdout)
