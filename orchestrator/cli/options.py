"""Options that several commands share, each written once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]


def _runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator.cli.completing import complete_runs

    return complete_runs(context, parameter, incomplete)


def _steps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator.cli.completing import complete_steps

    return complete_steps(context, parameter, incomplete)


def _defined_steps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator.cli.completing import complete_defined_steps

    return complete_defined_steps(context, parameter, incomplete)


pipeline_option = click.option(
    "--pipeline",
    "pipeline",
    metavar="FILE",
    type=click.Path(),
    help="The definition; ./pipeline.toml where it is not given.",
)
ledger_option = click.option(
    "--ledger",
    "ledger",
    metavar="FILE",
    type=click.Path(),
    help="The ledger; .orchestrate/ledger.db beside the definition, or $ORCHESTRATE_LEDGER.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON value on one line.")
as_of_option = click.option(
    "--as-of",
    "as_of",
    metavar="MOMENT",
    help="As it stood after an event, seq:N, or at a time, time:2026-01-31T06:00Z.",
)
local_option = click.option("--local", "local", is_flag=True, help="Show times in the local zone instead of UTC.")


only_option = click.option(
    "--only",
    multiple=True,
    metavar="STEP",
    shell_complete=_defined_steps,
    help="This step alone; may be given several times.",
)


def selection_options(function: Function) -> Function:
    """Add the options that choose steps: `--only`, `--from`, `--until`, `--omit`, `--force`."""
    for option in (
        click.option("--force", is_flag=True, help="Run what is selected even if nothing is new."),
        click.option(
            "--omit", multiple=True, metavar="STEP", shell_complete=_defined_steps, help="Leave this step out."
        ),
        click.option(
            "--until",
            multiple=True,
            metavar="STEP",
            shell_complete=_defined_steps,
            help="This step and everything above it.",
        ),
        click.option(
            "--from",
            "from_",
            multiple=True,
            metavar="STEP",
            shell_complete=_defined_steps,
            help="This step and everything below it.",
        ),
        only_option,
    ):
        function = option(function)
    return function


def environment_options(function: Function) -> Function:
    """Add the options that set variables and the night: `--set`, `--env-file`, `--for`."""
    night = click.option(
        "--for", "night", metavar="DATE", help="The night, such as 2026-01-31; today where it is not given."
    )
    return setting_options(night(function))


def setting_options(function: Function) -> Function:
    """Add the options that set variables: `--set`, `--env-file`."""
    for option in (
        click.option(
            "--env-file",
            "env_files",
            multiple=True,
            metavar="FILE",
            type=click.Path(),
            help="Read this .env file as well.",
        ),
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a variable or a parameter."),
    ):
        function = option(function)
    return function


def run_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add every option that says what a run is about; *function* gets them together as its first argument, an `Options`."""

    @functools.wraps(function)
    def called(**given: Any) -> int:  # noqa: ANN401 - whatever the options hold
        # Reading commands load this module too, and need none of that.
        from orchestrator.cli.project import Options
        from orchestrator.core.selection import Selection

        names = ("only", "from_", "until", "omit", "force")
        selection = Selection(**{name: given.pop(name) for name in names})
        where = {name: given.pop(name) for name in ("pipeline", "ledger", "settings", "env_files", "night")}
        return function(Options(selection=selection, **where), **given)

    for add in (environment_options, selection_options, ledger_option, pipeline_option):
        called = add(called)
    return called


run_argument = click.argument("run", metavar="RUN", shell_complete=_runs)
before_argument = click.argument("before", metavar="RUN", shell_complete=_runs)
after_argument = click.argument("after", metavar="RUN", shell_complete=_runs)


def two_run_arguments(function: Function) -> Function:
    """Add the arguments that name two runs: `before` and `after`."""
    return before_argument(after_argument(function))


run_and_step_argument = click.argument("run", metavar="RUN[/STEP]", shell_complete=_runs)
step_argument = click.argument("step", metavar="STEP", shell_complete=_steps)
some_step_argument = click.argument("step", required=False, metavar="[STEP]", shell_complete=_steps)
some_run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=_runs)
