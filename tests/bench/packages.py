# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages: installed only when missing, from backports only where the release itself lacks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from commands import Command, CommandFailed, output, run

APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}
SOURCES = Path("/etc/apt/sources.list.d")
LISTS = Path("/var/lib/apt/lists")
ADDED_SOURCE = SOURCES / "carve-bench.sources"


def release() -> dict[str, str]:
    """The host's /etc/os-release."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return {key: value.strip('"') for key, _unused, value in (line.partition("=") for line in lines) if key}


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _installed(name)]


def ensure(names: Sequence[str], log: Path) -> list[str]:
    """Install what is missing and return it."""
    wanted = missing(names)
    if not wanted:
        return []
    print(f"  installing {' '.join(wanted)}", flush=True)
    run(Command((*APT, "update"), env=QUIET), log)
    needs_backports = [name for name in wanted if not _candidate(name)]
    if not needs_backports:
        run(Command((*APT, "install", "--no-install-recommends", *wanted), env=QUIET), log)
        return wanted
    suite = f"{release()['VERSION_CODENAME']}-backports"
    with _backports(suite, log):
        run(Command((*APT, "install", "--no-install-recommends", "-t", suite, *wanted), env=QUIET), log)
    return wanted


def mirror() -> str:
    """The URI that this host gets Debian from."""
    return _debian_source(release()["VERSION_CODENAME"])["URIs"].split()[0]


def _installed(name: str) -> bool:
    try:
        return output(("dpkg-query", "-W", "-f", "${db:Status-Status}", name)) == "installed"
    except CommandFailed:
        return False


def _candidate(name: str) -> bool:
    said = re.search(r"Candidate: (\S+)", output(("apt-cache", "policy", name)))
    return bool(said and said[1] != "(none)")


@contextmanager
def _backports(suite: str, log: Path) -> Iterator[None]:
    """Backports for the time of one installation; neither the source nor its lists stay."""
    source = _debian_source(release()["VERSION_CODENAME"])
    stanza = {"Types": "deb", "URIs": source["URIs"], "Suites": suite, "Components": "main"}
    if "Signed-By" in source:
        stanza["Signed-By"] = source["Signed-By"]
    ADDED_SOURCE.write_text("".join(f"{key}: {value}\n" for key, value in stanza.items()), encoding="utf-8")
    try:
        only_this = ("-o", f"Dir::Etc::sourcelist={ADDED_SOURCE}", "-o", "Dir::Etc::sourceparts=-")
        # Without List-Cleanup=0 apt would throw away the lists of every other source.
        run(Command((*APT, "update", *only_this, "-o", "APT::Get::List-Cleanup=0"), env=QUIET), log)
        yield
    finally:
        forget_backports()


def forget_backports() -> None:
    """Remove the source that a run adds, also one that an earlier run left when it was killed."""
    if not ADDED_SOURCE.exists():
        return
    suite = re.search(r"^Suites: (\S+)", ADDED_SOURCE.read_text(encoding="utf-8"), re.MULTILINE)
    ADDED_SOURCE.unlink()
    if suite:
        for path in LISTS.glob(f"*_dists_{suite[1]}_*"):
            path.unlink()


def _debian_source(codename: str) -> dict[str, str]:
    """The stanza by which this host gets `codename`, in either of apt's two notations."""
    for path in sorted(SOURCES.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = _fields(stanza)
            if codename in fields.get("Suites", "").split() and "deb" in fields.get("Types", "").split():
                return fields
    one_line = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s", re.MULTILINE)
    for path in (Path("/etc/apt/sources.list"), *sorted(SOURCES.glob("*.list"))):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for found in one_line.finditer(text):
            if found["suite"] == codename:
                signed = re.search(r"signed-by=(\S+)", found["options"] or "")
                return {"URIs": found["uri"], **({"Signed-By": signed[1]} if signed else {})}
    raise CommandFailed(f"no apt source for {codename} was found under /etc/apt; the bench derives its mirror from it")


def _fields(stanza: str) -> dict[str, str]:
    """Fields of one deb822 stanza; a continued value (an inline key) keeps its lines as they are."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += f"\n{line}"
        elif ":" in line:
            name, _unused, value = line.partition(":")
            fields[name] = value.strip()
    return fields
