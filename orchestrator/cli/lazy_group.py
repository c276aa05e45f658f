"""A group of commands that loads a command when it is called, and none for its help."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from orchestrator import __version__


class LazyGroup(click.Group):
    """
    Find the command `some-name` as `command` in the module `some_name` of *package*.

    Args:
        descriptions: Each command with its short description, in the order of the help.
    """

    def __init__(
        self,
        name: str,
        *,
        descriptions: Mapping[str, str],
        help: str,  # noqa: A002 - click's name
        epilog: str = "",
        package: str = "orchestrator.cli.commands",
    ) -> None:
        super().__init__(name=name, help=help, epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})
        self.descriptions = descriptions
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the help."""
        return list(self.descriptions)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load the command *cmd_name*, or return None."""
        if cmd_name not in self.descriptions:
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that *args* begin with; a near miss is named."""
        if args and not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.descriptions:
            import difflib

            near = difflib.get_close_matches(args[0], self.descriptions, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" `{ctx.command_path} --help` lists them."
            ctx.fail(f"No such command {args[0][:60]!a}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.descriptions.items()))


def version_option() -> click.Option:
    """Return the option that shows the version and ends."""
    return click.Option(
        ["-V", "--version"], is_flag=True, expose_value=False, is_eager=True, help="Show the version.", callback=_version
    )  # fmt: skip


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
    if value:
        click.echo(f"orchestrate {__version__}")
        ctx.exit()
