"""`orchestrate validate`: everything that could refuse a run, without a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping

import click

from ledger.errors import MissingExtraError
from ledger.reader import LedgerReader
from orchestrator.cli import render
from orchestrator.cli.errors import RefusedError
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.holding import owner_problem
from orchestrator.cli.options import json_option, run_options
from orchestrator.cli.project import Options, Prepared, Project, load_project, prepare
from orchestrator.cli.reading import show_present
from orchestrator.core.interpolation import references, resolve
from orchestrator.core.problems import Problem
from orchestrator.core.variable_checks import alert_texts
from orchestrator.runtime.assembly import step_argv
from orchestrator.runtime.definition_file import place_problems
from orchestrator.runtime.environment import child_environment
from orchestrator.runtime.preflight import missing_files

EXAMPLES = """\b
Examples:
  orchestrate validate
  orchestrate validate --only gold --set REGION=nyc
  orchestrate validate --as-cron --env
  orchestrate validate --json
"""
CRON_PATH = "/usr/bin:/bin"


@click.command(epilog=EXAMPLES)
@run_options
@click.option("--as-cron", is_flag=True, help="Look for commands as cron would: PATH=/usr/bin:/bin.")
@click.option("--env", "show_env", is_flag=True, help="List the variables of this shell that no step receives.")
@json_option
def command(
    options: Options,
    *,
    as_cron: bool,
    show_env: bool,
    as_json: bool,
) -> int:
    """
    Check definition, environment and sources, and list every problem at once.

    Nothing is run and nothing is recorded. Exit codes: 0 nothing is in the way of a run, 2 something is.
    """
    environ = {**os.environ, "PATH": CRON_PATH} if as_cron else dict(os.environ)
    prepared = prepare(load_project(options), options, environ)
    project = prepared.project
    commands = _commands(prepared, environ)
    found = [*_unused(prepared), *_missing_commands(prepared, commands)]
    found += _unasked_schedule(project)
    found += missing_files(project.pipeline, prepared.around, prepared.selected)
    problems = [*project.warnings, *place_problems(project.definition, found, shown=project.shown), *prepared.problems]
    problems += _owned(project)
    errors = [problem for problem in problems if problem.severity == "error"]
    withheld = (
        sorted(set(environ) - set(project.pipeline.env_pass) - set(project.pipeline.variables)) if show_env else []
    )
    if as_json:
        code = ExitCode.REFUSED if errors else ExitCode.OK
        clean = _cleaner(prepared)
        render.out_json(
            {
                "pipeline": project.pipeline.name,
                "definition": project.pipeline.digest,
                "night": prepared.night,
                "status": "refused" if errors else "valid",
                "exit_code": int(code),
                "problems": [problem.as_json() for problem in problems],
                "variables": clean(_variables(prepared)),
                "datasets": clean({name: place.path for name, place in prepared.places.items()}),
                "commands": clean(commands),
                "withheld": withheld,
            }
        )
        return code
    warnings = [problem for problem in problems if problem.severity == "warning"]
    for problem in warnings:
        render.err(f"warning: {problem}")
    if errors:
        raise RefusedError(errors)
    render.out_lines(_shown(prepared, commands))
    render.out_lines(["", "withheld from every step: " + (", ".join(withheld) or "nothing")] if show_env else [])
    return ExitCode.OK


def _unasked_schedule(project: Project) -> list[Problem]:
    """Return the notice that nobody can tell which nights are due, where what knows cron's fields is not installed."""
    if project.pipeline.schedule_cron is None:
        return []
    from orchestrator.core.nights import check_cron

    try:
        check_cron(project.pipeline.schedule_cron)
    except MissingExtraError as error:
        return [Problem("missing_extra", str(error), ("schedule", "cron"), severity="warning")]
    return []


def _owned(project: Project) -> list[Problem]:
    """Return what is wrong where the ledger is there already and gives the pipeline's name to another definition."""
    if not project.ledger.is_file():
        return []
    with LedgerReader(project.ledger) as reader:
        show_present(reader.connection, project.ledger)
        problem = owner_problem(project, reader.connection)
    return [] if problem is None else [problem]


def _cleaner(prepared: Prepared) -> Callable[[object], object]:
    """Return what takes secrets out of values that are shown although they may be refused for holding one."""
    redact = prepared.redactor.redact

    def clean(value: object) -> object:
        if isinstance(value, Mapping):
            return {clean(key): clean(item) for key, item in value.items()}
        return redact(value) if isinstance(value, str) else value

    return clean


def _shown(prepared: Prepared, commands: dict[str, str | None]) -> Iterator[str]:
    project = prepared.project
    pipeline = project.pipeline
    sizes = f"{_plural(len(pipeline.steps), 'step')}, {_plural(len(pipeline.datasets), 'dataset')}"
    yield f"{project.shown} is valid: {pipeline.name}, {sizes}"
    rows = [
        (name, "(secret)" if "value" not in entry else str(entry["value"]), str(entry["origin"]))
        for name, entry in _variables(prepared).items()
    ]
    if rows:
        yield ""
        yield from render.table(rows, ("variable", "value", "from"))
    programs = {word: found for word, found in commands.items() if found}
    if programs:
        yield ""
        yield from render.table(list(programs.items()), ("command", "is"))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _variables(prepared: Prepared) -> dict[str, dict[str, object]]:
    from orchestrator.runtime.environment import recorded_variables

    recorded = recorded_variables(prepared.project.pipeline, prepared.environment)
    return {name: dict(entry) for name, entry in recorded.items() if isinstance(entry, dict)}


def _commands(prepared: Prepared, environ: dict[str, str]) -> dict[str, str | None]:
    """Return what the first word of each selected step's command is, as the step itself would find it; None where it finds nothing."""
    pipeline = prepared.project.pipeline
    if any(problem.kind.startswith("missing_") for problem in prepared.problems):
        return {}
    reached = child_environment(pipeline, prepared.environment, environ)
    found: dict[str, str | None] = {}
    for name, step in pipeline.steps.items():
        if name in prepared.selected:
            word = step_argv(step, prepared.around)[0]
            folder = prepared.project.folder / resolve(step.cwd or "", prepared.around.values)
            target = str(folder / word) if "/" in word else word
            found.setdefault(word, shutil.which(target, path=reached[name].get("PATH", os.defpath)))
    return found


def _missing_commands(prepared: Prepared, commands: dict[str, str | None]) -> Iterator[Problem]:
    pipeline = prepared.project.pipeline
    for name, step in pipeline.steps.items():
        word = step_argv(step, prepared.around)[0] if commands and name in prepared.selected else None
        if word is not None and commands.get(word, "") is None:
            message = f"steps.{name}: command {word} is not found; a run would fail there as not_started"
            yield Problem("missing_command", message, ("steps", name, "command"), severity="warning")


def _unused(prepared: Prepared) -> Iterator[Problem]:
    pipeline = prepared.project.pipeline
    texts = [word for step in pipeline.steps.values() for word in (*step.command, *step.code, step.cwd or "")]
    texts += [text for dataset in pipeline.datasets.values() for text in (dataset.path or "", dataset.pattern)]
    texts += [text for _, text, _ in alert_texts(pipeline)]
    used = {name for text in texts for name in references(text)}
    used.update(name for step in pipeline.steps.values() for name in step.env)
    used.update(name for channel in pipeline.alerts.channels.values() for name in channel.env)
    for name in pipeline.variables:
        if name not in used:
            message = f"variable {name} is declared, but no step takes it"
            yield Problem("unused_variable", message, ("env", "vars", name), severity="warning")
