"""Evidence for tests: a small history of one run, bundles and packages of it, and what somebody makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.checkpoints import Seal, seal
from ledger.events import NewEvent
from ledger.evidence import BundleWriter, Prover, common_members, known_seals, seals_around
from ledger.keys import ROTATED, rotation_statement
from ledger.signing import SigningKey, signed_note
from ledger.store import Ledger, open_ledger
from ledger.verifier import TABLE_TYPES, Rotation, sample_of

LOG = b"hello\nworld\n"
BLOB = b'{"steps":[]}'
LOG_PATH = "logs/r1/one.1.log"
Json = dict[str, Any]
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
TABLES = {name: list(types) for name, types in TABLE_TYPES.items()} | {"overlaps": []}


def keys_of(ledger: Ledger) -> tuple[SigningKey, SigningKey]:
    """Return two keys of *ledger*, always the same: the former one and the present one."""
    origin = f"orchestrate-ledger/{ledger.ledger_id}"
    return SigningKey(origin, 1, b"a" * 32), SigningKey(origin, 1, b"b" * 32)


def sealed(ledger: Ledger, size: int | None = None, key: SigningKey | None = None) -> Seal:
    """Seal *ledger*, signed with *key* where one is given."""
    sign = None if key is None else lambda found: signed_note(found.text, key.signature_line(found.text))
    return seal(ledger, size, sign=sign, now=lambda: "2026-02-01T00:00:00.000000Z")


def history(path: Path) -> Ledger:
    """
    Return a ledger with a run on each of three days, signed with the former key after the first day and with the present one after the third.

    Its events: 0 the beginning, 1 to 5 the run r1, 6 the rotation of the key, 7 to 11 r2, 12 to 16 r3, 17 a note after the last checkpoint.
    """
    now = [f"{DAYS[0]}T02:00:00.000000Z"]
    ledger = open_ledger(path, now=lambda: now[0])
    before, after = keys_of(ledger)
    for number, day in enumerate(DAYS, 1):
        now[0] = f"{day}T02:00:00.000000Z"
        ledger.append(f"run/r{number}", list(_run(number)), expected_version=None)
        ledger.append("pipeline/p", [note(f"r{number}")], expected_version=None)
        if number == 1:
            sealed(ledger, key=before)
            data = {"before": before.verifier.text, "after": after.verifier.text}
            data["statement"] = rotation_statement(Rotation(before.verifier, after.verifier, 6), [before, after])
            ledger.append("ledger", [NewEvent(ROTATED, 1, data)], expected_version=None)
    sealed(ledger, key=after)
    ledger.append("pipeline/p", [note("r3")], expected_version=None)
    return ledger


def note(run_id: str) -> NewEvent:
    """Return a note about a run."""
    return NewEvent("note.added", 1, {"pipeline": "p", "run_id": run_id, "text": "seen \u2028 and \u00e4"})


def _run(number: int) -> Iterator[NewEvent]:
    log = {"path": f"logs/r{number}/one.1.log", "sha256": sha256(LOG).hexdigest(), "bytes": len(LOG), "lines": 2}
    yield NewEvent("run.started", 1, {"pipeline": "p", "run_id": f"r{number}"})
    yield NewEvent("attempt.finished", 1, {"step": "one", "log": log})
    yield NewEvent("step.finished", 1, {"step": "one", "status": "succeeded"})
    yield NewEvent("run.finished", 1, {"status": "succeeded"})


def prover_of(ledger: Ledger, *, size: int | None = None) -> Prover:
    """Return what proves events of *ledger*, against its last checkpoint where *size* names none."""
    known = known_seals(ledger.connection, ledger.ledger_id)
    chosen = [found for found in known if size in (None, found.checkpoint.size)][-1]
    return Prover(ledger.connection, ledger.ledger_id, str(ledger.path), chosen)


def _facts(prover: Prover) -> Json:
    checkpoint = prover.seal.checkpoint
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def write_run(path: Path, ledger: Ledger, seqs: Sequence[int] = (1, 2, 3, 4, 5)) -> Path:
    """Write the bundle of the run r1, or only *seqs* of it, with its log and a blob, and return *path*."""
    prover = prover_of(ledger)
    with BundleWriter(path) as bundle:
        for name, data in common_members(ledger.connection, prover.seal):
            bundle.add(name, [data])
        bodies = [prover.body(seq) for seq in seqs]
        bundle.add("events.jsonl", (body + b"\n" for body in bodies))
        for seq, body in zip(seqs, bodies, strict=True):
            bundle.add(f"proofs/{seq}.tlog-proof", [prover.proof(seq, body).text.encode()])
        bundle.add(LOG_PATH, [LOG[:5], LOG[5:]])
        bundle.add(f"blobs/{sha256(BLOB).hexdigest()}", [BLOB])
        said = {"kind": "run", "run_id": "r1", "stream": "run/r1", "events": len(seqs)}
        bundle.finish(said | {"first_seq": seqs[0], "last_seq": seqs[-1]} | _facts(prover))
    return path


def write_period(
    path: Path, ledger: Ledger, first: str, last: str, bounds: tuple[int, int], pipelines: list[str] | None = None
) -> Path:
    """Write the package of a period, whose events are those from bounds[0] on, before bounds[1]; return *path*."""
    around = seals_around(known_seals(ledger.connection, ledger.ledger_id), *bounds)
    assert around is not None
    prover = prover_of(ledger, size=around[1].checkpoint.size)
    start = 0 if around[0] is None else around[0].checkpoint.size
    inside = [json.loads(body) for body in prover.bodies(*bounds)]
    unsealed = [] if bounds[1] <= prover.size else [{"seq": prover.size}]
    with BundleWriter(path) as bundle:
        for name, data in common_members(ledger.connection, prover.seal):
            bundle.add(name, [data])
        if around[0] is not None:
            bundle.add("checkpoint.start", [around[0].note.encode()])
        bundle.add("range.json", [json.dumps(prover.beginning(start)).encode()])
        bundle.add("events.jsonl", (body + b"\n" for body in prover.bodies(start, prover.size)))
        tables: Json = {}
        for name, types in TABLES.items():
            rows = [{"seq": event["seq"]} for event in inside if event["type"] in types and event["seq"] < prover.size]
            rows += unsealed if name == "reviews" else []
            bundle.add(f"tables/{name}.csv", [b'"seq"\r\n', *(f"{row['seq']}\r\n".encode() for row in rows)])
            bundle.add(f"tables/{name}.jsonl", (json.dumps(row).encode() + b"\n" for row in rows))
            tables[name] = {"rows": len(rows), "types": types}
        runs = {event["data"]["run_id"] for event in inside if event["type"] == "run.started"}
        items = sample_of([f"{run}/one" for run in runs], "7", 2)
        seqs = [3 + 6 * (int(item[1]) > 1) + 5 * (int(item[1]) > 2) for item in items]
        for seq in seqs:
            body = prover.body(seq)
            bundle.add(f"proofs/{seq}.tlog-proof", [prover.proof(seq, body).text.encode()])
        said: Json = {"kind": "period", "from": first, "to": last, "pipelines": pipelines, "tables": tables}
        ends = (start, prover.size - 1) if prover.size > start else (None, None)
        said |= {"sample": {"seed": "7", "size": 2, "items": items}, "events": prover.size - start}
        bundle.finish(said | {"first_seq": ends[0], "last_seq": ends[1]} | _facts(prover))
    return path


def remade(folder: Path, change: Callable[[dict[str, bytes], Json], object], *, relisted: bool = True) -> Path:
    """
    Let *change* do what it likes with the files and the manifest of the evidence in *folder*, and put it back.

    Args:
        relisted: Whoever changed it also made the list of files anew.
    """
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    manifest = json.loads(files.pop("manifest.json"))
    del files["manifest.sha256"]
    change(files, manifest)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    if relisted:
        manifest["files"] = {
            name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()
        }
    data = json.dumps(manifest).encode()
    files |= {
        "manifest.json": data,
        "manifest.sha256": f"{sha256(data).hexdigest()}  manifest.json\n".encode(),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
