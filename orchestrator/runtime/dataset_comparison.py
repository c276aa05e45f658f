"""An output that was made again against the recorded one: by digest, then file by file, then by content where the recorded file is still there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import file_digest

import attrs

from orchestrator.core.reproduction import DatasetVerdict, FileVerdict, worst
from orchestrator.runtime.content_comparison import Comparison, compare_files
from orchestrator.runtime.digests import DatasetPlace, manifest_files
from orchestrator.runtime.files import open_file
from orchestrator.runtime.table_files import UncomparableError, is_comparable

_COLUMNS_AT_MOST = 50
_BY_TIME = "mtime:"

Entry = tuple[int, str]


@attrs.frozen
class Output:
    """
    Name an output that is compared.

    Attributes:
        before: Where the recorded one lies, if nothing has written it since.
        after: Where it was made again.
        is_withheld: It holds data of whose texts nothing may be recorded: names of columns may be data.
    """

    dataset: str
    before: DatasetPlace
    after: DatasetPlace
    is_withheld: bool = False


def compare_dataset(
    output: Output,
    expected: str | None,
    actual: str | None,
    *,
    manifest: Callable[[str], bytes | None],
    redact: Callable[[str], str],
) -> DatasetVerdict:
    """
    Compare what was made again, whose digest is *actual*, with what is recorded, whose digest is *expected*.

    Args:
        manifest: Returns the manifest of a digest, or None where it is not kept.
        redact: Removes secrets from names of columns.
    """
    if expected == actual:
        return DatasetVerdict(output.dataset, "identical", expected, actual)
    texts = [None if digest is None else manifest(digest) for digest in (expected, actual)]
    if None in texts:
        return DatasetVerdict(output.dataset, "different", expected, actual)
    old, new = manifest_files(texts[0]), manifest_files(texts[1])
    files = tuple(_file_verdicts(output, old, new, redact))
    verdict = worst(file.verdict for file in files)
    return DatasetVerdict(output.dataset, verdict, expected, actual, files)


def _file_verdicts(
    output: Output, old: Mapping[str, Entry], new: Mapping[str, Entry], redact: Callable[[str], str]
) -> Iterator[FileVerdict]:
    for name in sorted({*old, *new}):
        if name not in new or name not in old:
            yield FileVerdict(name, "different", {"only": "then" if name in old else "now"})
        elif old[name] != new[name]:
            found = _compared(output, name, old[name], new[name], redact)
            if found is not None:
                yield found


def _compared(output: Output, name: str, old: Entry, new: Entry, redact: Callable[[str], str]) -> FileVerdict | None:
    """Return how the file *name* differs, or None where it does not: files that are known by their time are read now."""
    before, after = _path(output.before, name), _path(output.after, name)
    sizes: dict[str, object] = {"bytes": [old[0], new[0]]}
    digest = _digest_of(before, old)
    gone = "the recorded file is not there any more, so that its content cannot be compared"
    if digest is None:
        return FileVerdict(name, "different", {**sizes, "not_compared": gone})
    if new[1].startswith(_BY_TIME) and digest == _digest_of(after, new):
        return None
    shown = name or os.path.basename(before)
    if not is_comparable(shown):
        return FileVerdict(name, "different", {**sizes, "not_compared": "its form is not known"})
    try:
        found = compare_files(before, after, shown)
    except UncomparableError as error:
        return FileVerdict(name, "different", {**sizes, "not_compared": str(error)})
    if _digest_of(before, old) is None:  # A night has written it meanwhile.
        return FileVerdict(name, "different", {**sizes, "not_compared": gone})
    if found.is_same:
        return FileVerdict(name, "equivalent", {**sizes, "rows": [found.rows_before, found.rows_after]})
    return FileVerdict(name, "different", {**sizes, **_detail(found, output, redact)})


def _path(place: DatasetPlace, name: str) -> str:
    assert place.path is not None
    return os.path.join(place.path, name) if name else place.path


def _digest_of(path: str, entry: Entry) -> str | None:
    """Return the content digest of the file at *path*, or None where it is not the one that *entry* tells of."""
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            digest = f"sha256:{file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None
    known = f"{_BY_TIME}{status.st_mtime_ns}" if entry[1].startswith(_BY_TIME) else digest
    return digest if (status.st_size, known) == entry else None


def _detail(found: Comparison, output: Output, redact: Callable[[str], str]) -> dict[str, object]:
    detail: dict[str, object] = {"rows": [found.rows_before, found.rows_after]}
    detail |= {"rows_removed": found.rows_removed, "rows_added": found.rows_added}
    if found.reordered:
        detail["reordered"] = True
    columns = found.columns
    if output.is_withheld:
        return {**detail, "columns_withheld": len(columns)} if columns else detail
    if columns:
        detail["columns"] = [redact(name) for name in columns[:_COLUMNS_AT_MOST]]
    if len(columns) > _COLUMNS_AT_MOST:
        detail["more_columns"] = len(columns) - _COLUMNS_AT_MOST
    return detail
