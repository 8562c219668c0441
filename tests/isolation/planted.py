# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container lays where the node, its neighbours or Carve will step: shared layers, links, programs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.carve.vps.plugins.module_utils import info
from ansible_collections.carve.vps.plugins.module_utils.paths import Paths
from ansible_collections.carve.vps.tests.integration.support import box, inside, wait_for
from ansible_collections.carve.vps.tests.isolation.attack import Attack, Report
from ansible_collections.carve.vps.tests.isolation.canary import canary, no_canary, silenced
from ansible_collections.carve.vps.tests.isolation.scene import ATTACKER, VICTIM, Scene

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGNhcnZlLWF0dGFjay1rZXktb2Ytbm9ib2R5LWF0LWFsbA nobody"
_LXC_ATTACH = Path(shutil.which("lxc-attach") or "/usr/bin/lxc-attach")


def _identity(scene: Scene, generation: int) -> None:
    """Declare everything that Carve writes into files of the container."""
    declared = scene.fleet.containers[ATTACKER]
    scene.fleet.containers[ATTACKER] = {
        **declared, "hosts": {f"peer{generation}": "192.0.2.9"}, "nameservers": [f"192.0.2.{generation + 1}"],
        "ssh_keys": [f"{_KEY}{generation}"], "hostname": f"attacker{generation}",
    }  # fmt: skip


def _node_writes(scene: Scene, report: Report) -> str | None:
    """Carve writes these files, over what was planted in their place."""
    _identity(scene, 1)
    scene.fleet.apply()
    for path, text in (("/etc/hosts", "peer1"), ("/etc/resolv.conf", "192.0.2.2"), ("/etc/hostname", "attacker1")):
        assert text in inside(ATTACKER, "cat", path), path
    return silenced(scene, report)


def _node_writes_often(scene: Scene, report: Report) -> str | None:
    """Some of these runs fail, when the directory goes from under them. None may write on the node."""
    for generation in range(2, 8):
        _identity(scene, generation)
        scene.fleet.run()
    return silenced(scene, report)


def _node_looks(scene: Scene, _report: Report) -> str | None:
    """Carve looks at everything that it tells of the node, and puts right what there is to be put right."""
    told = info.gather()["containers"]
    assert "\ufffd" in told[ATTACKER]["observed"]["hostname"]
    json.dumps(told, ensure_ascii=False).encode()
    scene.fleet.apply()
    return None if told[VICTIM]["state"] == "running" else f"the neighbour is {told[VICTIM]['state']}"


def _forget_names(scene: Scene) -> None:
    scene.attacker("sh", "-c", "umount /tmp/a*; rmdir /tmp/a*")
    scene.restart()


def _end_race(scene: Scene) -> None:
    scene.attacker("touch", "/run/stop-race")
    stop = scene.file_of(ATTACKER, "/run/stop-race")
    wait_for("the race to end", lambda: not stop.exists())
    scene.attacker("sh", "-c", "rm -rf /root/.ssh /root/.ssh-old")
    scene.fleet.apply()
    no_canary(scene)


def _template(scene: Scene) -> dict[str, Any]:
    record = box(ATTACKER).record
    scene.notes["template"] = Path(Paths().template(record.fields["template"], record.digest)) / "rootfs"
    scene.notes["before"] = _facts(scene.notes["template"] / "usr/bin/env")
    return {}


def _facts(path: Path) -> tuple[Any, ...]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_mode, hashlib.sha256(path.read_bytes()).hexdigest()


def _shared_layer_changed(scene: Scene, _report: Report) -> str | None:
    if _facts(scene.notes["template"] / "usr/bin/env") != scene.notes["before"]:
        return "the template was changed"
    if scene.victim("/usr/bin/env", "printf", "whole") != "whole":
        return "the neighbour sees what was written"
    # On the node a set-user-id file of the container's is one of the container's ids, not of root's.
    found = Path(Paths().container(ATTACKER), "upper/usr/bin/env").stat()
    assert found.st_mode & stat.S_ISUID, "there was no set-user-id file"
    return None if found.st_uid == box(ATTACKER).record.base_id else "its set-user-id file is another's on the node"


def _device_from_image(_scene: Scene) -> dict[str, Any]:
    """A device node that came with an image or a backup: the node lays it into the container's layer."""
    device, base = Path("/var/lib/carve").stat().st_dev, box(ATTACKER).record.base_id
    place = inside(ATTACKER, "mktemp", "-d", "-p", "/root")
    for name, kind, number in (("disk", stat.S_IFBLK, device), ("mem", stat.S_IFCHR, os.makedev(1, 1)),
                               ("zero", stat.S_IFCHR, os.makedev(1, 5))):  # fmt: skip
        path = Path(f"{Paths().container(ATTACKER)}/root{place}/{name}")
        os.mknod(path, kind | 0o600, number)
        os.chown(path, base, base)
    return {"place": place}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _arm_attach(scene: Scene) -> dict[str, Any]:
    scene.notes["attach"] = _sha(_LXC_ATTACH)
    return {}


def _attached_to(scene: Scene, _report: Report) -> str | None:
    """The node's own program comes into the container, again and again, while it is watched for."""
    for _time in range(15):
        inside(ATTACKER, "true")
    scene.attacker("touch", "/run/stop-watch")
    stop = scene.file_of(ATTACKER, "/run/stop-watch")
    wait_for("the watch to end", lambda: not stop.exists())
    watcher = scene.attacker("cat", "/run/watched")
    seen = dict(line.split("=", 1) for line in watcher.splitlines())
    assert int(seen["looks"]) > 100, watcher
    if _sha(_LXC_ATTACH) != scene.notes["attach"]:
        return "lxc-attach was changed"
    return f"the node's program was opened for writing: {seen['opened']}" if seen["opened"] else None


def _handler_on_node(_scene: Scene, _report: Report) -> str | None:
    program = Path("/run/carve-attack-magic")
    program.write_bytes(b"CARVEATTACK\n")
    program.chmod(0o700)
    try:
        subprocess.run([str(program)], check=False, capture_output=True)
    except OSError:
        return None  # ENOEXEC: nothing interprets it
    finally:
        program.unlink()
    return "its interpreter is run on the node"


ATTACKS = [
    Attack(
        name="device nodes that came with an image",
        tried="a node of the disk, of /dev/mem and of /dev/zero, laid into its layer from outside, opened",
        stopped_by="root filesystem mounted nodev",
        refusals=("EACCES",),
        code="""
for name in ("disk", "mem", "zero"):
    assert os.path.exists(f"{given['place']}/{name}")
    attempt(name, os.open, f"{given['place']}/{name}", os.O_RDONLY)
MS_REMOUNT, MS_BIND = 32, 4096
for flags in (MS_REMOUNT, MS_REMOUNT | MS_BIND):
    try:
        mount("none", "/", "none", flags)
    except OSError:
        pass
attempt("zero after a remount", os.open, f"{given['place']}/zero", os.O_RDONLY)
mount(given["place"], "/mnt", "none", MS_BIND)
attempt("zero after a bind", os.open, "/mnt/zero", os.O_RDONLY)
call("umount", b"/mnt")
""",
        prepare=_device_from_image,
    ),
    Attack(
        name="set-user-id files in the shared template",
        tried="a program of the template replaced by one that is set-user-id; the neighbour and the node look for it",
        stopped_by="overlay (writes go to the container's own layer), user namespace",
        code="""
with open("/usr/bin/env", "rb") as file:
    original = file.read()
os.rename("/usr/bin/env", "/usr/bin/env.real")
with open("/usr/bin/env", "wb") as file:
    file.write(b"#!/bin/sh\\nexec /usr/bin/env.real \\"$@\\"\\n")
os.chmod("/usr/bin/env", 0o4755)
tell(replaced=True)
""",
        prepare=_template,
        harm=_shared_layer_changed,
        tidy=lambda scene: (scene.attacker("mv", "/usr/bin/env.real", "/usr/bin/env"), None)[1],
    ),
    Attack(
        name="the template itself",
        tried="the layers of the overlay looked for in its own mounts and opened; a remount with another upper layer",
        stopped_by="mount namespace (the layers have no path inside)",
        refusals=("ENOENT", "EPERM", "EACCES", "EINVAL", "EBUSY"),
        code="""
line = next(line for line in open("/proc/self/mountinfo") if line.split()[4] == "/")
options = line.split(" - ")[1].split()[2].split(",")
for option in options:
    if "dir=" in option:
        path = option.split("=", 1)[1]
        attempt(path, os.stat, path)
MS_REMOUNT = 32
attempt("remount", mount, "none", "/", "overlay", MS_REMOUNT, "upperdir=/root,workdir=/root")
tell(options=options)
""",
    ),
    Attack(
        name="the node's program that comes in",
        tried="/proc/PID/exe of lxc-attach opened for writing, while the node runs commands inside (as CVE-2019-5736)",
        stopped_by="user namespace (the program belongs to the node's root)",
        code='''
watcher = """
import os
opened, looks = set(), 0
while not os.path.exists("/run/stop-watch"):
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            looks += 1
            try:
                target = os.readlink(f"/proc/{entry}/exe")
                os.close(os.open(f"/proc/{entry}/exe", os.O_WRONLY))
                if "lxc" in target or "memfd" in target:
                    opened.add(target)
            except OSError:
                pass
with open("/run/watched", "w") as file:
    file.write(f"looks={looks}\\\\nopened={' '.join(opened)}\\\\n")
os.unlink("/run/stop-watch")
"""
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(["/usr/bin/python3", "-c", watcher], start_new_session=True, **quiet)
tell(watching=True)
''',
        prepare=_arm_attach,
        harm=_attached_to,
    ),
    Attack(
        name="links planted where Carve writes",
        tried="/etc/hosts, resolv.conf, hostname, authorized_keys replaced by links to the node's files; Carve applies",
        stopped_by="openat2(2) with RESOLVE_IN_ROOT, files replaced by rename",
        code="""
os.makedirs("/root/.ssh", exist_ok=True)
for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/root/.ssh/authorized_keys"):
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(f"{given['canary']}/{os.path.basename(path)}", path)
    # The name under which Carve makes the new file, taken already.
    os.symlink(f"{given['canary']}/{os.path.basename(path)}",
               f"{os.path.dirname(path)}/.{os.path.basename(path)}.carve")
tell(planted=True)
""",
        prepare=canary,
        harm=_node_writes,
        tidy=no_canary,
    ),
    Attack(
        name="pipes planted where Carve reads",
        tried="/etc/hosts, hostname and resolv.conf replaced by a pipe that nobody fills and a file of a terabyte",
        stopped_by="openat2(2), O_NONBLOCK, a bound on what is read",
        code="""
for path in ("/etc/hosts", "/etc/hostname"):
    os.unlink(path)
    os.mkfifo(path)
os.unlink("/etc/resolv.conf")
with open("/etc/resolv.conf", "w") as file:
    file.truncate(1 << 40)
tell(planted=True)
""",
        prepare=canary,
        harm=_node_writes,
        tidy=no_canary,
    ),
    Attack(
        name="names planted where Carve reads",
        tried="host name, interface, alias, mounts, of bytes that are no text or end a line; Carve looks and applies",
        stopped_by="tables are read as the kernel writes them, and bytes that are no text replaced",
        code=r"""
call("sethostname", b"at\xfftacker", 9)
for words in ([b"set", b"lo", b"alias", b"\xff\r\x0c"], [b"add", b"\xff\xfe", b"type", b"veth"]):
    subprocess.run([b"ip", b"link", *words], check=True)
for part in (b"\r", b"\x0c", b"\x0b", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b" - ", b"\r1 1 0:1 "):
    name = b"a" + part + b"b"
    os.mkdir(b"/tmp/" + name)
    call("mount", name, b"/tmp/" + name, b"tmpfs", 0, None)
tell(planted=True)
""",
        harm=_node_looks,
        tidy=_forget_names,
    ),
    Attack(
        name="a link changed while Carve writes",
        tried="/root/.ssh exchanged for a link to a directory of the node, without pause, while Carve applies",
        stopped_by="openat2(2) with RESOLVE_IN_ROOT; directories are held open",
        code='''
racer = """
import os, shutil
while not os.path.exists("/run/stop-race"):
    try:
        os.rename("/root/.ssh", "/root/.ssh-old")
        os.symlink(CANARY, "/root/.ssh")
        os.unlink("/root/.ssh")
        os.mkdir("/root/.ssh")
    except OSError:
        pass
    shutil.rmtree("/root/.ssh-old", ignore_errors=True)
os.unlink("/run/stop-race")
""".replace("CANARY", repr(given["canary"]))
os.makedirs("/root/.ssh", exist_ok=True)
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(["/usr/bin/python3", "-c", racer], start_new_session=True, **quiet)
tell(racing=True)
''',
        prepare=canary,
        harm=_node_writes_often,
        tidy=_end_race,
        seconds=120,
    ),
    Attack(
        name="an interpreter for the node's programs",
        tried="binfmt_misc mounted, and an interpreter registered there for a magic number; the node runs such a file",
        stopped_by="user namespace (binfmt_misc is one per user namespace, or refused)",
        refusals=("EACCES", "EPERM", "ENODEV", "ENOENT"),
        code="""
os.makedirs("/run/attack-binfmt", exist_ok=True)
try:
    mount("none", "/run/attack-binfmt", "binfmt_misc")
    write("/run/attack-binfmt/register", ":carveattack:M::CARVEATTACK::/bin/true:")
    tell(registered=True)
except OSError as error:
    attempt("binfmt_misc", lambda: (_ for _ in ()).throw(OSError(error.errno, "")))
try:
    call("umount2", b"/run/attack-binfmt", 2)
except OSError:
    pass
""",
        harm=_handler_on_node,
    ),
]
