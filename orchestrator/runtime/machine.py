"""
What a run finds on this machine: the interpreter that runs the orchestrator, its packages, the kernel, and the programs that steps start.

No process is started and no metadata of a package is read for it: names and versions stand in the names of folders.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from orchestrator.core.printable import as_utf8
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import SHELL
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.files import UnreadableFileError, read_bounded

PROGRAM_BYTES_MAX = 64 << 20
"""A larger program is told by its size and time, which costs nothing."""
_CONFIG_BYTES_MAX = 1 << 16
_PYTHON = re.compile(r"python3?(?:(?<=3)\.\d+)?")
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")
_CONFIGURED = re.compile(r"^version(?:_info)?\s*=\s*(\S+)", re.MULTILINE)


def platform_facts() -> dict[str, object]:
    """Return the kernel, the kind of machine and the C library; None for a library that does not tell."""
    host, libc = os.uname(), None
    with contextlib.suppress(OSError, ValueError):
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    return {"system": host.sysname, "kernel": host.release, "machine": host.machine, "libc": libc}


def interpreter_facts() -> dict[str, object]:
    """Return which Python runs the orchestrator."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return {
        "implementation": sys.implementation.name,
        "version": version if sys.version_info.releaselevel == "final" else sys.version.split()[0],
        "path": as_utf8(sys.executable or ""),
    }


def packages_in(folders: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed in *folders*; of two of one name the first counts, as for an import."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # Not every entry of a search path exists, and some are archives.
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                package, version = _package(folder, name)
                found.setdefault(package, version)
    return found


def _package(folder: str, entry: str) -> tuple[str, str]:
    match = _INSTALLED.fullmatch(entry)
    package, version = (match["name"], match["version"]) if match else (entry.rpartition(".")[0], "unknown")
    if match is None:
        # Installed by an old tool, which left the version inside.
        from importlib.metadata import Distribution  # which is slow to load, and seldom needed

        with contextlib.suppress(Exception):
            version = Distribution.at(Path(folder, entry)).version or version
    return re.sub(r"[-_.]+", "-", as_utf8(package)).lower(), as_utf8(version)


@attrs.frozen
class _Found:
    path: str
    facts: Mapping[str, object]


class Programs:
    """
    Find the programs that steps start, as the steps themselves would find them.

    Args:
        folder: Of the definition; what lies in it is named relative to it.
        digester: Remembers digests of files.
    """

    def __init__(self, folder: Path, digester: FileDigester) -> None:
        self._folder = str(folder)
        self._digester = digester
        self._paths: dict[tuple[str, str, str], str | None] = {}
        self._facts: dict[str, _Found] = {}

    def facts(self, plan: RunPlan, environment: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
        """
        Return `{"commands": {step: program or None}, "programs": {program: facts}}`; a step whose command has no value yet is left out.

        Args:
            environment: For each step, the variables that reach it.
        """
        commands: dict[str, object] = {}
        for name, step in plan.steps.items():
            # A shell line of a step that is not part of the run was not made words.
            word = step.argv[0] if step.argv else SHELL
            if name not in plan.selected and "${" in word:
                continue
            path = self._path(word, environment[name].get("PATH", os.defpath), step.cwd)
            commands[name] = None if path is None else self._program(path).path
        return {"commands": commands, "programs": {found.path: found.facts for found in self._facts.values()}}

    def _path(self, word: str, search: str, cwd: str) -> str | None:
        place = (word, "" if "/" in word else search, cwd)
        if place not in self._paths:
            folders = [""] if "/" in word else search.split(os.pathsep)
            paths = (os.path.normpath(os.path.join(cwd, folder, word)) for folder in folders)
            self._paths[place] = next((path for path in paths if _is_program(path)), None)
        return self._paths[place]

    def _program(self, path: str) -> _Found:
        if path not in self._facts:
            name = os.path.relpath(path, self._folder) if path.startswith(f"{self._folder}{os.sep}") else path
            self._facts[path] = _Found(as_utf8(name), self._facts_of(path))
        return self._facts[path]

    def _facts_of(self, path: str) -> dict[str, object]:
        real = os.path.realpath(path)
        facts: dict[str, object] = {} if real == path else {"file": as_utf8(real)}
        try:
            status = os.stat(real)
        except OSError:
            return facts  # It went a moment ago: the step will say so.
        facts["size"] = status.st_size
        if status.st_size <= PROGRAM_BYTES_MAX:
            facts["digest"] = self._digester.file_digest(real, status)
        else:
            facts["modified_ns"] = str(status.st_mtime_ns)
        return facts | _python_facts(path, real)


def _is_program(path: str) -> bool:
    return "\0" not in path and os.access(path, os.X_OK) and not os.path.isdir(path)


def _python_facts(path: str, real: str) -> dict[str, object]:
    """Return the version of a Python by its environment's file or its own name, and the packages of its environment; nothing for what is no Python."""
    name = os.path.basename(real)
    if _PYTHON.fullmatch(name) is None:
        return {}
    by_name: dict[str, object] = {"python": name.removeprefix("python")} if "." in name else {}
    prefix = Path(path).parent.parent
    try:
        config = read_bounded(prefix / "pyvenv.cfg", most=_CONFIG_BYTES_MAX).decode("utf-8", "replace")
    except UnreadableFileError:
        own = real == os.path.realpath(sys.executable)
        return {"python": interpreter_facts()["version"]} if own else by_name
    told = _CONFIGURED.search(config)
    folders = [str(folder) for folder in sorted(prefix.glob("lib/python3*/site-packages"))]
    return by_name | ({} if told is None else {"python": told[1]}) | {"packages": packages_in(folders)}
