"""`orchestrate completion`: the script that completes commands, runs and steps in a shell."""

from __future__ import annotations

import click

from orchestrator.cli import render

EXAMPLES = """\b
Examples:
  orchestrate completion bash >> ~/.bashrc
  orchestrate completion fish > ~/.config/fish/completions/orchestrate.fish
"""


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script that completes commands, runs and steps in SHELL."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    render.out(found(context.find_root().command, {}, "orchestrate", "_ORCHESTRATE_COMPLETE").source())
    return 0
