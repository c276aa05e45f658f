"""
A folder in which a recorded run is run again: the code that it had, and of each input the files that it read, each held to its digest while it is copied.

Nothing is linked: what a step does to its inputs there stays there. Where a dataset has grown since, the files that came later are not copied.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO

import attrs

from orchestrator.core.problems import Problem
from orchestrator.core.redaction import MASK
from orchestrator.runtime.digests import DatasetPlace, manifest_files
from orchestrator.runtime.files import NotAFileError, open_file
from orchestrator.runtime.walking import walk_files

_CHUNK_BYTES = 1 << 20
_BY_TIME = "mtime:"
_UNREADABLE = "unreadable:"
_SCRIPT, _BINARY = b"#!", b"\x7fELF"
_NAMED_AT_MOST = 3
_CLOSED = (errno.EACCES, errno.EPERM, errno.ELOOP)


@attrs.frozen
class Input:
    """
    Name an input with where it lies.

    Attributes:
        manifest: Of what was read; None where the dataset did not exist.
        source: Where it lies today.
        target: Where the steps will look for it; the same as that of *source* where it is read in place.
    """

    dataset: str
    manifest: bytes | None
    source: DatasetPlace
    target: str

    @property
    def bytes(self) -> int:
        """How much its files were together."""
        return sum(size for size, _ in manifest_files(self.manifest).values())


def lay_out_input(item: Input, shown: Callable[[str], str]) -> Iterator[Problem]:
    """
    Copy the files that were read of *item* to where the steps will look for them, and yield what is wrong with them.

    Args:
        shown: Returns the name of a file as manifests have it.
    """
    if item.manifest is None:
        return  # It did not exist, and does not in the scratch folder.
    source, target = item.source.path, item.target
    assert source is not None
    files = manifest_files(item.manifest)
    single = files.keys() == {""}
    if not single and source != target:
        Path(target).mkdir(parents=True, exist_ok=True)
    names = {} if single else _names(item.source, files, shown)
    if source == target and not single:
        yield from _grown(item, files, shown)
    wrong: dict[str, list[str]] = {}
    for name, (size, digest) in files.items():
        there = names.get(name, name)
        paths = (source, target) if single else (os.path.join(source, there), os.path.join(target, there))
        why = _copied(*paths, size, digest) if is_inside(name) else "changed"
        if why is not None:
            wrong.setdefault(why, []).append(name or os.path.basename(source))
    for why, found in wrong.items():
        listed = ", ".join(found[:_NAMED_AT_MOST]) + (", …" if len(found) > _NAMED_AT_MOST else "")
        kind = "input_gone" if why == "gone" else "input_changed"
        masked = _MASKED if why == "gone" and any(MASK.decode() in name for name in found) else ""
        yield Problem(kind, f"input {item.dataset}: {len(found)} of {len(files)} files {_TOLD[why]}: {listed}{masked}")


def _grown(item: Input, files: Mapping[str, object], shown: Callable[[str], str]) -> Iterator[Problem]:
    """Yield a problem where a dataset that is read in place holds files that were not read: they cannot be left out."""
    assert item.source.path is not None
    place = Path(item.source.path)
    found = (name for name in walk_files(item.source.path, item.source.pattern) if name is not None)
    more = [name for name in found if shown(name) not in files and (place / name).is_file()]
    if more:
        message = f"input {item.dataset}: {place} is an absolute path, is read in place, and holds {len(more)} files more than were read"
        yield Problem("input_changed", message)


_MASKED = f" (a name in which a secret is masked, {MASK.decode()}, cannot be found again without that secret)"
_TOLD = {
    "gone": "are gone",
    "changed": "are not what was read",
    "unreadable": "cannot be read, or could not then",
}


def _names(place: DatasetPlace, files: Mapping[str, object], shown: Callable[[str], str]) -> dict[str, str]:
    """Return the names on the disk of files whose names are recorded otherwise: without secrets, or as UTF-8 that they are not."""
    assert place.path is not None
    if all(os.path.lexists(os.path.join(place.path, name)) for name in files):
        return {}
    return {
        recorded: name
        for name in walk_files(place.path, place.pattern)
        if name is not None and (recorded := shown(name)) != name
    }


def _copied(source: str, target: str, size: int, digest: str) -> str | None:
    """Copy one file, and return what is wrong with it, or None; of a file that was known by its time, size and time are held."""
    if digest.startswith(_UNREADABLE):
        return "unreadable"
    try:
        with open_file(source) as file:
            status = os.fstat(file.fileno())
            if status.st_size != size or (digest.startswith(_BY_TIME) and digest != f"{_BY_TIME}{status.st_mtime_ns}"):
                return "changed"
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            # Of two datasets that share a file, the first one has brought it.
            is_there = source == target or os.path.lexists(target)
            with contextlib.nullcontext() if is_there else open(target, "xb", opener=_private) as copy:
                actual = _read_through(file, copy)
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except NotAFileError:
        return "changed"
    except OSError as error:
        if error.errno not in _CLOSED:
            raise
        return "unreadable"
    if not is_there:
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    if digest.startswith(_BY_TIME):
        return None
    return None if digest == actual else "changed"


def _read_through(file: IO[bytes], copy: IO[bytes] | None) -> str:
    """Return the digest of what is left of *file*, which is written to *copy* as it is read, so that what lies there is what was looked at."""
    content = sha256()
    while chunk := file.read(_CHUNK_BYTES):
        content.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return f"sha256:{content.hexdigest()}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def lay_out_code(
    code: Mapping[str, str],
    *,
    original: Path,
    folder: Path,
    kept: Callable[[str], bytes | None],
    not_kept: Callable[[str], str],
) -> Iterator[Problem]:
    """
    Write each file of *code* below *folder* as it ran, and yield those of which nobody has the content.

    Args:
        code: File, relative to the definition's folder, to its digest.
        original: The definition's folder: a file that the ledger does not keep is taken from there, if it is still what it was.
        kept: Returns what the ledger keeps under a digest.
        not_kept: Says of a digest under which it keeps nothing that it does not, and why.
    """
    for name, digest in code.items():
        target = folder / name
        content = kept(digest)
        if not is_inside(name):
            why: str | None = "lies outside of the pipeline's folder"
        elif content is None or content.startswith(_BINARY):
            why = _taken_in_place(original / name, target, digest)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o700 if content.startswith(_SCRIPT) else 0o600)
            why = None
        if why is not None:
            yield Problem("code_not_kept", f"code {name} {not_kept(digest)}, and {why}")


def is_inside(name: str) -> bool:
    """Whether the relative path *name*, which a record has, stays below what it is relative to."""
    return not (os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir)


def _taken_in_place(source: Path, target: Path, digest: str) -> str | None:
    """Copy a file of code that is still what it was, or link to it where it is a program; return why that cannot be, or None."""
    try:
        file = open_file(source)
    except NotAFileError:
        return "is no file any more"
    except OSError:
        return "is not there any more"
    with file:
        is_script = file.read(len(_SCRIPT)) == _SCRIPT
        file.seek(0)
        is_program = os.access(source, os.X_OK) and not is_script
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext() if is_program else open(target, "wb", opener=_private) as copy:
            actual = _read_through(file, copy)
    if digest != actual:
        return "is not what it was"
    if is_program:
        target.symlink_to(source)  # A program finds its libraries beside itself.
    else:
        target.chmod(0o700 if is_script else 0o600)
    return None
