"""
The environment of a run as a document: what it ran with besides its data, kept once by its digest.

`run.started` and `run.resumed` name it as `environment`. What it says is documented in `docs/reference/environment.md`; nothing in it names a run or a night, so
that a pipeline whose code and machine stay as they are has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from ledger.canonical import blob_digest, canonical_bytes

VERSION = 1
FILE_BYTES_MAX = 1 << 20
"""A larger file of code is not kept."""
ALL_BYTES_MAX = 16 << 20
"""Files of code are kept in the order of their names until there is so much of them."""
FILES_MAX = 10_000
"""More files of code are counted, but not listed."""


@attrs.frozen
class CodeFile:
    """
    A file of code as it was found.

    Attributes:
        path: Where it lies; absolute.
        name: Relative to the definition's folder, as it is recorded.
    """

    path: str
    name: str
    size: int
    digest: str


@attrs.frozen
class Captured:
    """
    Hold the environment of a run and what it names.

    Attributes:
        digest: Of the document.
        blobs: The document, and of the files that it names those that the ledger does not keep yet.
    """

    digest: str
    blobs: Mapping[str, bytes]


@attrs.frozen
class Kept:
    """
    Hold which text and files are kept.

    Attributes:
        definition_text: Digest of the text, or None where it was left out.
        files: The entries of the document, sorted by name.
        more: How many files were not listed.
    """

    definition_text: str | None
    files: list[dict[str, object]]
    more: int
    blobs: Mapping[str, bytes]


def keep(
    definition_text: bytes,
    files: Iterable[CodeFile],
    *,
    held: Callable[[Iterable[str]], frozenset[str]],
    read: Callable[[CodeFile], bytes | None],
    is_clean: Callable[[bytes], bool],
) -> Kept:
    """
    Decide what of the code is kept, and return it with its content where the ledger does not have it yet.

    Args:
        held: Returns those of some digests that the ledger keeps.
        read: Returns the content of a file, or None where it is not what it was when it was digested.
        is_clean: Whether some content holds no secret.
    """
    listed = sorted(files, key=lambda file: file.name)
    more = max(0, len(listed) - FILES_MAX)
    text = blob_digest(definition_text)
    known = held([text, *(file.digest for file in listed[:FILES_MAX])])
    blobs: dict[str, bytes] = {}
    if text not in known and is_clean(definition_text):
        blobs[text] = definition_text
    entries: list[dict[str, object]] = []
    total = 0
    for file in listed[:FILES_MAX]:
        why = None
        if file.size > FILE_BYTES_MAX:
            why = "large"
        elif total + file.size > ALL_BYTES_MAX:
            why = "total"
        elif file.digest not in known and file.digest not in blobs:
            content = read(file)
            if content is None:
                why = "unreadable"
            elif is_clean(content):
                blobs[file.digest] = content
            else:
                why = "secret"
        total += file.size if why is None else 0
        entry: dict[str, object] = {
            "path": file.name,
            "digest": file.digest,
            "size": file.size,
            "kept": why is None,
        }
        entries.append(entry if why is None else entry | {"left_out": why})
    return Kept(text if text in known or text in blobs else None, entries, more, blobs)


def captured(kept: Kept, facts: Mapping[str, object]) -> Captured:
    """Return the environment of a run: what is *kept* of its code, and *facts* about machine, programs and secrets."""
    document: dict[str, object] = {
        "environment": VERSION,
        "definition_text": kept.definition_text,
        "code": kept.files,
        **facts,
    }
    if kept.more:
        document["code_not_listed"] = kept.more
    text = canonical_bytes(document)
    digest = blob_digest(text)
    return Captured(digest, {**kept.blobs, digest: text})
