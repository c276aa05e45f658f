"""Tests of what of a run's code is kept, and of the document that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import blob_digest
from orchestrator.core.capture import ALL_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, CodeFile, Kept, captured, keep

TEXT = b"[pipeline]\nname = 'p'  # and why\n"


def code(name: str, content: bytes, *, size: int | None = None) -> CodeFile:
    """Return a file with *content*, which says to be of another *size* where that is given."""
    return CodeFile(f"/p/{name}", name, len(content) if size is None else size, blob_digest(content))


def kept(
    files: Sequence[CodeFile] = (),
    contents: Iterable[bytes] = (),
    *,
    known: Iterable[bytes] = (),
    secret: bytes = b"a secret",
) -> Kept:
    """Return what is kept of *files*, whose *contents* can be read, by a ledger that has what is *known*."""
    there = {blob_digest(content): content for content in contents}
    ours = {blob_digest(content) for content in known}
    return keep(
        TEXT,
        files,
        held=lambda digests: frozenset(ours.intersection(digests)),
        read=lambda file: there.get(file.digest),
        is_clean=lambda content: secret not in content,
    )


class TestKeep:
    """Small, readable and without secrets."""

    def test_in_order(self) -> None:
        """Given files, then each is kept with the text of the definition, and they are listed by their names."""
        found = kept([code("b.py", b"2"), code("a.py", b"1")], [b"1", b"2"])

        assert [entry["path"] for entry in found.files] == ["a.py", "b.py"]
        assert all(entry["kept"] and "left_out" not in entry for entry in found.files)
        assert found.blobs == {blob_digest(content): content for content in (TEXT, b"1", b"2")}
        assert (found.definition_text, found.more) == (blob_digest(TEXT), 0)

    def test_nothing_is_read_that_the_ledger_has(self) -> None:
        """Given contents that are kept already, then nothing is read or kept again."""
        found = kept([code("a.py", b"1")], known=[TEXT, b"1"])

        assert found.files[0]["kept"]
        assert found.definition_text == blob_digest(TEXT)
        assert found.blobs == {}

    def test_equal_files_are_read_once(self) -> None:
        """Given two files of one content, then that is kept once."""
        found = kept([code("a.py", b"1"), code("b.py", b"1")], [b"1"])

        assert [entry["kept"] for entry in found.files] == [True, True]
        assert len(found.blobs) == 2

    def test_what_is_left_out_is_named(self) -> None:
        """Given files that are too large, gone, or hold a secret, then each says why it was left out."""
        files = [code("a", b"1", size=FILE_BYTES_MAX + 1), code("b", b"gone"), code("c", b"my secret")]
        found = kept(files, [b"my secret"], secret=b"secret")

        assert [(entry["kept"], entry["left_out"]) for entry in found.files] == [
            (False, "large"), (False, "unreadable"), (False, "secret"),
        ]  # fmt: skip
        assert found.blobs == {blob_digest(TEXT): TEXT}

    def test_a_secret_in_a_comment_of_the_definition(self) -> None:
        """Given a definition whose text holds a secret, then it is not kept, and its digest is not recorded."""
        found = kept(secret=b"and why")

        assert found.definition_text is None
        assert found.blobs == {}

    def test_all_together(self) -> None:
        """Given more than is kept together, then the first ones by name are, and a smaller one after them."""
        most = ALL_BYTES_MAX // FILE_BYTES_MAX
        files = [code(f"{number:02}", b"%d" % number, size=FILE_BYTES_MAX - 1) for number in range(most + 1)]
        found = kept([*files, code("small", b"s")], [*(b"%d" % number for number in range(most + 1)), b"s"])

        assert [entry["path"] for entry in found.files if not entry["kept"]] == [f"{most:02}"]
        assert found.files[most]["left_out"] == "total"

    def test_more_than_are_listed(self) -> None:
        """Given more files than a document lists, then the others are counted."""
        found = kept([code(f"{number:05}", b"1") for number in range(FILES_MAX + 2)], [b"1"])

        assert (len(found.files), found.more) == (FILES_MAX, 2)
        assert json.loads(captured(found, {}).blobs[captured(found, {}).digest])["code_not_listed"] == 2

    @given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.binary(max_size=3)), unique_by=lambda e: e[0]))
    def test_the_order_does_not_matter(self, entries: list[tuple[str, bytes]]) -> None:
        """Given files in any order, then the document is the same, whether the ledger has their contents or not."""
        files, contents = [code(*entry) for entry in entries], [content for _, content in entries]
        first = captured(kept(files, contents), {"secrets": {}})
        again = captured(kept(files[::-1], known=[TEXT, *contents]), {"secrets": {}})

        assert first.digest == again.digest
        assert list(again.blobs) == [again.digest]
        assert set(first.blobs) == {blob_digest(content) for content in (TEXT, *contents)} | {first.digest}
