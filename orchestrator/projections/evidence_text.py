"""What lies beside evidence for people: what it is, how it is checked, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_CHECK = """\
How to check it
---------------
    python3 verify.py --key KEY .            in this folder, or on the zip file
    orchestrate audit check-proof --key KEY FILE

KEY is the public key of the ledger: one line that you were given by another way than this file, or a file that holds it. The keys in
keys.txt are what the ledger itself says; they count for nothing unless you know one of them. A former key does as well, since
each rotation is signed by the old and the new key (rotations/). With a witness's key, give it as a further --key.

verify.py needs Python 3.11 or newer, and the package `cryptography` or the program `openssl` 3. It was handed to you by whoever made the
rest: take it from an installation of your own (ledger/verifier.py of the package orchestrate), or read it, before you believe it.
The digest of the whole is that of manifest.json, in manifest.sha256.
"""

_LIMITS = """\
What it does not show
---------------------
- That what was recorded is true: a program that was told a lie has recorded the lie, each time in its place.
- That the clock of the machine was right. A cosignature says when a witness saw the checkpoint.
- What was recorded after the checkpoint.
- That everybody was shown the same history. Whoever holds the key can keep two; only a witness, or a checkpoint that you kept
  yourself, shows that (`orchestrate audit verify`).
"""


def run_readme(run_id: str, facts: Mapping[str, object], *, without: Sequence[str]) -> str:
    """Return the text of `README.txt` in the bundle of a run; *without* names what was left out on purpose."""
    left_out = "".join(f"- {line}\n" for line in without)
    return f"""\
Evidence of the run {run_id}
=================={"=" * len(run_id)}==

Every event of this run in the history of {facts["origin"]},
and every event of its pipeline that is about it (accepted outputs, notes, acknowledgements, anchors, starts that it kept away), each
with a proof that it stands at its place in the tree of {facts["size"]} events with the root
{facts["root"]}.

checkpoint       the root and its size, {facts["signed"]}
events.jsonl     the events, one a line, exactly as they were recorded: SHA-256(0x00 and a line) is the leaf of the tree
proofs/          one C2SP tlog-proof for each event
logs.json        the logs of the attempts, as the events state them{"; logs/ holds them" if facts["logs"] else ""}
blobs/           what the events name by digest: definition, graph, lists of files
rotations/       each change of the signing key, signed by both keys
manifest.json    length and SHA-256 of every file

{_CHECK}
{_LIMITS}\
- The stream of the run is complete up to its last event here; a later resumption is not.
{left_out}"""


def period_readme(first: str, last: str, facts: Mapping[str, object]) -> str:
    """Return the text of `README.txt` in the package of a period."""
    return f"""\
Evidence of the period from {first} to {last}
===================================================

Days are whole days of UTC by the time of recording, both included. cover.html (or cover.md) is the page to print and to sign.

checkpoint         the root over the first {facts["size"]} events of {facts["origin"]}, {facts["signed"]}
checkpoint.start   the checkpoint before the period, if there is one
range.json         what stands before the first event: the hashes from which the root is made with the events, and the consistency proof
                   between the two checkpoints (RFC 9162)
events.jsonl       every event between the two checkpoints, one a line, exactly as it was recorded: SHA-256(0x00 and a line) is
                   the leaf of the tree, so that nothing can be left out, put in or put elsewhere
tables/            what an auditor asks for, as CSV for spreadsheets and as JSON lines
sample.json        steps drawn by the seed, with the state of their logs; how they were drawn stands there
proofs/            one C2SP tlog-proof for each event of the sample
rotations/         each change of the signing key, signed by both keys
manifest.json      length and SHA-256 of every file, rows of each table

{_CHECK}
{_LIMITS}\
- What the tables say beyond which events have a row: they are made from the events by the program. An event of the kinds that
  are counted in full (runs, refusals, changes of definitions, moves, notes, acknowledgements) cannot be missing in them.
"""
