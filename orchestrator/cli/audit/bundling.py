"""Proofs for somebody else: of one event as two files, or of a run as one bundle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

import attrs

from ledger.canonical import blob_digest
from ledger.checkpoints import Seal
from ledger.errors import DamagedLedgerError
from ledger.evidence import BundleWriter, Prover, common_members, covering_seal, known_seals, signers_of
from ledger.folders import write_private
from ledger.outside import read_note
from ledger.schema import ledger_identity
from ledger.verifier import PROOF_SUFFIX, open_checkpoint
from orchestrator.cli.audit.evidence import Moment, one_moment, reading_events
from orchestrator.cli.audit.new_files import refuse_existing
from orchestrator.cli.audit.staging import new_bundle, output_path, staged
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.tails import log_blocks, open_log
from orchestrator.core.classification import is_withheld
from orchestrator.projections.blob_names import blobs_below
from orchestrator.projections.evidence_text import run_readme
from orchestrator.projections.period import run_events
from orchestrator.projections.reproductions import any_run
from orchestrator.projections.withheld import step_classes

_LOG = re.compile(r"logs/[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


@attrs.frozen
class Proved:
    """
    Say what was written.

    Attributes:
        not_sealed: Events that concern the run and that no checkpoint covers.
        digest: Of a bundle's manifest.
        problems: Logs that could not be included.
    """

    kind: str
    seal: Seal
    files: tuple[Path, ...]
    seqs: tuple[int, ...]
    run_id: str | None = None
    not_sealed: int = 0
    digest: str | None = None
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return what `audit prove --json` prints."""
        checkpoint = self.seal.checkpoint
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "files": [str(path) for path in self.files],
            "events": len(self.seqs),
            "first_seq": self.seqs[0],
            "last_seq": self.seqs[-1],
            "not_sealed": self.not_sealed,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "signed_by": signers_of(self.seal),
            "manifest_sha256": self.digest,
        }


def prove_event(
    pipeline: str | None, ledger: str | None, seq: int, *, out: str | None, at: str | None, force: bool
) -> Proved:
    """
    Write the proof of the event *seq*, and its text beside it.

    Args:
        out: The file of the proof.
        at: Size of a checkpoint, or a file with one; the largest signed one that covers the event where it is not given.
        force: Write files anew that are there.

    Raises:
        UsageRefusedError: There is no such event, no checkpoint covers it, or a file is there or cannot be written.
        InconsistentHistoryError: The ledger is not what its checkpoint says.
        OSError: The disk is full.
    """
    path = output_path(f"event-{seq}{PROOF_SUFFIX}" if out is None else out)
    beside = path.with_suffix(".json")
    if beside == path:
        raise UsageRefusedError("output", f"{path} is where the event's text goes: name the proof *{PROOF_SUFFIX}")
    refuse_existing([path, beside], force=force)
    with one_moment(pipeline, ledger) as moment:
        if seq >= moment.size:
            raise UsageRefusedError("unknown_event", f"there is no event {seq}: the last one is {moment.size - 1}")
        prover = prover_at(moment, seq + 1, at)
        body = prover.body(seq)
        proof = prover.proof(seq, body)
    with staged(path) as folder:
        texts = {beside: body.decode("utf-8"), path: proof.text}
        for place, text in texts.items():
            if place.is_dir():
                raise UsageRefusedError("output", f"{place} is a folder: give another name")
            write_private(folder / place.name, text)
        for place in texts:
            (folder / place.name).replace(place)
    return Proved("proof", prover.seal, (path, beside), (seq,))


def prove_run(
    pipeline: str | None,
    ledger: str | None,
    run: str,
    *,
    out: str | None,
    at: str | None,
    logs: bool,
    blobs: bool,
    force: bool,
) -> Proved:
    """Write the bundle of *run*; arguments and errors as in `prove_event`, *logs* and *blobs* say whether those are included."""
    with one_moment(pipeline, ledger) as moment:
        connection = moment.connection
        run_id = moment.view.find(run)
        of = str(any_run(connection, run_id)["pipeline"])
        concerned = list(run_events(connection, run_id, of))
        prover = prover_at(moment, max(seq for seq, own in concerned if own) + 1, at)
        seqs = [seq for seq, _ in concerned if seq < prover.size]
        path = output_path(f"run-{run_id}.zip" if out is None else out)
        with new_bundle(path, force=force) as bundle, reading_events(moment.path):
            problems = _fill(bundle, moment, prover, run_id, seqs, logs=logs, blobs=blobs)
            said = {
                "kind": "run",
                "run_id": run_id,
                "stream": f"run/{run_id}",
                "not_sealed": len(concerned) - len(seqs),
            }
            bundle.finish(said | sealed_facts(prover.seal) | range_facts(seqs))
    return Proved(
        "run", prover.seal, (path,), tuple(seqs), run_id, len(concerned) - len(seqs), bundle.digest, tuple(problems)
    )


def prover_at(moment: Moment, covers: int, at: str | None) -> Prover:
    """
    Return what proves the first *covers* events against the checkpoint that *at* chooses.

    Raises:
        UsageRefusedError: There is none.
    """
    ledger_id = ledger_identity(moment.connection, str(moment.path))
    if at is None or at.isdecimal():
        size = None if at is None else int(at)
        seal = covering_seal(known_seals(moment.connection, ledger_id), covers, at=size)
        chosen = "no checkpoint" if size is None else f"no checkpoint of {size} events"
    else:
        try:
            note = read_note(Path(at))
        except OSError as error:
            raise UsageRefusedError("unreadable", f"{at} cannot be read: {error.strerror}") from None
        given = Seal(open_checkpoint(note)[0], note, "")
        seal = covering_seal([given], covers)
        chosen = f"the checkpoint in {at} has {given.checkpoint.size} events, and none that was asked for"
    if seal is None:
        message = f"{chosen} covers event {covers - 1}; `orchestrate audit checkpoint` seals every event that there is"
        raise UsageRefusedError("not_sealed", message)
    return Prover(moment.connection, ledger_id, str(moment.path), seal)


def sealed_facts(seal: Seal) -> dict[str, object]:
    """Return what a manifest says of the checkpoint."""
    return {"origin": seal.checkpoint.origin, "size": seal.checkpoint.size, "root": seal.checkpoint.root.hex()}


def range_facts(seqs: Sequence[int]) -> dict[str, object]:
    """Return what a manifest says of the events."""
    first, last = (seqs[0], seqs[-1]) if seqs else (None, None)
    return {"events": len(seqs), "first_seq": first, "last_seq": last}


def signed_words(seal: Seal) -> str:
    """Return by whom *seal* is signed, as a person reads it."""
    names = ", ".join(f"{signer['name']} (key {signer['id']})" for signer in signers_of(seal))
    return (
        f"signed by {names}"
        if names
        else "signed by nobody: only who kept the root elsewhere can hold the ledger to it"
    )


def log_state(folder: Path, log: dict[str, Any]) -> str:
    """Return whether the file of *log*, as an event states it, is `intact`, `altered` or `missing`."""
    if not _LOG.fullmatch(str(log["path"])):
        return "missing"
    try:
        with open_log(folder / log["path"]) as file:
            digest = file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
    return "intact" if digest == log["sha256"] else "altered"


def readable_json(value: object) -> bytes:
    """Return *value* as JSON for people and programs."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _fill(
    bundle: BundleWriter, moment: Moment, prover: Prover, run_id: str, seqs: Sequence[int], *, logs: bool, blobs: bool
) -> list[str]:
    facts = sealed_facts(prover.seal) | {"signed": signed_words(prover.seal), "logs": logs}
    without = [] if blobs else ["What the events name by digest: it was left out (--no-blobs)."]
    bundle.add("README.txt", [run_readme(run_id, facts, without=without).encode()])
    for name, data in common_members(moment.connection, prover.seal):
        bundle.add(name, [data])
    bodies = [prover.body(seq) for seq in seqs]
    bundle.add("events.jsonl", (body + b"\n" for body in bodies))
    for seq, body in zip(seqs, bodies, strict=True):
        bundle.add(f"proofs/{seq}{PROOF_SUFFIX}", [prover.proof(seq, body).text.encode()])
    stated, problems = [], []
    classes = step_classes(moment.connection, run_id) if logs else {}
    for seq, log in _logs(seqs, bodies):
        state = "not included"
        if logs and is_withheld(classes.get(log["step"])):
            state = "withheld"
            problems.append(f"the log {log['path']} holds what a step says of {classes[log['step']]} data")
        elif logs:
            state = log_state(moment.path.parent, log)
            if state == "intact":
                bundle.add(str(log["path"]), log_blocks(moment.path.parent / str(log["path"])))
            else:
                problems.append(f"the log {log['path']} is {state}")
        stated.append({"seq": seq, **log, "file": state})
    bundle.add("logs.json", [readable_json(stated)])
    if blobs:
        for digest, data in _blobs(moment, bodies):
            bundle.add(f"blobs/{digest.removeprefix('sha256:')}", [data])
    return problems


def _logs(seqs: Sequence[int], bodies: Sequence[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for seq, body in zip(seqs, bodies, strict=True):
        data = json.loads(body)["data"]
        if isinstance(data.get("log"), dict):
            yield seq, {"step": data["step"], "attempt": data["attempt"], **data["log"]}


def _blobs(moment: Moment, bodies: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each blob that *bodies* name, or that one of those names, by digest."""
    for digest, data in sorted(blobs_below(moment.connection, bodies).items()):
        if blob_digest(data) != digest:
            raise DamagedLedgerError(str(moment.path), [f"the blob {digest} is not what its name says"])
        yield digest, data
