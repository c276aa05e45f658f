"""
The entry point: finds the command, loads it alone, and turns whatever comes back into an exit code.

A command is a click command in `cli/commands/`; its function returns an exit code or None. Short descriptions stand here, so
that `orchestrate --help` loads no command.
"""

from __future__ import annotations

import gc
import sys

from orchestrator import __version__
from orchestrator.cli import render
from orchestrator.cli.exit_codes import ExitCode

TYPE_CHECKING = False  # The module `typing` is half of the cost of `--version`; type checkers know the name.
if TYPE_CHECKING:
    from typing import NoReturn

    import click

COMMANDS: dict[str, str] = {
    "demo": "Run the flights pipeline over N real nights, from nothing.",
    "init": "Write a pipeline that runs, to edit.",
    "validate": "Check definition, environment and sources: every problem at once.",
    "plan": "Show what would run and what would be skipped, and why.",
    "run": "Run the pipeline for one night.",
    "backfill": "Run a range of nights in order, each as a run of its own.",
    "resume": "Go on with a run that did not end well.",
    "cancel": "End a run that is on, from another terminal.",
    "accept": "Declare the present outputs of a step to be current.",
    "note": "Write something down about a run or one of its steps.",
    "ack": "Acknowledge a run that did not end well.",
    "reproduce": "Run a run again in a scratch folder, and compare what comes of it.",
    "status": "Show each pipeline: its last run, and what needs attention.",
    "check": "Say whether what was due has run: for a second cron, and for monitoring.",
    "schedule": "Print what starts the pipeline at night: systemd units, a line for cron.",
    "runs": "List the runs, newest first.",
    "show": "Show one run: its steps, their attempts, their reasons.",
    "logs": "Print what the steps of a run have printed.",
    "explain": "Say why a step ran, was skipped or failed, with the evidence.",
    "diff": "Compare two runs: what went in, what was decided, what came of it.",
    "changes": "List the changes of the definition.",
    "alerts": "List the alerts and what became of them, send what waits, or try a channel.",
    "report": "Print or write the report of a run.",
    "graph": "Draw the graph of the pipeline or of a run.",
    "notebook": "Execute a notebook against the ledger: audit, reproducibility, run history.",
    "export": "Write a run in a form that other programs take.",
    "telemetry": "Send what runs had to say to a collector again.",
    "audit": "Verify the ledger, prove what it holds, and look into it.",
    "prune": "Remove logs, reports and blobs that are past their retention, and record it.",
    "doctor": "Say what of this machine and this ledger may bite.",
    "completion": "Print the script that completes commands in a shell.",
}
"""Every command with its short description, in the order of the help."""

_OBJECTS_BEFORE_COLLECTING = 10_000


def main() -> NoReturn:
    """Run the program with the arguments of the process, and exit."""
    # Importing makes tens of thousands of objects and no garbage: looking for some, now or at the end, is a fifth of `status`.
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
    code = run_command(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong has been shown."""
    as_json = "--json" in arguments
    try:
        code = _version() if arguments in (["--version"], ["-V"]) else _called(arguments, as_json=as_json)
        render.flush()
    except render.ReaderLeftError:
        return ExitCode.OK
    except render.OutputError as error:
        return _other_error(error, as_json=False)
    return code


def _version() -> int:
    render.out(f"orchestrate {__version__}")
    return ExitCode.OK


def _called(arguments: list[str], *, as_json: bool) -> int:
    import click

    try:
        code = _group().main(args=arguments, prog_name="orchestrate", standalone_mode=False)
        return int(code or 0)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _usage_error(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort) as error:
        # Click takes an end of a file, such as that of a compiled module that a full disk has cut, for Ctrl-C.
        if isinstance(error.__cause__, EOFError):
            return _other_error(error.__cause__, as_json=as_json)
        return ExitCode.INTERRUPTED
    except (render.ReaderLeftError, render.OutputError):
        raise
    except Exception as error:  # noqa: BLE001 - the last one that can turn it into a message
        return _other_error(error, as_json=as_json)


def _other_error(error: Exception, *, as_json: bool) -> int:
    from orchestrator.cli.errors import RefusedError, exit_code_of, show_bug, show_error

    code = error.code if isinstance(error, RefusedError) else exit_code_of(error)
    if code is None:
        show_bug(error, as_json=as_json)
        return ExitCode.BUG
    show_error(error, code, as_json=as_json)
    return code


def _usage_error(error: Exception, *, as_json: bool) -> int:
    import click

    from orchestrator.cli.errors import show_refusal

    assert isinstance(error, click.ClickException)
    if as_json:
        show_refusal(ExitCode.REFUSED, [{"kind": "usage", "message": error.format_message(), "severity": "error"}])
    error.show()
    return ExitCode.REFUSED


def _group() -> click.Group:
    from orchestrator.cli.lazy_group import LazyGroup, version_option

    group = LazyGroup(
        name="orchestrate",
        descriptions=COMMANDS,
        help="Run a nightly data pipeline on one machine, and keep its whole history.",
        epilog="Start with: orchestrate demo, or orchestrate init my-pipeline.",
    )
    group.params.append(version_option())
    return group
