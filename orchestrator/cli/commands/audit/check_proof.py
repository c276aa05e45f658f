"""`orchestrate audit check-proof`: evidence that somebody handed over, checked with no ledger at hand."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.options import json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ledger.verifier import Checked

EXAMPLES = """\b
Examples:
  orchestrate audit check-proof event-7.tlog-proof --key ledger.vkey
  orchestrate audit check-proof night.zip --key ledger.vkey --witness jane.vkey
  orchestrate audit check-proof package/ --json
"""


@click.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Public key of the ledger, or a file with it.")
@click.option(
    "--witness", "witnesses", multiple=True, metavar="KEY", help="Public key of a witness who has to have cosigned."
)
@click.option("--body", metavar="FILE", type=click.Path(), help="The event of a proof; by default the .json beside it.")
@json_option
def command(
    files: tuple[str, ...], keys: tuple[str, ...], witnesses: tuple[str, ...], body: str | None, *, as_json: bool
) -> int:
    """
    Check proofs, checkpoints, bundles and packages; needs no ledger, no pipeline and no network.

    Prints what each of them shows, under whose key, and what it does not show. Without --key only this is shown: that the events belong to the root that came
    with them. The exit code is 3 where one of them is refused.
    """
    from ledger.errors import ProofError
    from ledger.verifier import COSIGNATURE, check_file
    from orchestrator.cli.keyring import given_key

    pinned = [given_key(text) for text in (*keys, *witnesses)]
    for key in pinned[len(keys) :]:
        if key.kind != COSIGNATURE:
            raise UsageRefusedError("usage", f"the key {key.name} is not the key of a witness: give it as --key")
    results: list[dict[str, object]] = []
    for name in files:
        try:
            found = check_file(Path(name), pinned, None if body is None else Path(body))
        except ProofError as error:
            results.append({"file": name, "ok": False, "problem": str(error)})
        except OSError as error:
            raise UsageRefusedError(
                "unreadable", f"{error.filename or name} cannot be read: {error.strerror}"
            ) from None
        else:
            results.append({"file": name, "ok": True, **_facts(found)})
    good = all(result["ok"] for result in results)
    if as_json:
        render.out_json({"ok": good, "files": results})
    else:
        for result in results:
            _print(result)
    return ExitCode.OK if good else ExitCode.UNVERIFIED


def _facts(found: Checked) -> dict[str, object]:
    shown, hidden = found.words
    signed = zip(found.signed.keys, found.signed.times, strict=True)
    return {
        **found.facts,
        "origin": found.checkpoint.origin,
        "size": found.checkpoint.size,
        "root": found.checkpoint.root.hex(),
        "signed_by": [{"key": key.text, "cosigned_at": time} for key, time in signed],
        "unchecked": list(found.signed.unknown),
        "shown": shown,
        "not_shown": hidden,
    }


def _print(result: dict[str, object]) -> None:
    from orchestrator.core.printable import printable as printable_line

    if not result["ok"]:
        render.out(printable_line(f"REFUSED {result['file']}: {result['problem']}"))
        return
    render.out(printable_line(f"OK {result['file']}"))
    for title, name in (("shown", "shown"), ("not shown", "not_shown")):
        render.out(f"{title}:")
        sentences = result[name]
        assert isinstance(sentences, list)
        render.out_lines(printable_line(f"  - {sentence}") for sentence in sentences)
