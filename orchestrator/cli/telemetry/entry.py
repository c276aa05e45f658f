"""The way into telemetry: whether anything asks for it, and if so, what sends it. Where nothing does, nothing else of it is loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import MissingExtraError
from ledger.store import Ledger
from orchestrator.cli.ledger_files import is_of_ledger
from orchestrator.cli.project import Prepared
from orchestrator.cli.telemetry.settings import Settings, is_asked_for, telemetry_settings
from orchestrator.core.definition import Pipeline
from orchestrator.runtime.output import Listen, nobody
from orchestrator.runtime.ports import Observer

if TYPE_CHECKING:
    from orchestrator.cli.telemetry.of_run import RunTelemetry

Say = Callable[[str], None]


def settings_of(environ: Mapping[str, str], pipeline: Pipeline | None, folder: Path) -> Settings:
    """
    Return what *environ* and the definition say, with paths that hold wherever the process goes: it steps into other folders while a run is on.

    Args:
        folder: Of the definition, which its file is relative to.
    """
    given = None if pipeline is None else pipeline.telemetry.file
    if not is_asked_for(environ, given):
        return Settings()
    absolute = {
        name: os.path.abspath(value) if name.endswith(("_CERTIFICATE", "_CLIENT_KEY")) and value.strip() else value
        for name, value in environ.items()
        if name.startswith("OTEL_")
    }
    return telemetry_settings(absolute, None if given is None else os.path.abspath(folder / given))


class NoTelemetry:
    """What a run has where nothing is sent of it."""

    observers: Sequence[Observer] = ()
    listen: Listen = staticmethod(nobody)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def finish(self) -> None:
        """Do nothing."""

    def record(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def telemetry_of_run(
    ledger: Ledger, run_id: str, prepared: Prepared, environ: Mapping[str, str], *, say: Say, folder: Path | None = None
) -> Iterator[RunTelemetry | NoTelemetry]:
    """
    Give what observes the run *run_id* and sends what is made of it; what has not been sent when the block ends is not sent any more.

    The caller holds the lock of the pipeline; a run that is resumed is in *ledger* already.
    """
    settings = settings_of(environ, prepared.project.pipeline, folder or prepared.project.folder)
    settings = settings.masked(prepared.redactor.redact) if settings.resource else settings
    telemetry = _started(ledger, run_id, prepared.project.pipeline, settings, say)
    if telemetry is None:
        yield NoTelemetry(settings)
        return
    try:
        yield telemetry
    finally:
        telemetry.give_up()


def _started(ledger: Ledger, run_id: str, pipeline: Pipeline, settings: Settings, say: Say) -> RunTelemetry | None:
    for problem in settings.problems:
        say(f"warning: telemetry: {problem}")
    if not settings.signals:
        return None
    if settings.file is not None and is_of_ledger(ledger.path, Path(settings.file)):
        say(
            f"warning: telemetry: {settings.file} is a file of the ledger, or in a folder of it: nothing is sent of this run"
        )
        return None
    from orchestrator.cli.telemetry.encoding import require_extra
    from orchestrator.cli.telemetry.of_run import make_telemetry

    try:
        require_extra()
        return make_telemetry(ledger, run_id, pipeline, settings, say=say)
    except MissingExtraError as error:
        say(f"warning: {error}; nothing is sent of this run")
    except Exception as error:  # noqa: BLE001 - a run starts whatever is wrong with telemetry
        say(f"warning: telemetry: {type(error).__name__}: {error}")
    return None
