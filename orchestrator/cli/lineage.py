"""Run events of OpenLineage out of a ledger: of a run as documents, and sent to where `OPENLINEAGE_*` says."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ledger.errors import MissingExtraError
from ledger.events import event_of_body
from ledger.schema import ledger_identity
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.lineage_posting import NO_PLACE
from orchestrator.cli.reading import View
from orchestrator.projections.openlineage import NAMESPACE, lineage_events
from orchestrator.projections.queries import load_blob

Document = Mapping[str, Any]

NAMESPACE_VARIABLE = "OPENLINEAGE_NAMESPACE"
_EXTRA = "openlineage"


class Sent(NamedTuple):
    """Hold how many documents were taken, in order, and what kept the next one from it, or None."""

    delivered: int
    error: str | None


def openlineage_documents(view: View, run_id: str, environ: Mapping[str, str]) -> Iterator[Document]:
    """Yield the run events of the run *run_id*, which *view* holds; jobs and datasets are in the namespace that *environ* names."""
    connection = view.connection
    namespace = environ.get(NAMESPACE_VARIABLE) or NAMESPACE
    rows = connection.execute("SELECT body FROM events WHERE stream = 'run/' || ? ORDER BY version", (run_id,))
    yield from lineage_events(
        (event_of_body(body) for (body,) in rows),
        lambda digest: load_blob(connection, digest),
        ledger=ledger_identity(connection, str(view.path)),
        namespace=namespace,
    )


def send(documents: Iterable[Document], *, seconds: float) -> Sent:
    """
    Hand *documents*, in order, to the transport that the variables or the configuration of OpenLineage name, and stop at the first that is not taken.

    It is a process of its own that does it: so it ends after *seconds*, whatever the other side does.

    Raises:
        MissingExtraError: The package is not installed.
        UsageRefusedError: The variables name no place; nothing was sent.
    """
    if importlib.util.find_spec("openlineage") is None:
        raise MissingExtraError(_EXTRA, "sending lineage")
    lines = "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    command = [sys.executable, "-P", "-m", "orchestrator.cli.lineage_posting"]
    try:
        done = subprocess.run(
            command, input=lines.encode(), capture_output=True, timeout=seconds, check=False, env=os.environ
        )
    except subprocess.TimeoutExpired as expired:
        return Sent(_count(expired.stdout), f"it was not done after {seconds:g} s")
    if done.returncode == 0:
        return Sent(_count(done.stdout), None)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    problem = said[-1] if said else f"it ended with exit code {done.returncode}"
    if done.returncode == NO_PLACE:
        raise UsageRefusedError("no_endpoint", f"--send: {problem}")
    return Sent(_count(done.stdout), problem)


def _count(stdout: bytes | None) -> int:
    return (stdout or b"").count(b"\n")
