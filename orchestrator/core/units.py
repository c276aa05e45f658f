"""What starts a pipeline at night, as texts: a systemd service and timer, and a line for cron."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_READ_ONLY = ("/usr", "/boot", "/efi", "/etc")
"""What `ProtectSystem=full` makes read-only."""
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - what `PrivateTmp=yes` hides


class Start(NamedTuple):
    """
    How a pipeline is started, all paths absolute and on one line.

    Attributes:
        name: Of the pipeline.
        words: The command: the program and its arguments.
        variables: What the program needs of the surroundings: the `PATH` that it and its steps are found by, and what else is not as it would be by itself.
        places: The folders that it has to write to.
        stop_seconds: How long it may take to end after a stop.
    """

    name: str
    user: str
    folder: str
    words: Sequence[str]
    variables: Mapping[str, str]
    places: Sequence[str]
    stop_seconds: int


def unit_name(pipeline: str) -> str:
    """Return the name of the units of *pipeline*, without their endings."""
    return f"orchestrate-{pipeline}"


def service_unit(start: Start) -> str:
    """Return the service that runs one night: it takes from steps what none should need, and leaves the orchestrator time to end them in order."""
    hidden = [place for place in start.places if _below(place, _TEMPORARY)]
    written = [place for place in start.places if _below(place, _READ_ONLY)]
    lines = [
        "[Unit]",
        f"Description=orchestrate: one night of the pipeline {start.name}",
        "",
        "[Service]",
        "Type=oneshot",
        f"User={start.user}",
        f"WorkingDirectory={start.folder.replace('%', '%%')}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in start.variables.items()),
        f"ExecStart={' '.join([_quoted(start.words[0]), *(_quoted(word).replace('$', '$$') for word in start.words[1:])])}",
        "TimeoutStartSec=infinity",
        "# A stop reaches the orchestrator alone: it ends its steps within their grace, records the run, and goes last.",
        "KillMode=mixed",
        f"TimeoutStopSec={start.stop_seconds}",
        "# A step that runs out of memory has failed; the run goes on without it.",
        "OOMPolicy=continue",
        "# What no step needs. ProtectSystem=strict with ReadWritePaths= for all that steps write is tighter.",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        *(f"ReadWritePaths={_quoted(place)}" for place in written),
        f"PrivateTmp={'no' if hidden else 'yes'}",
        "ProtectControlGroups=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "",
    ]
    return "\n".join(lines)


def timer_unit(name: str, calendar: Sequence[str]) -> str:
    """Return the timer that starts the service of the pipeline *name* at the times of *calendar*."""
    lines = [
        "[Unit]",
        f"Description=orchestrate: when the pipeline {name} is due",
        "",
        "[Timer]",
        *(f"OnCalendar={value}" for value in calendar),
        "# Nothing catches up unasked: after a night without the machine, `orchestrate status` says what to type.",
        "Persistent=false",
        "",
        "[Install]",
        "WantedBy=timers.target",
        "",
    ]
    return "\n".join(lines)


def cron_lines(start: Start, cron: str, timezone: str) -> str:
    """Return the lines for the crontab of the user: a good night prints nothing, so that cron mails only a bad one."""
    command = shlex.join([*start.words, "--quiet"])
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in start.variables.items())
    text = f"cd {shlex.quote(start.folder)} && {given} {command}"
    lines = [
        f"# crontab of {start.user}: a good night is silent, a bad one is mailed to MAILTO.",
        f"# cronie reads CRON_TZ; Debian's cron goes by the zone of the machine, which then has to be {timezone}.",
        f"CRON_TZ={timezone}",
        f"{' '.join(cron.split())}  {_for_cron(text)}",
        "",
    ]
    return "\n".join(lines)


def _for_cron(command: str) -> str:
    r"""Return *command* as a crontab holds it: there `%` ends a command, and a backslash before one or before another is taken away."""
    return command.replace("\\", "\\\\").replace("%", "\\%")


def _quoted(word: str) -> str:
    """Return *word* as one word of a unit file: specifiers and quotes are literal."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _below(place: str, roots: Sequence[str]) -> bool:
    return any(place == root or place.startswith(f"{root}/") for root in roots)
