"""The evidence of a period in one package: every event between two checkpoints, tables, a sample with proofs, and a cover page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ledger.checkpoints import Seal
from ledger.evidence import BundleWriter, Prover, common_members, known_seals, seals_around, signers_of
from ledger.schema import ledger_identity
from ledger.verifier import PROOF_SUFFIX, sample_of
from orchestrator.cli.audit.bundling import (
    log_state,
    range_facts,
    readable_json,
    sealed_facts,
    signed_words,
)
from orchestrator.cli.audit.csv_text import csv_line
from orchestrator.cli.audit.evidence import Moment, one_moment, reading_events
from orchestrator.cli.audit.staging import new_bundle, output_path
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.projections.cover_page import cover_html, cover_markdown
from orchestrator.projections.evidence_text import period_readme
from orchestrator.projections.period import (
    TABLES,
    Period,
    count_events,
    finished_steps,
    nights_of_pipelines,
    period_bounds,
    period_rows,
    step_events,
    unknown_pipelines,
)

_SAMPLED = "Every step that ended, of the runs that started in the period (run/step), sorted by SHA-256 of the seed, a newline (0x0a) and run/step; the first ones."


@attrs.frozen
class Packaged:
    """
    Say what was written.

    Attributes:
        facts: What the cover page says.
        digest: Of the manifest.
    """

    path: Path
    seal: Seal
    facts: Mapping[str, Any]
    digest: str

    def as_json(self) -> dict[str, object]:
        """Return what `audit package --json` prints."""
        facts = self.facts
        return {
            "out": str(self.path),
            "from": facts["first"],
            "to": facts["last"],
            "pipelines": facts["chosen"],
            **{name: facts[name] for name in ("origin", "size", "root", "events", "first_seq", "last_seq")},
            "recorded_in_period": facts["inside"],
            "not_sealed": facts["not_sealed"],
            "open_since": facts["open_since"],
            "signed_by": facts["signers"],
            "tables": {name: rows for name, (_, rows, _) in zip(TABLES, facts["tables"], strict=True)},
            "sample": {
                "seed": facts["seed"],
                "population": facts["population"],
                "items": [row[0] for row in facts["sample"]],
            },
            "warnings": facts["warnings"],
            "manifest_sha256": self.digest,
        }


@attrs.frozen
class _Range:
    """Hold the events that are handed over: from the checkpoint before the period to the one after it."""

    before: Seal | None
    prover: Prover
    period: Period

    @property
    def start(self) -> int:
        return 0 if self.before is None else self.before.checkpoint.size


def package_period(
    pipeline: str | None, ledger: str | None, period: Period, out: str, *, count: int, seed: str | None, force: bool
) -> Packaged:
    """
    Write the evidence of *period* to *out*, a zip file or a new folder.

    Args:
        count: How many steps are sampled.
        seed: Of the sample; the root where none is given, which nobody could choose.
        force: Write a zip file anew that is there.

    Raises:
        UsageRefusedError: There is no checkpoint or no such pipeline, or it is there or cannot be written.
        InconsistentHistoryError: The ledger is not what its checkpoints say.
        OSError: The disk is full.
    """
    path = output_path(out)
    with one_moment(pipeline, ledger) as moment:
        unknown = unknown_pipelines(moment.connection, period.pipelines or ())
        if unknown:
            raise UsageRefusedError("unknown_pipeline", f"this ledger knows no pipeline {unknown[0]!a}")
        with reading_events(moment.path):
            covered = _range(moment, period)
        chosen = covered.prover.seal.checkpoint.root.hex() if seed is None else seed
        with new_bundle(path, force=force) as bundle, reading_events(moment.path):
            facts = _fill(bundle, moment, covered, count, chosen)
    return Packaged(path, covered.prover.seal, facts, bundle.digest)


def _range(moment: Moment, period: Period) -> _Range:
    ledger_id = ledger_identity(moment.connection, str(moment.path))
    begin, end = period_bounds(moment.connection, period)
    # One event of after the period shows where it ends.
    found = seals_around(known_seals(moment.connection, ledger_id), begin, min(end + 1, moment.size))
    if found is None:
        raise UsageRefusedError(
            "not_sealed", "this ledger has no checkpoint yet; `orchestrate audit checkpoint` makes one"
        )
    before, last = found
    if before is not None:
        Prover(moment.connection, ledger_id, str(moment.path), before)
    return _Range(before, Prover(moment.connection, ledger_id, str(moment.path), last), period)


def _fill(bundle: BundleWriter, moment: Moment, covered: _Range, count: int, seed: str) -> dict[str, Any]:
    prover, period = covered.prover, covered.period
    facts = sealed_facts(prover.seal) | {"signed": signed_words(prover.seal)}
    bundle.add("README.txt", [period_readme(period.first, period.last, facts).encode()])
    for name, data in common_members(moment.connection, prover.seal):
        bundle.add(name, [data])
    if covered.before is not None:
        bundle.add("checkpoint.start", [covered.before.note.encode()])
    bundle.add("range.json", [(json.dumps(prover.beginning(covered.start)) + "\n").encode()])
    types: Counter[str] = Counter()
    bundle.add("events.jsonl", _lines(covered, types))
    tables = {name: _add_table(bundle, moment, name, covered) for name in TABLES}
    population = set(finished_steps(moment.connection, period, covered.start, prover.size))
    items = sample_of(population, seed, count)
    drawn = [_sampled(bundle, moment, covered, item) for item in items]
    sample = {"seed": seed, "size": count, "population": len(population), "drawn": _SAMPLED}
    bundle.add("sample.json", [readable_json(sample | {"items": drawn})])
    page = _cover_facts(moment, covered, tables, drawn) | facts | {"types": dict(sorted(types.items()))}
    page |= {"seed": seed, "population": len(population)}
    cover = page | {"warnings": [*page["warnings"], *(f"not here: {what}" for what in page["open_end"])]}
    bundle.add("cover.html", [cover_html(cover).encode()])
    bundle.add("cover.md", [cover_markdown(cover).encode()])
    said: dict[str, object] = {"kind": "period", "from": period.first, "to": period.last, "pipelines": _listed(period)}
    said["tables"] = {
        name: {"rows": len(rows), "types": list(TABLES[name].types)} for name, (_, rows) in tables.items()
    }
    said["sample"] = {"seed": seed, "size": count, "items": items}
    said["not_sealed"] = page["not_sealed"]
    bundle.finish(said | sealed_facts(prover.seal) | range_facts(range(covered.start, prover.size)))
    return page


def _listed(period: Period) -> list[str] | None:
    return None if period.pipelines is None else list(period.pipelines)


def _lines(covered: _Range, types: Counter[str]) -> Iterator[bytes]:
    """Yield the events as lines, and count those of the period in *types*."""
    for body in covered.prover.bodies(covered.start, covered.prover.size):
        event = json.loads(body)
        if covered.period.first <= event["recorded_at"][:10] <= covered.period.last:
            types[event["type"]] += 1
        yield body + b"\n"


def _add_table(
    bundle: BundleWriter, moment: Moment, name: str, covered: _Range
) -> tuple[list[str], list[tuple[Any, ...]]]:
    names, rows = period_rows(moment.connection, TABLES[name], covered.period, covered.prover.size)
    bundle.add(f"tables/{name}.csv", (csv_line(row).encode() for row in [names, *rows]))
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    bundle.add(f"tables/{name}.jsonl", (line.encode() for line in lines))
    return names, rows


def _sampled(bundle: BundleWriter, moment: Moment, covered: _Range, item: str) -> dict[str, Any]:
    """Add a proof for each event of *item*, a step of a run, and return what is told about it."""
    run_id, _, step = item.partition("/")
    prover, found = covered.prover, step_events(moment.connection, run_id, step)
    events = [seq for seq in found if covered.start <= seq < prover.size]
    status, logs = None, []
    for seq in events:
        body = prover.body(seq)
        bundle.add(f"proofs/{seq}{PROOF_SUFFIX}", [prover.proof(seq, body).text.encode()])
        data = json.loads(body)["data"]
        status = data.get("status", status)
        if data.get("log"):
            logs.append({"seq": seq, **data["log"], "file": log_state(moment.path.parent, data["log"])})
    return {"item": item, "status": status, "seqs": events, "elsewhere": sorted({*found} - {*events}), "logs": logs}


def _cover_facts(
    moment: Moment, covered: _Range, tables: Mapping[str, tuple[list[str], list[tuple[Any, ...]]]], drawn: Sequence[Any]
) -> dict[str, Any]:
    period, size = covered.period, covered.prover.size
    inside, not_sealed = count_events(moment.connection, period, size)
    names, runs = tables["runs"]
    before = covered.before
    warnings = []
    if not_sealed:
        warnings.append(
            f"{not_sealed} events of the period were recorded after the last checkpoint: nothing speaks for them but the file itself;"
            " rows that rest on them have sealed = 0"
        )
    if not covered.prover.seal.is_signed:
        warnings.append("the checkpoint is not signed: only who kept the root elsewhere can hold the ledger to it")
    altered = [log["path"] for item in drawn for log in item["logs"] if log["file"] == "altered"]
    if altered:
        warnings.append(f"logs of the sample are not what was recorded: {', '.join(altered)}")
    elsewhere = len(tables["runs_elsewhere"][1])
    if elsewhere:
        warnings.append(
            f"runs for nights of the period that were recorded outside of it: {elsewhere}, see tables/runs_elsewhere.csv"
        )
    return {
        "first": period.first,
        "last": period.last,
        "chosen": _listed(period),
        "inside": inside,
        "not_sealed": not_sealed,
        **range_facts(range(covered.start, size)),
        "signers": signers_of(covered.prover.seal),
        "before": _before(before),
        "open_since": (since := _open_since(covered)),
        "open_end": []
        if since is None
        else [f"what was recorded after {since}, until the end of the period: no checkpoint covers it"],
        "warnings": warnings,
        "tables": [
            (TABLES[name].title, len(rows), _open_rows(columns, rows)) for name, (columns, rows) in tables.items()
        ],
        "statuses": dict(sorted(Counter(row[names.index("status")] for row in runs).items())),
        "pipelines": [tuple(row.values()) for row in nights_of_pipelines(moment.connection, period)],
        "sample": [_sample_row(item) for item in drawn],
    }


def _open_since(covered: _Range) -> str | None:
    """Say when the last event was recorded, where it does not lie after the period: none shows that nothing else was recorded in it."""
    at: str = json.loads(covered.prover.body(covered.prover.size - 1))["recorded_at"]
    return None if at[:10] > covered.period.last else at


def _before(seal: Seal | None) -> str:
    if seal is None:
        return "no checkpoint: every event from the first one on is here"
    return f"a checkpoint of {seal.checkpoint.size} events with the root {seal.checkpoint.root.hex()}"


def _open_rows(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int | None:
    if "sealed" not in names:
        return None
    return sum(not row[names.index("sealed")] for row in rows)


def _sample_row(item: Mapping[str, Any]) -> tuple[object, ...]:
    logs = ", ".join(f"{log['path'].rpartition('/')[2]} {log['file']}" for log in item["logs"]) or "nothing was printed"
    return item["item"], item["status"], " ".join(map(str, item["seqs"])), logs
