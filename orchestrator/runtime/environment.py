"""
What every variable and parameter stands for in one run, where each value comes from, and what reaches which step.

The order for a variable: `--set`, `--env-file`, the parent's environment (only where `pass` names it), the listed files, the default. A value of a secret is
never part of a message and never stands where it would be recorded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from orchestrator.core.definition import Dataset, Parameter, Pipeline, Step, Variable
from orchestrator.core.interpolation import UnresolvedReferenceError, references, resolve
from orchestrator.core.names import shown, suggest
from orchestrator.core.parameters import check_parameter_value
from orchestrator.core.printable import as_utf8
from orchestrator.core.problems import Problem
from orchestrator.core.variable_checks import compiled
from orchestrator.runtime.assembly import Surroundings
from orchestrator.runtime.dotenv import EnvFile, read_env_file
from orchestrator.runtime.env_access import access_problems

DEFAULT_FILE = ".env"
_SOME_NIGHT = "2026-01-31"


@attrs.frozen
class Resolved:
    """Hold a value with where it comes from."""

    value: str = attrs.field(repr=False)
    origin: str


@attrs.frozen
class Environment:
    """
    Hold what was resolved for one run.

    Attributes:
        variables: Declared variables that have a value.
        params: Parameters that have a value.
        problems: Everything that refuses the run, and warnings.
        overruled: Other values of secrets, from places that do not count in this run: they are secret all the same.
    """

    variables: Mapping[str, Resolved]
    params: Mapping[str, Resolved]
    problems: tuple[Problem, ...] = ()
    overruled: Mapping[str, str] = attrs.field(factory=dict, repr=False)


def resolve_environment(
    pipeline: Pipeline,
    folder: Path,
    *,
    selected: Iterable[str],
    env_files: Sequence[Path] = (),
    settings: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Environment:
    """
    Resolve every variable and parameter of *pipeline*; nothing is raised, all problems are in the result.

    Args:
        folder: Of the definition.
        selected: The steps whose variables are looked at; what only others need may be missing.
        env_files: Of `--env-file`, over the definition's files.
        settings: Of `--set`, as `NAME=VALUE`.
        environ: The parent's environment.
    """
    chosen_steps = frozenset(selected)
    listed_files = _listed_files(pipeline, folder)
    files = [read_env_file(folder / name, shown=name) for name in listed_files]
    given = [read_env_file(path, shown=str(path)) for path in env_files]
    chosen, problems = _settings(pipeline, settings)
    for file in (*files, *given):
        problems += [*file.problems, *_undeclared(pipeline, file)]
    for place, file in zip([*(folder / name for name in listed_files), *env_files], [*files, *given], strict=True):
        problems += access_problems(place, shown=file.shown, secret=_holds_secret(pipeline, file))
    passed = {name: Resolved(environ[name], "environment") for name in pipeline.env_pass if name in environ}
    layers = [chosen, _merged(given), passed, _merged(files)]
    variables = {
        name: value
        for name, variable in pipeline.variables.items()
        if (value := _first(name, layers) or _default(variable)) is not None
    }
    params = {
        name: value
        for name, parameter in pipeline.params.items()
        if (value := chosen.get(name) or _default(parameter)) is not None
    }
    listed = DEFAULT_FILE if pipeline.env_files is None else ", ".join(pipeline.env_files) or "--env-file"
    needed, referred = _needed(pipeline, chosen_steps)
    for name in sorted(needed):
        problems += _check_variable(pipeline.variables[name], variables.get(name), listed, referred=name in referred)
    for name in sorted(referred & pipeline.params.keys() - params.keys()):
        hint = f"give it with --set {name}=…"
        problems.append(
            Problem("missing_parameter", f"parameter {name} has no value", ("params", name), suggestion=hint)
        )
    plain = {name: item for name, item in variables.items() if not pipeline.variables[name].secret} | params
    problems += [
        Problem("not_utf8", f"the value of {name} ({as_utf8(item.origin)}) is not UTF-8, so that it cannot be recorded")
        for name, item in plain.items()
        if as_utf8(item.value) != item.value
    ]
    found = Environment(variables, params, overruled=_overruled(pipeline, variables, [*files, *given], environ))
    values = surroundings(pipeline, found, folder, _SOME_NIGHT).values
    return attrs.evolve(found, problems=(*problems, *_check_patterns(pipeline, chosen_steps, values)))


def surroundings(pipeline: Pipeline, environment: Environment, folder: Path, night: str) -> Surroundings:
    """Return what `${NAME}` stands for in this run, and where the pipeline stands."""
    secrets = frozenset(name for name, variable in pipeline.variables.items() if variable.secret)
    plain = {name: item.value for name, item in environment.variables.items() if name not in secrets}
    values = {**plain, **{name: item.value for name, item in environment.params.items()}, "NIGHT": night}
    given = {**environment.variables, **environment.params}
    return Surroundings(folder, values, secrets, {name: item.value for name, item in given.items()})


def child_environment(
    pipeline: Pipeline, environment: Environment, environ: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return for each step the variables that reach it: those that it declares, and of the parent's those that are passed on."""
    return _reaching(pipeline.steps, pipeline, environment, environ)


def probe_environment(
    pipeline: Pipeline, environment: Environment, environ: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return for each dataset with a probe the variables that reach it, as for steps."""
    asked = {name: dataset for name, dataset in pipeline.datasets.items() if dataset.probe}
    return _reaching(asked, pipeline, environment, environ)


def _reaching(
    declaring: Mapping[str, Step] | Mapping[str, Dataset],
    pipeline: Pipeline,
    environment: Environment,
    environ: Mapping[str, str],
) -> dict[str, dict[str, str]]:
    passed = {name: environ[name] for name in pipeline.env_pass if name in environ and name not in pipeline.variables}
    known = {**environment.variables, **environment.params}
    return {
        item.name: passed | {name: known[name].value for name in item.env if name in known} if item.env else passed
        for item in declaring.values()
    }


def secrets_of(pipeline: Pipeline, environment: Environment) -> dict[str, str]:
    """Return the value of each secret that has one, for the redactor."""
    return {name: item.value for name, item in environment.variables.items() if pipeline.variables[name].secret}


def recorded_variables(
    pipeline: Pipeline, environment: Environment, keyed: Mapping[str, str] | None = None
) -> dict[str, object]:
    """
    Return each variable and parameter with its origin, and with its value unless it is secret: what `run.started` holds.

    Args:
        keyed: What stands for the values of secrets that take part in the keys of steps.
    """
    found: dict[str, object] = {}
    for name, item in (*environment.variables.items(), *environment.params.items()):
        secret = name in pipeline.variables and pipeline.variables[name].secret
        found[name] = {"origin": item.origin} if secret else {"origin": item.origin, "value": item.value}
    for name, digest in (keyed or {}).items():
        found[name] = {"origin": environment.variables[name].origin, "keyed": digest}
    return found


def _listed_files(pipeline: Pipeline, folder: Path) -> Sequence[str]:
    if pipeline.env_files is not None:
        return pipeline.env_files
    return [DEFAULT_FILE] if (folder / DEFAULT_FILE).exists() else []


def _overruled(
    pipeline: Pipeline, variables: Mapping[str, Resolved], files: Sequence[EnvFile], environ: Mapping[str, str]
) -> dict[str, str]:
    sources = [environ, *(file.values for file in files)]
    return {
        f"{name}#{number}": source[name]
        for number, source in enumerate(sources)
        for name, variable in pipeline.variables.items()
        if variable.secret and name in source and (name not in variables or source[name] != variables[name].value)
    }


def _settings(pipeline: Pipeline, settings: Sequence[str]) -> tuple[dict[str, Resolved], list[Problem]]:
    chosen: dict[str, Resolved] = {}
    problems: list[Problem] = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        wrong = _wrong_setting(pipeline, name, value) if equals else None
        if not equals:
            # What was typed may be a secret without its name.
            wrong = Problem("bad_setting", "--set takes NAME=VALUE, and an '=' is missing")
        elif wrong is None:
            chosen[name] = Resolved(value, "--set")
        if wrong is not None:
            problems.append(wrong)
    return chosen, problems


def _wrong_setting(pipeline: Pipeline, name: str, value: str) -> Problem | None:
    if name in pipeline.params:
        wrong = check_parameter_value(pipeline.params[name], value)
        return None if wrong is None else Problem("bad_setting", f"--set {name} is {wrong}")
    variable = pipeline.variables.get(name)
    if variable is None:
        near = suggest(name, [*pipeline.params, *pipeline.variables])
        hint = f"did you mean {near}?" if near else "declare it in [env.vars] or [params]"
        return Problem("unknown_setting", f"--set names {shown(name)}, which is not declared", suggestion=hint)
    if variable.secret:
        message = f"--set names {name}, which is secret: everybody on this machine can read a command line"
        return Problem("secret_setting", message, suggestion="put it into a file for --env-file")
    return None


def _undeclared(pipeline: Pipeline, file: EnvFile) -> list[Problem]:
    """Return a warning for each name in *file* that means nothing; none where a line is malformed: the next may be the rest of a secret."""
    if any(problem.kind == "env_malformed" for problem in file.problems):
        return []
    found = []
    for name, line in file.lines.items():
        if name not in pipeline.variables:
            near = suggest(name, pipeline.variables)
            hint = f"did you mean {near}?" if near else "declare it in [env.vars], or remove it"
            message = f"{name} is not declared and reaches no step"
            found.append(
                Problem("env_unused", message, file=file.shown, line=line, suggestion=hint, severity="warning")
            )  # fmt: skip
    return found


def _holds_secret(pipeline: Pipeline, file: EnvFile) -> bool:
    return any(
        pipeline.variables[name].secret for name, value in file.values.items() if value and name in pipeline.variables
    )


def file_problems(pipeline: Pipeline, folder: Path) -> list[Problem]:
    """Return what is wrong with owner and mode of the files that *pipeline*, which lies in *folder*, takes variables from."""
    found: list[Problem] = []
    for name in _listed_files(pipeline, folder):
        file = read_env_file(folder / name, shown=name)
        found += access_problems(folder / name, shown=name, secret=_holds_secret(pipeline, file))
    return found


def _merged(files: Sequence[EnvFile]) -> dict[str, Resolved]:
    """Return the values of all *files*; a later file overrules an earlier one."""
    return {name: Resolved(value, file.shown) for file in files for name, value in file.values.items()}


def _first(name: str, layers: Sequence[Mapping[str, Resolved]]) -> Resolved | None:
    return next((layer[name] for layer in layers if name in layer), None)


def _default(item: Variable | Parameter) -> Resolved | None:
    return None if item.default is None else Resolved(item.default, "default")


def _needed(pipeline: Pipeline, selected: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the variables that the *selected* steps need, and all names that their texts refer to or that they are given."""
    needed: set[str] = set()
    texts: list[str] = []
    for name in selected:
        step = pipeline.steps[name]
        needed.update(step.env)
        texts += [*step.command, *step.code, step.cwd or ""]
        for dataset in (pipeline.datasets[name] for name in (*step.reads, *step.writes)):
            texts += [dataset.path or "", dataset.pattern, *dataset.probe]
            needed.update(dataset.env)
    referred = {reference for text in texts for reference in references(text)} | needed & pipeline.params.keys()
    return (needed | referred) & pipeline.variables.keys(), referred


def _check_patterns(pipeline: Pipeline, selected: Collection[str], values: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what the *selected* steps have for patterns and what is none with *values* in it."""
    steps = [step for name, step in pipeline.steps.items() if name in selected]
    used = {dataset for step in steps for dataset in (*step.reads, *step.writes)}
    texts: list[tuple[tuple[str | int, ...], str]] = [
        (("datasets", name, "pattern"), dataset.pattern) for name, dataset in pipeline.datasets.items() if name in used
    ]
    texts += [(("steps", step.name, "code", place), text) for step in steps for place, text in enumerate(step.code)]
    for path, text in texts:
        try:
            pattern = resolve(text, values)
        except UnresolvedReferenceError:
            continue  # What is missing has been told.
        try:
            next(iter(Path(os.devnull).glob(pattern)), None)
        except (ValueError, NotImplementedError):
            message = f"{path[0]}.{path[1]}.{path[2]} is no pattern of files: {shown(pattern)}"
            yield Problem(
                "bad_pattern", message, path, suggestion="a relative path in which ** stands alone, such as **/*.csv"
            )


def _check_variable(variable: Variable, resolved: Resolved | None, files: str, *, referred: bool) -> list[Problem]:
    path = ("env", "vars", variable.name)
    hint = f"add {variable.name}=… to {files}"
    if resolved is None or (variable.required and not resolved.value):
        if not (variable.required or referred):
            return []
        what = "has no value" if resolved is None else f"is empty ({resolved.origin})"
        kind = "required variable" if variable.required else "variable"
        return [Problem("missing_variable", f"{kind} {variable.name} {what}", path, suggestion=hint)]
    if variable.pattern is None:
        return []
    pattern = compiled(variable.pattern)
    if pattern is None or pattern.fullmatch(resolved.value):
        return []
    value = "its value" if variable.secret else shown(resolved.value)
    message = f"variable {variable.name}: {value} ({resolved.origin}) does not match {shown(variable.pattern)}"
    return [Problem("bad_variable", message, path)]
