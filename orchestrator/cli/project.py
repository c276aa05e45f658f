"""
From options to what a run would be about: the definition, the selection, the night, the environment, the places.

`validate`, `plan`, `run` and `accept` begin alike; here is their common beginning, and nothing of it changes anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import attrs

from orchestrator.cli.errors import UsageRefusedError, mask_bugs_with
from orchestrator.cli.locate import definition_path, ledger_path, relative_to_ledger
from orchestrator.core.definition import Pipeline
from orchestrator.core.graph import Graph, build_graph
from orchestrator.core.interpolation import references
from orchestrator.core.names import shown
from orchestrator.core.nights import parse_date
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.core.selection import Selection, select
from orchestrator.runtime.assembly import Surroundings, dataset_places
from orchestrator.runtime.channels import check_channels
from orchestrator.runtime.definition_file import place_problems, read_definition
from orchestrator.runtime.digests import DatasetPlace
from orchestrator.runtime.environment import Environment, probe_environment, resolve_environment, surroundings
from orchestrator.runtime.leaks import check_leaks, redactor_of
from orchestrator.runtime.place import check_place
from orchestrator.runtime.preflight import check_freshness, check_room, check_sources
from orchestrator.runtime.sharing import check_group


@attrs.frozen
class Options:
    """What the options of a command say, as they were typed."""

    pipeline: str | None = None
    ledger: str | None = None
    selection: Selection = attrs.field(factory=Selection)
    settings: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    night: str | None = None


@attrs.frozen
class Project:
    """
    Hold a checked definition and where it stands.

    Attributes:
        definition: Absolute.
        definition_path: As the ledger knows it.
        shown: As the user named it.
        content: The definition as it was read.
    """

    definition: Path
    shown: str
    ledger: Path
    pipeline: Pipeline
    graph: Graph
    warnings: tuple[Problem, ...] = ()
    content: bytes = attrs.field(default=b"", repr=False)

    @property
    def folder(self) -> Path:
        """The folder that paths of the definition are relative to."""
        return self.definition.parent

    @property
    def definition_path(self) -> str:
        """The definition's path relative to the ledger's folder."""
        return relative_to_ledger(self.definition, self.ledger)


@attrs.frozen
class Prepared:
    """
    Hold what a run of *project* would be about.

    Attributes:
        problems: Of environment and sources, warnings included; an error refuses the run.
    """

    project: Project
    night: str
    selected: frozenset[str]
    environment: Environment
    around: Surroundings
    places: Mapping[str, DatasetPlace]
    problems: tuple[Problem, ...]

    @cached_property
    def redactor(self) -> Redactor:
        """What masks in everything that a run shows and records; made once, when it is asked for."""
        return redactor_of(self.project.pipeline, self.environment)

    @property
    def errors(self) -> list[Problem]:
        """The problems that refuse a run."""
        return [problem for problem in self.problems if problem.severity == "error"]


def load_project(options: Options) -> Project:
    """
    Read the definition that *options* name.

    Raises:
        DefinitionError: With every problem of it.
    """
    path = definition_path(options.pipeline)
    parsed = read_definition(path)
    return Project(
        definition=Path(os.path.abspath(path)),
        shown=str(path),
        ledger=ledger_path(options.ledger, path),
        pipeline=parsed.pipeline,
        graph=build_graph(parsed.pipeline),
        warnings=parsed.warnings,
        content=parsed.content,
    )


def prepare(project: Project, options: Options, environ: Mapping[str, str]) -> Prepared:
    """
    Look at everything that a run needs before its start; nothing is changed.

    Raises:
        UsageRefusedError: The night is no date.
        UnknownStepError, EmptySelectionError: The selection cannot be.
    """
    pipeline = project.pipeline
    night = night_of(options.night, pipeline.timezone)
    selected = select(project.graph, pipeline.steps, options.selection)
    environment = resolve_environment(
        pipeline,
        project.folder,
        selected=selected,
        env_files=[Path(name) for name in options.env_files],
        settings=options.settings,
        environ=environ,
    )
    # Made when it is needed: that costs something, and a bug is rare.
    mask_bugs_with(lambda text: redactor_of(pipeline, environment).redact(text))
    problems = [*_future(night, pipeline.timezone), *environment.problems, *check_leaks(pipeline, environment)]
    around = surroundings(pipeline, environment, project.folder, night)
    resolvable = _resolvable(pipeline, around)
    places = dataset_places(resolvable, around)
    problems += check_sources(resolvable, places, selected=selected)
    now_us = round(datetime.now(UTC).timestamp() * 1e6)
    problems += check_freshness(resolvable, places, selected=selected, now_us=now_us)
    if not any(problem.severity == "error" for problem in problems):
        problems += _check_probes(resolvable, places, environment, project.folder, selected, environ)
    problems += check_room(pipeline, project.ledger)
    problems += check_channels(pipeline, environment)
    problems += check_place(project.ledger)
    problems += check_group(pipeline)
    placed = place_problems(project.definition, problems, shown=project.shown)
    located = _redacted(placed, pipeline, environment)
    return Prepared(project, night, selected, environment, around, places, tuple(located))


def _check_probes(
    pipeline: Pipeline,
    places: Mapping[str, DatasetPlace],
    environment: Environment,
    folder: Path,
    selected: frozenset[str],
    environ: Mapping[str, str],
) -> list[Problem]:
    """Ask the sources that have a probe; nothing is loaded where there is none."""
    if not any(pipeline.datasets[name].probe for name in pipeline.sources()):
        return []
    from orchestrator.runtime.clock import SystemClock
    from orchestrator.runtime.executor import ProcessExecutor
    from orchestrator.runtime.probing import Probes, check_probes
    from orchestrator.runtime.signals import SignalInbox, prepare_process

    prepare_process()
    stream = redactor_of(pipeline, environment).stream
    reaching = probe_environment(pipeline, environment, environ)
    with SignalInbox() as inbox:

        def look_up() -> None:
            number = inbox.take()
            if number is not None:
                raise SystemExit(128 + number)  # No run has begun; what was asked is ended on the way out.

        executor = ProcessExecutor(clock=SystemClock(), new_stream=stream, wakeup_fd=inbox.fd)
        probes = Probes(executor, places=places, folder=folder, environment=reaching, new_stream=stream)
        try:
            found = check_probes(pipeline, places, probes, selected=selected, look_up=look_up)
        finally:
            executor.close()
        look_up()
        return found


def night_of(option: str | None, zone: str) -> str:
    """
    Return the night that is meant: *option*, else today's date in *zone*.

    Raises:
        UsageRefusedError: It is no ISO date.
    """
    if option is None:
        return datetime.now(ZoneInfo(zone)).date().isoformat()
    if parse_date(option) is None:
        raise UsageRefusedError("bad_night", f"--for takes a date such as 2026-01-31, not {shown(option)}")
    return option


def _future(night: str, zone: str) -> list[Problem]:
    """Return a warning where *night* has not come yet: a typo would be the newest night of the history."""
    today = night_of(None, zone)
    if night <= today:
        return []
    return [
        Problem("future_night", f"the night {night} has not come yet: today is {today} in {zone}", severity="warning")
    ]


def _resolvable(pipeline: Pipeline, around: Surroundings) -> Pipeline:
    """Return *pipeline* with only those datasets whose paths can be resolved: every name that stands in them has a value."""
    kept = {
        name: item
        for name, item in pipeline.datasets.items()
        if {name for text in (item.path or "", item.pattern, *item.probe) for name in references(text)}
        <= around.values.keys()
    }
    return pipeline if len(kept) == len(pipeline.datasets) else attrs.evolve(pipeline, datasets=kept)


def _redacted(problems: Sequence[Problem], pipeline: Pipeline, environment: Environment) -> list[Problem]:
    """Return *problems*, which are shown and recorded, without the values of secrets: one may stand where a plain value belongs."""
    if not problems:
        return []
    redact = redactor_of(pipeline, environment).redact
    return [problem.masked(redact) for problem in problems]
