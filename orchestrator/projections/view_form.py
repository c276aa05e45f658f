"""What a view consists of: its name, what it is for, its columns with type and meaning, and the SELECT behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

RUN = {
    "run_id": ("text", "The run."),
    "pipeline": ("text", "Name of the pipeline."),
    "night": ("text", "The night that the run is for, an ISO date."),
}
"""Columns that say which run a row is about."""

WHO = {
    "user": ("text", "Who did it: the effective user, as claimed by the host."),
    "login_user": ("text", "Who had logged in, as claimed by the host; empty where it is not known."),
    "sudo_user": ("text", "Who had called sudo, as claimed by the host; empty without sudo."),
    "host": ("text", "Name of the machine, as claimed by itself."),
    "terminal": ("text", "The terminal; empty without one, as under cron."),
    "unit": ("text", "The systemd unit or session; empty outside of one."),
}
"""Columns that say who did it; `who` selects them."""

SEQ = ("integer", "Place of the event in the ledger: what `orchestrate audit prove --seq` takes.")
RECORDED_AT = ("text", "When the event was recorded: UTC, ISO 8601 with microseconds.")


class View(NamedTuple):
    """
    A view that programs may rely on.

    Attributes:
        description: What a row is, and what the view is for.
        columns: Name to type and meaning, in order.
        select: The statement behind it, whose columns stand in the order of *columns*.
        sort: Of its columns, for whoever lists it.
        place: The column that says which event a row begins with, or None where a row is of the whole history.
    """

    name: str
    description: str
    columns: Mapping[str, tuple[str, str]]
    select: str
    sort: str
    place: str | None = "seq"

    @property
    def sql(self) -> str:
        """The statement that makes it."""
        return f"CREATE VIEW {self.name} ({', '.join(self.columns)}) AS\n{self.select.strip()}"


def who(actor: str) -> str:
    """Return the SQL of the columns `WHO`, from a column that holds the actor as JSON."""
    return ", ".join(
        f"json_extract({actor}, '$.{key}')" for key in ("user", "login", "sudo", "host", "terminal", "unit")
    )
