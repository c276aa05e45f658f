"""
Writing a ledger as files for other programs: events as lines, views as tables, and what each file is, in a manifest.

Everything is of one moment and written from one end to the other, so that memory does not grow with the history; a Parquet file alone is held as a
whole, in columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ledger.errors import DamagedLedgerError, MissingExtraError
from ledger.merkle import Frontier, leaf_hash
from orchestrator.cli.audit.csv_text import csv_line
from orchestrator.cli.audit.evidence import Moment
from orchestrator.cli.audit.new_files import NewFile, file_named
from orchestrator.cli.audit.seq_range import SeqRange
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.projections.view_form import View
from orchestrator.projections.views import VIEWS

if TYPE_CHECKING:
    import polars as pl

FileFacts = dict[str, object]
Facts = Mapping[str, object]

MANIFEST = "manifest.json"
FORM = "orchestrate-export/1"
_PAGE_ROWS = 10_000


class Job(NamedTuple):
    """
    One form of an export.

    Attributes:
        files: What it will write.
        write: Writes them, given the moment, the stretch of events and what every manifest says.
    """

    files: list[Path]
    write: Callable[[Moment, SeqRange, Facts], list[FileFacts]]


def jobs_of(jsonl: str | None, csv: str | None, parquet: str | None) -> list[Job]:
    """
    Return what has to be written for the options that are given.

    Raises:
        MissingExtraError: `polars` is not installed, and Parquet is wanted.
        UsageRefusedError: A name is none.
    """
    jobs = []
    if jsonl is not None:
        lines = file_named("--jsonl", jsonl)
        jobs.append(Job([lines, lines_manifest(lines)], partial(export_lines, lines)))
    for folder, suffix, export in ((csv, "csv", export_csv), (parquet, "parquet", export_parquet)):
        if folder == "":
            raise UsageRefusedError("bad_path", f"--{suffix} takes the name of a folder, not ''")
        if folder is not None:
            files = [*table_files(Path(folder), suffix).values(), Path(folder) / MANIFEST]
            jobs.append(Job(files, partial(export, Path(folder))))
    if parquet is not None:
        _need_parquet()
    return jobs


def facts_of(moment: Moment, stretch: SeqRange, exported_at: str) -> dict[str, object]:
    """Return what every manifest of an export says: which ledger, which events of it, and the root of the whole at that moment."""
    from ledger.schema import ledger_identity
    from orchestrator import __version__

    return {
        "form": FORM,
        "ledger": ledger_identity(moment.connection, str(moment.path)),
        "program": f"orchestrate {__version__}",
        "exported_at": exported_at,
        "seq_range": list(stretch),
        "event_count": max(0, stretch.last - stretch.first + 1),
        "size": moment.size,
        "root": moment.root(),
    }


def export_lines(path: Path, moment: Moment, stretch: SeqRange, facts: Facts) -> list[FileFacts]:
    """
    Write the text of each event of *stretch* as a line of *path*, and beside it a manifest: SHA-256(0x00 ‖ line) is the event's leaf hash.

    Raises:
        DamagedLedgerError: A text is not what its hash, or the root, says; nothing is left.
        OSError: It cannot be written.
    """
    tree = Frontier()
    rows = moment.connection.execute(
        "SELECT seq, CAST(body AS BLOB), leaf_hash FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq", tuple(stretch)
    )
    with NewFile(path) as file:
        for seq, body, stored in rows:
            leaf = leaf_hash(body)
            if leaf != stored or b"\n" in body:
                raise DamagedLedgerError(str(moment.path), [f"the text of event {seq} is not what its hash says"])
            tree.add(leaf)
            file.write(body + b"\n")
        if tree.size == moment.size and tree.root().hex() != facts["root"]:
            raise DamagedLedgerError(str(moment.path), ["the tree over the events is not what they say"])
    entry: FileFacts = {"file": path.name, "rows": tree.size, "bytes": file.size, "sha256": file.sha256}
    _write_manifest(lines_manifest(path), facts, [entry])
    return [{**entry, "file": str(path)}]


def lines_manifest(path: Path) -> Path:
    """Return where the manifest of the lines in *path* stands."""
    return path.with_name(f"{path.name}.{MANIFEST}")


def table_files(folder: Path, suffix: str) -> dict[str, Path]:
    """Return the file of each view in *folder*."""
    return {name: folder / f"{name}.{suffix}" for name in VIEWS}


def export_csv(folder: Path, moment: Moment, stretch: SeqRange, facts: Facts) -> list[FileFacts]:
    """
    Write each view as a CSV file into *folder*, and a manifest.

    Raises:
        OSError: They cannot be written.
    """

    def write(view: View, pages: Iterable[Sequence[tuple[object, ...]]], file: NewFile) -> int:
        file.write(csv_line(view.columns).encode("utf-8"))
        count = 0
        for page in pages:
            file.write("".join(map(csv_line, page)).encode("utf-8"))
            count += len(page)
        return count

    return _export_views(moment, stretch, table_files(folder, "csv"), facts, write)


def export_parquet(folder: Path, moment: Moment, stretch: SeqRange, facts: Facts) -> list[FileFacts]:
    """
    Write each view as a Parquet file into *folder*, and a manifest.

    Raises:
        OSError: They cannot be written.
    """
    import io

    def write(view: View, pages: Iterable[Sequence[tuple[object, ...]]], file: NewFile) -> int:
        table = _as_columns(view, pages)
        content = io.BytesIO()
        table.write_parquet(content, compression="zstd")
        file.write(content.getvalue())
        return table.height

    return _export_views(moment, stretch, table_files(folder, "parquet"), facts, write)


def _need_parquet() -> None:
    import importlib.util

    if importlib.util.find_spec("polars") is None:
        raise MissingExtraError("parquet", "writing Parquet")


def _export_views(
    moment: Moment,
    stretch: SeqRange,
    files: Mapping[str, Path],
    facts: Facts,
    write: Callable[[View, Iterable[Sequence[tuple[object, ...]]], NewFile], int],
) -> list[FileFacts]:
    part = None if list(stretch) == moment.seq_range else stretch
    entries: list[FileFacts] = []
    for name, path in files.items():
        view = VIEWS[name]
        with NewFile(path) as file:
            rows = write(view, _pages(moment.connection, view, part), file)
        whole = {} if view.place else {"whole": True}
        entries.append(
            {"file": path.name, "view": name, "rows": rows, "bytes": file.size, "sha256": file.sha256, **whole}
        )
    folder = next(iter(files.values())).parent
    _write_manifest(folder / MANIFEST, facts, entries)
    return [{**entry, "file": str(folder / str(entry["file"]))} for entry in entries]


def _pages(connection: sqlite3.Connection, view: View, stretch: SeqRange | None) -> Iterator[list[tuple[object, ...]]]:
    # Of a whole history every row is there, also that of a step that has not ended.
    within = "" if stretch is None or view.place is None else f" WHERE {view.place} BETWEEN :first AND :last"
    sql = f"SELECT * FROM {view.name}{within} ORDER BY {view.sort}"  # noqa: S608 -- ours
    cursor = connection.execute(sql, stretch._asdict() if stretch is not None and within else {})
    while page := cursor.fetchmany(_PAGE_ROWS):
        yield page


def _as_columns(view: View, pages: Iterable[Sequence[tuple[object, ...]]]) -> pl.DataFrame:
    import polars as pl

    types = {"text": pl.String, "integer": pl.Int64, "real": pl.Float64}
    schema = {name: types[kind] for name, (kind, _) in view.columns.items()}
    table = pl.DataFrame(schema=schema)
    for page in pages:
        table.vstack(pl.DataFrame(page, schema=schema, orient="row", strict=False), in_place=True)
    return table.rechunk()


def _write_manifest(path: Path, facts: Facts, files: Sequence[FileFacts]) -> None:
    import json

    with NewFile(path) as file:
        file.write(json.dumps({**facts, "files": files}, ensure_ascii=False, indent=2).encode("utf-8") + b"\n")
