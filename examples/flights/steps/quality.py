"""
Quality gate: sorts out rows that cannot be right, and stops the night when there are too many of them.

Fit rows go to `data/clean/`, unfit ones with their reason to `data/quarantine/` (CSV, for people), the counts of each night to
`data/quality/`. Where more than MAX_REJECT of a night's rows are unfit, it is the delivery that is broken: the night fails, keeps
its former clean rows where there are any, and everything downstream waits for the repair.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
from lib.handover import Dataset, Outcome, StepError, read_dataset, run_step, write_atomically
from lib.partitions import Partitions
from lib.rules import FLIGHTS, REASON, WEATHER, Table, judge
from lib.tables import write_parquet
from lib.tracing import span

CLEAN, QUARANTINE, QUALITY = Path("data/clean"), Path("data/quarantine"), Path("data/quality")


@dataclass
class Tally:
    """What the gate has seen in this run."""

    files: int = 0
    rows: int = 0
    rejected: int = 0
    removed: int = 0
    refusals: list[str] = field(default_factory=list)


def work() -> Outcome:
    """Judge every night that is new or changed."""
    limit = float(os.environ.get("MAX_REJECT", "0.05"))
    tally = Tally()
    for table in (FLIGHTS, WEATHER):
        bronze = read_dataset(f"bronze_{table.name}", Path("data/bronze") / table.name)
        before = replace(tally)
        with span(f"judge {table.name}") as judging:
            _judge_table(table, bronze, limit, tally)
            judging.set_attribute("flights.files", tally.files - before.files)
            judging.set_attribute("flights.rows", tally.rows - before.rows)
            judging.set_attribute("flights.quarantined", tally.rejected - before.rejected)
    metrics = {"files": tally.files, "rows": tally.rows, "quarantined": tally.rejected, "removed": tally.removed}
    if tally.refusals:
        raise StepError("; ".join(tally.refusals), metrics)
    return Outcome(
        f"{tally.rows} rows of {tally.files} files judged, {tally.rejected} quarantined",
        metrics,
        changed=bool(tally.files or tally.removed),
    )


def _judge_table(table: Table, bronze: Dataset, limit: float, tally: Tally) -> None:
    for folder in (CLEAN, QUARANTINE, QUALITY):
        (folder / table.name).mkdir(parents=True, exist_ok=True)
    wanted = {night: [digest] for night, digest in bronze.by_night().items()}
    partitions = Partitions(f"quality_{table.name}", [str(limit)])
    tally.removed += len(partitions.remove_others(wanted))
    for night in partitions.stale(wanted):
        raw = pl.read_parquet(bronze.path / f"{night}.parquet")
        judged = judge(raw, table, night)
        # In quarantine a row stands as it was delivered, readable or not.
        unfit = raw.with_columns(judged[REASON]).filter(pl.col(REASON).is_not_null())
        tally.files += 1
        tally.rows += judged.height
        tally.rejected += unfit.height
        outputs = _write_quarantine(table, night, unfit)
        refusal = _refusal(table, night, judged.height, unfit, limit)
        if refusal is not None:
            tally.refusals.append(refusal)
            partitions.refused(night, outputs)
            continue
        fit = judged.filter(pl.col(REASON).is_null()).drop(REASON)
        outputs.append(write_parquet(fit, CLEAN / table.name / f"{night}.parquet"))
        outputs.append(_write_counts(table, night, judged.height, unfit))
        partitions.built(night, wanted[night], outputs)
    partitions.save()


def _refusal(table: Table, night: str, rows: int, unfit: pl.DataFrame, limit: float) -> str | None:
    """Say why the night cannot be used, or None."""
    if rows == 0:
        return f"{table.name} of {night}: the file has no rows; ask for the delivery again"
    if unfit.height <= limit * rows:
        return None
    counts = ", ".join(f"{count} {reason}" for reason, count in _reasons(unfit).items())
    return (
        f"{table.name} of {night}: {unfit.height} of {rows} rows ({unfit.height / rows:.1%}) are broken, allowed are "
        f"{limit:.1%} ({counts}); look at {_quarantine_file(table, night)} and ask for the delivery again"
    )


def _reasons(unfit: pl.DataFrame) -> dict[str, int]:
    return dict(unfit.group_by(REASON).len().sort(REASON).iter_rows())


def _quarantine_file(table: Table, night: str) -> Path:
    return QUARANTINE / table.name / f"{night}.csv"


def _write_quarantine(table: Table, night: str, unfit: pl.DataFrame) -> list[Path]:
    path = _quarantine_file(table, night)
    if unfit.is_empty():
        path.unlink(missing_ok=True)
        return []
    buffer = io.BytesIO()
    unfit.select(REASON, pl.exclude(REASON)).write_csv(buffer)
    write_atomically(path, buffer.getvalue())
    return [path]


def _write_counts(table: Table, night: str, rows: int, unfit: pl.DataFrame) -> Path:
    path = QUALITY / table.name / f"{night}.json"
    counts = {"night": night, "rows": rows, "quarantined": unfit.height, "reasons": _reasons(unfit)}
    write_atomically(path, json.dumps(counts, sort_keys=True).encode() + b"\n")
    return path


if __name__ == "__main__":
    run_step(work)
