"""What the two bronze steps have in common: one Parquet file for each delivered CSV file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lib.handover import Outcome, read_dataset
from lib.partitions import Partitions
from lib.tables import read_raw_csv, write_parquet


def ingest(kind: str, columns: Sequence[str]) -> Outcome:
    """
    Bring the delivered files of *kind* into `data/bronze/`; only those that are new or changed are read.

    Raises:
        StepError: A file has another header than *columns*.
    """
    raw = Path(os.environ.get("RAW_DIR", "data/raw")) / kind
    bronze = Path("data/bronze") / kind
    bronze.mkdir(parents=True, exist_ok=True)
    source = read_dataset(f"raw_{kind}", raw, "*.csv")
    wanted = {night: [digest] for night, digest in source.by_night().items()}
    partitions = Partitions(f"bronze_{kind}")
    removed = partitions.remove_others(wanted)
    stale = partitions.stale(wanted)
    rows = 0
    try:
        for night in stale:
            frame = read_raw_csv(source.path / f"{night}.csv", columns)
            partitions.built(night, wanted[night], [write_parquet(frame, bronze / f"{night}.parquet")])
            rows += frame.height
    finally:
        partitions.save()
    return Outcome(
        f"{len(stale)} of {len(wanted)} files ingested, {rows} rows; {len(removed)} removed",
        {"files": len(stale), "rows": rows, "removed": len(removed)},
        changed=bool(stale or removed),
    )
