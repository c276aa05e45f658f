"""
Verifying a ledger: how far its file, its events, checkpoints, keys and witnesses show that the history is complete and unaltered.

Five levels, each of which needs the one before it to say something: 0 the file is a sound one of this program's, 1 it agrees with itself,
2 somebody with a pinned key has sealed it, 3 it continues what the auditor has seen before, 4 a pinned witness has seen it. What is derived
from the events, and the ledgers that this one continues, are reported apart. Nothing is written, nothing is trusted for being in the file, and a
finding is never the end: all that can be looked at is looked at.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from ledger.audit.checkpoints import (
    BESIDE,
    Note,
    Seen,
    Signatures,
    compare,
    is_newer,
    notes_beside,
    notes_given,
    notes_in,
    operator_keys,
)
from ledger.audit.events import Leaves, Texts, pages
from ledger.audit.files import NamedFiles
from ledger.audit.findings import Findings, is_of_the_machine
from ledger.audit.projections import FAILED, HELD, Rebuilding, kept_projections
from ledger.audit.rows import NamedBlobs, check_beginning, check_blobs, checked_id
from ledger.audit.tree import StoredTree, Tree
from ledger.audit.verdict import LEVELS, KeyNote, Options, Verdict
from ledger.audit.witnesses import Cosigned, check_times, cosigned, later
from ledger.computing import bounded, file_bytes, integrity_problems
from ledger.errors import (
    ComputingSchemaError,
    DamagedLedgerError,
    ForeignFileError,
    NewerLedgerError,
    ProofError,
    StorageError,
)
from ledger.keys import KeyChange, key_changes
from ledger.projection import Projection
from ledger.reader import LedgerReader
from ledger.schema import SCRIPTS, check_schema, registered_projections, schema_objects
from ledger.verifier import EMPTY_ROOT, signature_is_good

NOT_ASKED = "not_asked"
_VALUE_BYTES = 1 << 20


def _nothing(*_: object) -> None:
    return None


def verify(path: Path, options: Options | None = None) -> Verdict:
    """
    Verify the ledger at *path*.

    Raises:
        LedgerNotFoundError: There is no such file.
        ChangedWhileReadingError: It was read without locks, and changed meanwhile.
        StorageError: The machine does not let it be read.
    """
    findings = Findings()
    try:
        reader = LedgerReader(path)
    except ComputingSchemaError as error:
        for what in error.findings:
            findings.add("schema", what)
        return _unread(path, findings)
    except (ForeignFileError, NewerLedgerError, DamagedLedgerError) as error:
        findings.add(_KIND_OF[type(error)], str(error))
        return _unread(path, findings)
    except StorageError as error:
        if not isinstance(error.__cause__, sqlite3.DatabaseError) or is_of_the_machine(error.__cause__):
            raise
        findings.add("unreadable", str(error))
        return _unread(path, findings)
    with reader:
        audit = Audit(path, reader.connection, reader.format, options or Options(), findings)
        try:
            verdict = audit.run()
        except sqlite3.Error as error:
            raise StorageError(str(path), str(error)) from error
        reader.check_unchanged()
    return verdict


_KIND_OF = {ForeignFileError: "not_a_ledger", NewerLedgerError: "newer_format", DamagedLedgerError: "unreadable"}


def _unread(path: Path, findings: Findings) -> Verdict:
    return Verdict(path, levels=dict.fromkeys(LEVELS, NOT_ASKED) | {0: FAILED}, problems=findings.problems)


class Audit:
    """One verifying of the ledger behind *connection*, which nobody else uses."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, found_format: int, options: Options, findings: Findings
    ) -> None:
        self._path = path.resolve()
        self._connection = connection
        self._format = found_format
        self._options = options
        self._findings = findings
        self._pruned_blobs = 0

    def run(self) -> Verdict:
        """
        Look at everything, in one transaction, and return what was found.

        Raises:
            sqlite3.Error: The machine does not let it be read.
        """
        connection, findings = self._connection, self._findings
        # Not trusted_schema = OFF: SQLite 3.40 then refuses json_extract in our own columns. Views and triggers are never run here, and what a
        # column or a rule may call is what SQLite has for everybody: Python loads no extensions. See `ledger.computing` for those that do not end.
        connection.execute("PRAGMA cell_size_check = ON")
        # A text that is none is compared as what it is, and found to differ, instead of ending the reading.
        connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
        # A page that says that a value goes on for longer than the file has to be the page of a liar.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(_VALUE_BYTES, file_bytes(self._path)))
        connection.execute("BEGIN")
        registered: Mapping[str, int] = {}
        kept: Sequence[Projection] = ()
        with bounded(connection, self._path):
            with self._going_on(0):
                registered = registered_projections(connection)
            with self._going_on(0):
                kept = kept_projections(connection, self._options.projections, registered, findings)
        with self._going_on(0):
            self._check_file(registered, kept)
        files = None
        with self._going_on(0):
            files = None if self._options.files_of is None else NamedFiles(connection, self._options.files_of)
        with bounded(connection, self._path):
            verdict = self._read(kept, files)
        if files is None:
            return verdict
        # Whoever reads gigabytes of logs holds no moment of the ledger meanwhile.
        connection.execute("COMMIT")
        seen = files.look(self._path.parent, findings, self._options.watch_files)
        return attrs.evolve(verdict, files=seen, problems=findings.problems, more=findings.more)

    def _read(self, kept: Sequence[Projection], files: NamedFiles | None) -> Verdict:
        """Look at what stands in the tables."""
        connection, findings, trust = self._connection, self._findings, self._options.trust
        ledger_id: str | None = None
        with self._going_on(1):
            ledger_id = checked_id(connection, findings)
        with self._going_on(1):
            check_beginning(connection, findings)
        notes: list[Note] = []
        if self._format > 1:
            with self._going_on(1):
                notes += notes_in(connection, findings)
        if ledger_id is not None:
            notes += notes_beside(self._path, ledger_id, findings)
        notes += notes_given(trust.checkpoints, findings)
        rebuilding = Rebuilding(connection, kept, findings)
        seen = Seen(ledger_id or "unknown", 0, {})
        root = EMPTY_ROOT
        with self._going_on(1):
            seen, root = self._read_events(ledger_id, notes, rebuilding, files)
        notes = [note for note in notes if not self._is_declared(note, seen) and not is_newer(note, seen, self._path)]
        compare(notes, seen, findings)
        return self._judged(ledger_id, seen, root, notes, rebuilding.status())

    def _judged(self, ledger_id: str | None, seen: Seen, root: bytes, notes: list[Note], projections: str) -> Verdict:
        """Ask who stands behind what was read."""
        trust, findings = self._options.trust, self._findings
        keys = operator_keys(trust, seen, findings)
        changes: list[KeyChange] = []
        signatures = Signatures(keys, changes, seen, findings)
        with self._going_on(1):
            told = key_changes(self._connection)
            signatures, changes = Signatures(keys, told, seen, findings), told
        cosignatures: list[Cosigned] = []
        if self._can_check():
            if trust.keys:
                signatures.judge(notes)
            elif trust.former_keys:
                names = ", ".join(dict.fromkeys(key.name for key in trust.former_keys))
                what = f"the pinned keys are of {names}; {seen.origin} continues that, and no pinned key speaks for it"
                findings.add("key_gap", what, seq=0)
            cosignatures = list(cosigned(notes, trust.witnesses, seen, findings))
        with self._going_on(1):
            check_times(self._connection, cosignatures, findings)
        any_good = max((note.checkpoint.size for note in notes if note.checkpoint and seen.agrees(note)), default=0)
        sealed = signatures.sealed if trust.keys or trust.former_keys else any_good
        if self._options.strict:
            self._check_strictly(seen, sealed, signatures)
        return Verdict(
            path=self._path,
            ledger_id=ledger_id,
            levels=self._levels(),
            projections=projections,
            events=seen.events,
            sealed=sealed,
            root=root,
            pruned_blobs=self._pruned_blobs,
            problems=findings.problems,
            more=findings.more,
            keys=[
                KeyNote(item.seq, item.type, item.after, item.rotation is not None, item.after in signatures.trusted)
                for item in changes
            ],
            cosignatures=cosignatures,
            is_signed=any("\n\n" in note.text for note in notes),
        )

    def _is_declared(self, note: Note, seen: Seen) -> bool:
        """Whether *note* covers events beyond the last one that are known to be lost."""
        return (
            note.source == BESIDE
            and note.checkpoint is not None
            and seen.events < note.checkpoint.size <= self._options.declared
        )

    def _levels(self) -> dict[int, str]:
        trust = self._options.trust
        keys, checkpoints = trust.keys or trust.former_keys, trust.checkpoints or trust.former_checkpoints
        asked = (True, True, bool(keys), bool(checkpoints), bool(trust.witnesses))
        return {
            level: (FAILED if self._findings.failed(level) else HELD) if asked[level] else NOT_ASKED for level in LEVELS
        }

    # The file

    def _check_file(self, registered: Mapping[str, int], kept: Sequence[Projection]) -> None:
        made = schema_objects([*SCRIPTS[self._format], *(item.script for item in kept)])
        with self._going_on(0):
            for text in integrity_problems(self._connection, self._path, made):
                self._findings.add("integrity", text)
        try:
            check_schema(self._connection, str(self._path), [item.script for item in kept])
        except DamagedLedgerError as error:
            for what in error.findings:
                self._findings.add("schema", what)
        if self._connection.execute("PRAGMA main.encoding").fetchone() != ("UTF-8",):
            self._findings.add("schema", "its texts are not in UTF-8")
        for item in self._options.projections:
            version = registered.get(item.name)
            if isinstance(version, int) and version > item.version:
                what = f"its tables {item.name} have version {version}, this program knows up to {item.version}"
                self._findings.add("newer_format", what)

    # The events

    def _read_events(
        self, ledger_id: str | None, notes: Sequence[Note], rebuilding: Rebuilding, files: NamedFiles | None
    ) -> tuple[Seen, bytes]:
        connection, findings, options = self._connection, self._findings, self._options
        (total,) = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM main.events").fetchone()
        stored = StoredTree(connection, findings) if self._format > 1 else None
        tree = Tree(
            {note.checkpoint.size for note in notes if note.checkpoint is not None},
            _nothing if stored is None else stored.compare,
        )
        leaves, texts = Leaves(tree, findings), Texts(ledger_id, later(options.now()), findings)
        blobs = NamedBlobs()
        finished = False
        with self._going_on(1, lambda: tree.size):
            for page in pages(connection):
                leaves.take(page)
                events = texts.take(page)
                for event in events:
                    removed = options.removed_of(event)
                    blobs.take(event.seq, options.blobs_of(event), removed.blobs)
                    if files is not None:
                        files.prune(removed.files)
                if files is not None:
                    files.take(events)
                rebuilding.take(events, complete=texts.readable)
                options.watch(tree.size, int(total))
            finished = True
        tree.close()
        if not tree.size:
            findings.add("missing_event", "the ledger has no event at all", seq=0)
        if not finished:
            rebuilding.stop(f"event {tree.size} cannot be read", seq=tree.size)
        with self._going_on(1):
            self._pruned_blobs = check_blobs(connection, blobs, findings)
        if stored is not None:
            with self._going_on(1):
                stored.close()
        return Seen(ledger_id or "unknown", tree.size, tree.roots), tree.root()

    # What else

    def _can_check(self) -> bool:
        if not self._options.trust.keys and not self._options.trust.witnesses:
            return True
        try:
            signature_is_good(bytes(32), b"", bytes(64))
        except ProofError as error:
            self._findings.add("no_verifier", str(error), level=2 if self._options.trust.keys else 4)
            return False
        return True

    def _check_strictly(self, seen: Seen, sealed: int, signatures: Signatures) -> None:
        if sealed < seen.events:
            what = f"{seen.events - sealed} events are covered by no checkpoint"
            self._findings.add("unsealed", what, seq=sealed)
        for change in signatures.gaps:
            what = f"event {change.seq} replaces the key without the signature of the one before"
            self._findings.add("key_gap", what, seq=change.seq)

    @contextlib.contextmanager
    def _going_on(self, level: int, place: Callable[[], int | None] = _nothing) -> Iterator[None]:
        """Turn what keeps a part from being looked at into a finding, at the event that *place* gives, and go on with the next part."""
        try:
            yield
        except sqlite3.Error as error:
            if is_of_the_machine(error):
                raise
            self._findings.add("unreadable", str(error), seq=place(), level=level)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # Tables in the place of ours may hold anything.
            self._findings.add("unreadable", f"a value is not of its type: {error}", seq=place(), level=level)
