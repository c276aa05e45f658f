"""
Telling people of a start that did not become a run, or whose run could not be brought to its end: exit codes 2, 3, 4, 5 and 70.

It does not depend on what has failed. The rules are those of the definition, or where that is wrong, of the last one that ran; the alert goes through the outbox,
or where the ledger is not to be written, directly.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.alerting import Say, digests, harmless, ping, tell
from orchestrator.cli.direct_alerts import send_directly
from orchestrator.cli.errors import RefusedError, UsageRefusedError, exit_code_of, problems_of
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger
from orchestrator.cli.opening import is_of_another_user, open_to_write
from orchestrator.cli.project import Options
from orchestrator.cli.reach import Reach, read_reach, recorded_reach
from orchestrator.cli.reading import show_present
from orchestrator.cli.refusals import without_values
from orchestrator.core.alerts import Occasion, refusal_occasion
from orchestrator.core.errors import DefinitionError, OrchestratorError
from orchestrator.projections.alert_facts import last_begun, newest_refusal
from orchestrator.projections.find_run import RunLookupError
from orchestrator.projections.queries import pipeline_of_path

_TYPED = (
    click.ClickException,
    click.Abort,
    UsageRefusedError,
    RunLookupError,
    render.ReaderLeftError,
    render.OutputError,
)
"""What only a person at the keyboard does wrong, and sees."""


@contextlib.contextmanager
def refusals_told(options: Options, *, say: Say) -> Iterator[None]:
    """Tell people of whatever keeps the block from being a run; it is raised all the same."""
    try:
        yield
    except _TYPED:
        raise
    except Exception as error:
        if not isinstance(error, OrchestratorError) or isinstance(error, DefinitionError):
            with harmless(say):
                _tell(options, error, say)
        raise


def tell_of_error(reach: Reach, error: Exception, *, say: Say) -> None:
    """Tell people of an *error* that ended a run, or came after its end, without the outbox."""
    with harmless(say):
        found = _masked(problems_of(error), reach)
        send_directly(reach, [_occasion(reach, _code_of(error), found, None, None)], ledger=None, say=say)


def _tell(options: Options, error: Exception, say: Say) -> None:
    definition = Path(os.path.abspath(definition_path(options.pipeline)))
    ledger = ledger_path(options.ledger, definition)
    not_ours = is_of_another_user(ledger)
    if not_ours and not _is_own(definition):
        return
    # What another user's ledger has for commands is not for this one to run.
    reach = read_reach(definition, ledger) or (None if not_ours else _recorded(definition, ledger))
    if reach is None or not (reach.pipeline.alerts.channels or reach.pipeline.deadman.failure):
        return
    code = _code_of(error)
    told = problems_of(error)
    if isinstance(error, DefinitionError):
        # Which variables it would have made secret nobody knows.
        told = [problem.as_json() for problem in without_values(definition, error.problems)]
    problems = _masked(told, reach)
    # A run that is on will say itself how it ends.
    switched = reach if code != ExitCode.ACTIVE else None
    if code in (ExitCode.REFUSED, ExitCode.ACTIVE) and not not_ours and ledger.is_file():
        with contextlib.suppress(LedgerError, RefusedError, OSError), open_to_write(ledger) as store:
            name = reach.pipeline.name
            about = (
                newest_refusal(store.connection, name) if isinstance(error, RefusedError | DefinitionError) else None
            )
            occasion = _occasion(reach, code, problems, last_begun(store.connection, name), about)
            if switched is not None:
                ping(switched, "failure", run_id=None, ledger=store, say=say)
            tell(store, reach, [occasion, *digests(reach.pipeline)], say=say)
            return
    if switched is not None:
        ping(switched, "failure", run_id=None, ledger=None, say=say)
    send_directly(reach, [_occasion(reach, code, problems, None, None)], ledger=None, say=say)


def _is_own(definition: Path) -> bool:
    """Whether the commands of *definition* are this user's to run: it is his."""
    try:
        return definition.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _recorded(definition: Path, ledger: Path) -> Reach | None:
    """Return how people are reached by the definition that last ran from this place, as far as the ledger can be read."""
    if not ledger.is_file():
        return None
    with contextlib.suppress(LedgerError, OSError), LedgerReader(ledger) as reader:
        show_present(reader.connection, ledger)
        name = pipeline_of_path(reader.connection, relative_to_ledger(definition, ledger))
        return None if name is None else recorded_reach(reader.connection, ledger, name)
    return None


def _occasion(
    reach: Reach, code: int, problems: Sequence[Mapping[str, object]], since: int | None, about: int | None
) -> Occasion:
    day = datetime.now(UTC).date().isoformat()
    return refusal_occasion(reach.pipeline.name, code, problems, since=since, day=day, about=about)


def _code_of(error: Exception) -> int:
    code = error.code if isinstance(error, RefusedError) else exit_code_of(error)
    return int(ExitCode.BUG if code is None else code)


def _masked(problems: Sequence[Mapping[str, object]], reach: Reach) -> list[dict[str, object]]:
    """Return *problems* without the secrets of the pipeline: they are recorded with the alert."""
    redact = reach.redactor.redact
    return [
        {name: redact(value) if isinstance(value, str) else value for name, value in problem.items()}
        for problem in problems
    ]
