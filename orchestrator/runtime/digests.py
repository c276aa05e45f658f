"""
Digests of datasets and code files, taken a little at a time.

A dataset's digest is the SHA-256 of its manifest: the canonical JSON text
`{"files": [[path, size, digest], ...], "recipe": 1, "strength": ...}` with paths relative to the dataset, sorted. A missing dataset has
no digest; an empty folder has one. Measurements are generators that give way every few hundred kilobytes, so that one loop can hash
a large file and still keep every timeout.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import attrs

from ledger.canonical import blob_digest, canonical_bytes, parse_canonical
from orchestrator.core.capture import CodeFile
from orchestrator.core.definition import DEFAULT_PROBE_TIMEOUT_US
from orchestrator.core.output_contract import NOTHING, Extent
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.ports import Measured, MeasureRequest, Prober
from orchestrator.runtime.rows import UncountableError, count_rows
from orchestrator.runtime.walking import walk_files

_CHUNK_BYTES = 1 << 20
_BUDGET_NS = 10_000_000


class _Waits:
    """Says that nothing can be done before a probe has ended."""


_WAITS = _Waits()


@attrs.frozen
class DatasetPlace:
    """
    Where a dataset lies.

    Attributes:
        path: Absolute, all variables resolved; None where the dataset is no file.
        pattern: Which files of a folder belong to it.
        strength: `content`, `listing` or `probe`.
        probe: The command whose output stands for the content, all variables resolved.
    """

    path: str | None
    pattern: str
    strength: str
    probe: tuple[str, ...] = ()
    probe_timeout_us: int = DEFAULT_PROBE_TIMEOUT_US


@attrs.frozen
class CodePlace:
    """Where a step's code lies: words of its command that may be files, and globs; all relative to the folder."""

    words: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()


class FileDigester:
    """
    Measure the datasets and code of one pipeline.

    Args:
        folder: The folder of the definition, absolute.
        datasets: Where each dataset lies.
        code: Where each step's code lies.
        load_manifest: Returns the manifest of a digest that the ledger keeps, or None.
        probes: Asks datasets that have a probe.
        redact: Removes secrets from the names of files, which are recorded.
        scratch: A folder of which nothing belongs to the pipeline, wherever it lies, or None.
    """

    def __init__(
        self,
        *,
        folder: Path,
        datasets: Mapping[str, DatasetPlace],
        code: Mapping[str, CodePlace],
        cache: DigestCache,
        load_manifest: Callable[[str], bytes | None],
        probes: Prober | None = None,
        redact: Callable[[str], str] = str,
        scratch: Path | None = None,
    ) -> None:
        self._folder = str(folder)
        self._datasets = datasets
        self._code = code
        self._cache = cache
        self._load_manifest = load_manifest
        self._probes = probes
        self._redact = redact
        self._jobs: deque[tuple[MeasureRequest, Generator[Measured | _Waits | None, None, None]]] = deque()
        self._waits = False
        self._names: dict[str, str] = {}
        self._scratch = scratch

    def submit(self, request: MeasureRequest) -> None:
        """Ask for a measurement; `advance` will return it."""
        self._jobs.append((request, self._measure(request)))
        self._waits = False

    def drop(self, step: str) -> None:
        """Forget what was asked of *step*; a probe that runs for it is ended."""
        for request, job in self._jobs:
            if request.step == step:
                job.close()
        self._jobs = deque(job for job in self._jobs if job[0].step != step)

    @property
    def busy(self) -> bool:
        """Whether there is something to measure; not while all that was asked for waits for probes."""
        return bool(self._jobs) and not self._waits

    def advance(self) -> list[Measured]:
        """Work for about ten milliseconds and return what is complete, in the order in which it was asked for, but for what waits for a probe."""
        done: list[Measured] = []
        until = time.monotonic_ns() + _BUDGET_NS
        waiting = 0
        while waiting < len(self._jobs):
            measured = next(self._jobs[0][1])
            if isinstance(measured, Measured):
                done.append(measured)
                self._jobs.popleft()
            elif measured is not None:
                self._jobs.rotate(-1)
                waiting += 1
            elif time.monotonic_ns() > until:
                break
        self._waits = waiting == len(self._jobs)
        return done

    def measure(self, request: MeasureRequest) -> Measured:
        """Return the answer to *request*; for those who have nothing else to do meanwhile."""
        self.submit(request)
        while not (found := self.advance()):
            if self._waits:
                assert self._probes is not None
                self._probes.wait()
        return found[0]

    def code(self) -> Iterator[CodeFile | None]:
        """Yield each file that is code of a step, once; None to give way."""
        words = dict.fromkeys(word for place in self._code.values() for word in place.words)
        globs = dict.fromkeys(pattern for place in self._code.values() for pattern in place.globs)
        return self._code_files(CodePlace(tuple(words), tuple(globs)))

    def file_digest(self, path: str, status: os.stat_result) -> str:
        """Return the digest of the file at *path*, for those who have nothing else to do meanwhile."""
        (digest,) = (found for found in self._file_digest(path, status) if found is not None)
        return digest

    def _measure(self, request: MeasureRequest) -> Generator[Measured | _Waits | None, None, None]:
        manifests: dict[str, bytes] = {}
        extents: dict[str, Extent] = {}
        inputs: dict[str, str | None] = {}
        outputs: dict[str, str | None] = {}
        for found, names in ((inputs, tuple(request.inputs)), (outputs, request.outputs)):
            for name in names:
                manifest, extents[name] = yield from self._dataset(name, count=name in request.rows)
                found[name] = None
                if manifest is not None:
                    found[name] = digest = blob_digest(manifest)
                    manifests[digest] = manifest
        files = {
            name: self._count_changes(before, manifests.get(after))
            for name, before in request.inputs.items()
            if before is not None
            and (after := inputs[name]) is not None
            and before != after
            and not self._datasets[name].probe
        }
        code: dict[str, str] = {}
        if request.code and request.step in self._code:
            for entry in self._code_files(self._code[request.step]):
                if entry is None:
                    yield None
                else:
                    code[entry.name] = entry.digest
        yield Measured(request.step, inputs, outputs, code, manifests, files, extents)

    def _dataset(self, name: str, *, count: bool) -> Generator[_Waits | None, None, tuple[bytes | None, Extent]]:
        """Yield to give way; return the manifest of the dataset *name*, None where it does not exist, and how much it is."""
        place = self._datasets[name]
        if place.path is None:
            return (yield from self._asked(name))
        try:
            kind = os.stat(place.path)
        except OSError:
            # A link to itself, or what lies behind a closed folder, is not there for a step either.
            return None, NOTHING
        if place.probe:
            return (yield from self._asked(name))
        listed: list[list[object]] = []
        paths: list[str] = []
        single = not stat.S_ISDIR(kind.st_mode)
        for relative in [""] if single else walk_files(place.path, place.pattern):
            if relative is None:
                yield None
                continue
            path = os.path.join(place.path, relative) if relative else place.path
            if self._is_scratch(path):
                continue
            for entry in self._entry(path, relative, place.strength):
                if entry is None:
                    yield None
                else:
                    listed.append(entry)
                    paths.append(path)
        listed.sort(key=_by_name_and_content)
        extent = Extent(
            files=len(listed),
            bytes=sum(int(str(entry[1])) for entry in listed),
            file_digest=str(listed[0][2]) if single and listed and place.strength == "content" else None,
        )
        if count:
            extent = yield from self._counted(extent, paths)
        return canonical_bytes({"files": listed, "recipe": 1, "strength": place.strength}), extent

    def _asked(self, name: str) -> Generator[_Waits, None, tuple[bytes | None, Extent]]:
        """Yield while the probe of the dataset *name* runs; what does not answer does not exist."""
        assert self._probes is not None
        answer = self._probes.ask(name)
        try:
            while not answer.is_there:
                yield _WAITS
        finally:
            self._probes.cancel(answer)
        failure = None if answer.failure is None else f"its probe failed: {answer.failure}"
        return answer.manifest, Extent(bytes=answer.bytes, failure=failure)

    def _counted(self, extent: Extent, paths: list[str]) -> Generator[None, None, Extent]:
        rows = 0
        for path in paths:
            try:
                for found in count_rows(path):
                    if found is None:
                        yield None
                    else:
                        rows += found
            except UncountableError as error:
                return attrs.evolve(extent, failure=str(error))
        return attrs.evolve(extent, rows=rows)

    def _entry(self, path: str, relative: str, strength: str) -> Iterator[list[object] | None]:
        try:
            status = os.stat(path)
        except OSError:
            return  # It went between the listing and now, or is a link to nothing; what is left is what the step would find.
        if not stat.S_ISREG(status.st_mode):
            return
        name = self._shown(relative)
        if strength == "listing":
            yield [name, status.st_size, f"mtime:{status.st_mtime_ns}"]
            return
        for digest in self._file_digest(path, status):
            yield None if digest is None else [name, status.st_size, digest]

    def _shown(self, name: str) -> str:
        """Return the *name* of a file as it is recorded: as UTF-8, and without secrets."""
        return self._redact(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))

    def _file_digest(self, path: str, status: os.stat_result) -> Iterator[str | None]:
        known = self._cache.get(path, status)
        if known is not None:
            yield known
            return
        content = sha256()
        try:
            with open(path, "rb", buffering=0) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    content.update(chunk)
                    if len(chunk) == _CHUNK_BYTES:
                        yield None
        except OSError as error:
            # The step may not need this file; if it does, it fails by itself and says so.
            yield f"unreadable:{error.errno}:{status.st_mtime_ns}"
            return
        digest = "sha256:" + content.hexdigest()
        self._cache.put(path, status, digest)
        yield digest

    def _code_files(self, place: CodePlace) -> Iterator[CodeFile | None]:
        candidates = dict.fromkeys(place.words)
        for pattern in place.globs:
            for name in walk_files(self._folder, pattern):
                if name is None:
                    yield None
                elif not self._is_scratch(os.path.join(self._folder, name)):
                    candidates.setdefault(name)
        for name in candidates:
            path = os.path.join(self._folder, name)
            try:
                status = os.stat(path)
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(status.st_mode):
                for digest in self._file_digest(path, status):
                    yield None if digest is None else CodeFile(path, self._code_name(name), status.st_size, digest)

    def _is_scratch(self, path: str) -> bool:
        """Whether a file lies where runs are run again: it is no part of the pipeline."""
        return self._scratch is not None and path.startswith(f"{self._scratch}{os.sep}")

    def _code_name(self, name: str) -> str:
        """Return what `_shown` does, worked out once: files of code are few, and several steps have them."""
        shown = self._names.get(name)
        if shown is None:
            shown = self._names[name] = self._shown(name)
        return shown

    def _count_changes(self, before: str, after: bytes | None) -> dict[str, int]:
        changes = manifest_changes(self._load_manifest(before), after)
        return {kind: len(names) for kind, names in changes.items() if kind != "same"}


def _by_name_and_content(entry: list[object]) -> list[str]:
    """Order files whatever order the disk gives them in; without their secrets several may have one name."""
    return [str(part) for part in entry]


def manifest_changes(before: bytes | None, after: bytes | None) -> dict[str, list[str]]:
    """
    Compare two manifests file by file.

    Returns the names of files under `added`, `changed`, `removed` and `same`, each sorted. A manifest that is not there counts
    as empty.
    """
    old, new = manifest_files(before), manifest_files(after)
    changes: dict[str, list[str]] = {"added": [], "changed": [], "removed": [], "same": []}
    for name, entry in new.items():
        if name not in old:
            changes["added"].append(name)
        else:
            changes["same" if old[name] == entry else "changed"].append(name)
    changes["removed"] = [name for name in old if name not in new]
    return changes


def manifest_files(manifest: bytes | None) -> dict[str, tuple[int, str]]:
    """Return each file of *manifest* with its size and digest, sorted by name."""
    if manifest is None:
        return {}
    document = parse_canonical(manifest)
    assert isinstance(document, dict)
    return {name: (size, digest) for name, size, digest in document["files"]}
