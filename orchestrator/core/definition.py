"""
The pipeline as values: what `pipeline.toml` means once it has been read and found right.

This module holds no parsing and no checks; `core.parse` builds these values and is the only place that may.
All durations are integer microseconds, all paths are text as written, with `${NAME}` not yet resolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from orchestrator.core.classification import Classification

Layer = str
When = Literal["upstream_ok", "always", "on_failure"]
Rerun = Literal["safe", "never"]
DigestStrength = Literal["content", "listing", "probe"]
ErrorClass = Literal["transient", "infrastructure", "misuse", "permanent"]
AlertKind = Literal["failed", "recovered", "refused", "deadline", "stale", "missing", "digest"]

DEFAULT_PASS = ("PATH", "HOME", "LANG")
DEFAULT_GRACE_US = 10_000_000
DEFAULT_LOG_LIMIT_BYTES = 1 << 30
DEFAULT_ANCHOR_TIMEOUT_US = 30_000_000
DEFAULT_CHANNEL_TIMEOUT_US = 10_000_000
CHANNEL_TIMEOUT_MAX_US = 30_000_000
DEFAULT_PING_TIMEOUT_US = 5_000_000
PING_TIMEOUT_MAX_US = 10_000_000
DEFAULT_TELEMETRY_WAIT_US = 1_000_000
TELEMETRY_WAIT_MAX_US = 30_000_000
DEFAULT_PROBE_TIMEOUT_US = 30_000_000


@attrs.frozen
class Variable:
    """
    Declare one variable of `[env.vars]`.

    Attributes:
        rekey: A secret's value takes part in a step's key (as a keyed digest) instead of its name alone.
    """

    name: str
    required: bool = False
    secret: bool = False
    default: str | None = None
    pattern: str | None = None
    rekey: bool = False


@attrs.frozen
class Parameter:
    """Declare one parameter of `[params]`, set with `--set NAME=VALUE`."""

    name: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    default: str | None = None
    choices: tuple[str, ...] = ()


@attrs.frozen
class Freshness:
    """State how old the newest file of a dataset may be."""

    warn_us: int | None = None
    error_us: int | None = None
    refuse: bool = False


@attrs.frozen
class Dataset:
    """
    Name a folder or file that steps read or write.

    Attributes:
        path: Relative to the folder of `pipeline.toml`, `${NAME}` allowed.
        pattern: Which files of a folder belong to it, a glob relative to *path*.
        min_files: Fewer files than this in a source refuse the run, in an output they fail the step.
        min_rows: Fewer rows than this in an output fail the step.
        allow_empty: An output may hold nothing.
        probe: The command whose output stands for the content, where the dataset is no file or too big to be read.
        env: Names of declared variables that reach the probe.
    """

    name: str
    path: str | None = None
    pattern: str = "**/*"
    min_files: int = 0
    min_rows: int = 0
    allow_empty: bool = False
    layer: Layer | None = None
    owner: str | None = None
    classification: Classification | None = None
    retention_us: int | None = None
    digest: DigestStrength = "content"
    probe: tuple[str, ...] = ()
    probe_timeout_us: int = DEFAULT_PROBE_TIMEOUT_US
    env: tuple[str, ...] = ()
    fresh_within: Freshness | None = None
    formerly: tuple[str, ...] = ()


@attrs.frozen
class RetryPolicy:
    """State how often and how soon a failed attempt is tried again."""

    attempts: int = 1
    delay_us: int = 0
    factor: float = 2.0
    max_delay_us: int | None = None
    jitter: float = 0.0
    on: tuple[ErrorClass, ...] = ("transient", "infrastructure")


@attrs.frozen
class Step:
    """
    Describe one subprocess of the graph.

    Attributes:
        command: The argv as written, or empty where *shell* is given.
        shell: A line for `/bin/sh -e -c`, or None.
        code: Globs of files that are part of the key, besides files named in *command*.
        reads: Names of datasets; an edge from the writer of each follows.
        needs: Names of steps, for an edge without data.
        env: Names of declared variables that reach the process.
        cwd: Relative to the folder of `pipeline.toml`.
        exit_codes: What an exit code means: `no_new_data` or an error class.
        uses: Shares of pools.
        declassifies: Why the step may write a lower class than it reads.
    """

    name: str
    command: tuple[str, ...] = ()
    shell: str | None = None
    code: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str | None = None
    timeout_us: int | None = None
    grace_us: int = DEFAULT_GRACE_US
    log_limit_bytes: int = DEFAULT_LOG_LIMIT_BYTES
    retry: RetryPolicy = RetryPolicy()
    exit_codes: Mapping[int, str] = attrs.field(factory=dict)
    uses: Mapping[str, int] = attrs.field(factory=dict)
    rerun: Rerun = "safe"
    when: When = "upstream_ok"
    per_night: bool = False
    declassifies: str | None = None
    formerly: tuple[str, ...] = ()


@attrs.frozen
class Audit:
    """
    State what the pipeline owes to an auditor.

    Attributes:
        require_reason: A manual action without `--reason` is refused.
        anchors: Folders elsewhere into which each run's checkpoint is written, as they stand in the file.
        anchor_command: A command that gets each run's checkpoint on its standard input, or empty.
    """

    require_reason: bool = False
    anchors: tuple[str, ...] = ()
    anchor_command: tuple[str, ...] = ()
    anchor_timeout_us: int = DEFAULT_ANCHOR_TIMEOUT_US


@attrs.frozen
class Retention:
    """
    State for how long what runs leave behind is kept, each as the file says it, or None for ever; `prune` removes it, a run never does.

    Attributes:
        blobs: Of certificates, lists of files and material of keys that nothing younger needs.
    """

    logs: str | None = None
    reports: str | None = None
    blobs: str | None = None


@attrs.frozen
class Redaction:
    """
    State what is masked besides the values of secret variables, of what steps print and in free text.

    Attributes:
        patterns: Regular expressions, as `core.pattern_text` reads them.
        builtin: The shapes of well-known tokens, and passwords in addresses, are masked too.
    """

    patterns: tuple[str, ...] = ()
    builtin: bool = True


@attrs.frozen
class Channel:
    """
    Say how people are told: by one of *command*, *webhook* and *apprise*.

    Attributes:
        command: The argv as written; the message is its standard input.
        webhook: The address that the message is posted to as JSON; `${NAME}` allowed, also of secret variables.
        headers: What the request carries besides; `${NAME}` allowed, also of secret variables.
        apprise: Addresses of the package apprise; `${NAME}` allowed, also of secret variables.
        env: Names of declared variables that reach the command.
        timeout_us: What takes longer is ended and counts as not delivered.
    """

    name: str
    command: tuple[str, ...] = ()
    webhook: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    apprise: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_us: int = DEFAULT_CHANNEL_TIMEOUT_US


@attrs.frozen
class AlertRule:
    """
    Say what is told to whom.

    Attributes:
        to: Names of channels; empty for all of them.
        nights: How many nights have to be missing.
        at: From when on the daily digest goes out, `HH:MM` in the schedule's zone.
    """

    on: tuple[AlertKind, ...] = ("failed", "recovered", "refused", "deadline", "stale", "missing")
    to: tuple[str, ...] = ()
    nights: int = 1
    at: str = "00:00"


@attrs.frozen
class Alerts:
    """
    State who is told of what.

    Attributes:
        rules: As they stand in the file; see `effective`.
    """

    channels: Mapping[str, Channel] = attrs.field(factory=dict)
    rules: tuple[AlertRule, ...] = ()

    @property
    def effective(self) -> tuple[AlertRule, ...]:
        """The rules, or where there are channels alone, the one that tells all of them everything but the digest."""
        return self.rules or ((AlertRule(),) if self.channels else ())


@attrs.frozen
class Deadman:
    """State which addresses are asked for at the start and the end of a run, for whoever watches from outside; `${NAME}` allowed, also of secrets."""

    start: str | None = None
    success: str | None = None
    failure: str | None = None
    timeout_us: int = DEFAULT_PING_TIMEOUT_US


@attrs.frozen
class Telemetry:
    """
    State where telemetry goes besides what the environment says, and what of it.

    Attributes:
        file: OTLP JSON lines of each run are appended to it; as it stands in the file, relative to the folder of that.
        wait_us: So long the end of a run waits, at most, for what is on its way.
        step_output: The lines of steps' logs are sent too, but for those of steps that touch personal data.
    """

    file: str | None = None
    wait_us: int = DEFAULT_TELEMETRY_WAIT_US
    step_output: bool = False


@attrs.frozen
class Pipeline:
    """
    Hold a whole definition that has been found right.

    Attributes:
        steps: In the order of the file.
        min_free_bytes: What has to be free on the ledger's file system before a run, or None for what the runs so far say.
        env_files: The listed `.env` files, or None where the default (`.env` if it exists) applies.
        document: The parsed TOML as plain values; its canonical form is the definition's digest.
        digest: `sha256:` and the hex digest of the canonical form of *document*.
    """

    name: str
    steps: Mapping[str, Step]
    datasets: Mapping[str, Dataset] = attrs.field(factory=dict)
    variables: Mapping[str, Variable] = attrs.field(factory=dict)
    params: Mapping[str, Parameter] = attrs.field(factory=dict)
    pools: Mapping[str, int] = attrs.field(factory=dict)
    env_files: tuple[str, ...] | None = None
    env_pass: tuple[str, ...] = DEFAULT_PASS
    max_parallel: int | None = None
    deadline_us: int | None = None
    min_free_bytes: int | None = None
    fail_fast: bool = False
    schedule_cron: str | None = None
    timezone: str = "UTC"
    access_group: str | None = None
    audit: Audit = Audit()
    retention: Retention = Retention()
    redact: Redaction = Redaction()
    alerts: Alerts = Alerts()
    deadman: Deadman = Deadman()
    telemetry: Telemetry = Telemetry()
    formerly: tuple[str, ...] = ()
    document: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    digest: str = ""

    def writers(self) -> dict[str, str]:
        """Map each dataset that a step writes to that step; one pass over the steps."""
        return {dataset: step.name for step in self.steps.values() for dataset in step.writes}

    def sources(self) -> tuple[str, ...]:
        """Name the datasets that nobody writes, in the order of the file."""
        written = self.writers()
        return tuple(name for name in self.datasets if name not in written)
