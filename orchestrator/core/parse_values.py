"""From a document of the right shape to the values of `core.definition`; what only shows here (a duration of zero) becomes a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from orchestrator.core.definition import (
    DEFAULT_ANCHOR_TIMEOUT_US,
    DEFAULT_CHANNEL_TIMEOUT_US,
    DEFAULT_GRACE_US,
    DEFAULT_LOG_LIMIT_BYTES,
    DEFAULT_PASS,
    DEFAULT_PING_TIMEOUT_US,
    DEFAULT_PROBE_TIMEOUT_US,
    DEFAULT_TELEMETRY_WAIT_US,
    AlertRule,
    Alerts,
    Audit,
    Channel,
    Dataset,
    Deadman,
    Freshness,
    Parameter,
    Pipeline,
    Redaction,
    Retention,
    RetryPolicy,
    Step,
    Telemetry,
    Variable,
)
from orchestrator.core.durations import InvalidDurationError, parse_duration
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.interpolation import references
from orchestrator.core.problems import Problem
from orchestrator.core.sizes import parse_size

Path = tuple[str | int, ...]
Table = Mapping[str, Any]
Value = TypeVar("Value")

_NO_TABLE: Table = {}
_SCALAR_TEXT = {True: "true", False: "false"}


def build_pipeline(document: Table) -> tuple[Pipeline, list[Problem]]:
    """Return the pipeline that *document* describes and what is wrong with single values of it; parts that lack are filled in."""
    builder = _Builder()
    pipeline = builder.pipeline(document)
    return pipeline, builder.problems


def scalar_text(value: object) -> str:
    """Return a default or a choice, whatever its TOML type, as the text that a variable holds."""
    return _SCALAR_TEXT[value] if isinstance(value, bool) else str(value)


class _Builder:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def pipeline(self, document: Table) -> Pipeline:
        head, env = document.get("pipeline", _NO_TABLE), document.get("env", _NO_TABLE)
        schedule, access = document.get("schedule", _NO_TABLE), document.get("access", _NO_TABLE)
        datasets = {name: self._dataset(name, table) for name, table in document.get("datasets", _NO_TABLE).items()}
        files = env.get("files")
        return Pipeline(
            name=head.get("name", "pipeline"),
            steps={name: self._step(name, table, datasets) for name, table in document.get("steps", _NO_TABLE).items()},
            datasets=datasets,
            variables={name: _variable(name, table) for name, table in env.get("vars", _NO_TABLE).items()},
            params={name: _parameter(name, table) for name, table in document.get("params", _NO_TABLE).items()},
            pools=document.get("pools", _NO_TABLE),
            env_files=None if files is None else tuple(files),
            env_pass=tuple(env.get("pass", DEFAULT_PASS)),
            max_parallel=head.get("max_parallel"),
            deadline_us=self._duration(head, ("pipeline", "deadline")),
            min_free_bytes=self._min_free(head),
            fail_fast=head.get("fail_fast", False),
            schedule_cron=schedule.get("cron"),
            timezone=schedule.get("timezone", "UTC"),
            access_group=access.get("group"),
            audit=self._audit(document.get("audit", _NO_TABLE)),
            retention=self._retention(document.get("retention", _NO_TABLE)),
            redact=_redaction(document.get("redact", _NO_TABLE)),
            alerts=self._alerts(document.get("alerts", _NO_TABLE)),
            deadman=self._deadman(document.get("deadman", _NO_TABLE)),
            telemetry=self._telemetry(document.get("telemetry", _NO_TABLE)),
            formerly=tuple(head.get("formerly", ())),
        )

    def _audit(self, table: Table) -> Audit:
        timeout = self._duration(table, ("audit", "anchor_timeout"))
        return Audit(
            require_reason=table.get("require_reason", False),
            anchors=tuple(table.get("anchors", ())),
            anchor_command=tuple(table.get("anchor_command", ())),
            anchor_timeout_us=DEFAULT_ANCHOR_TIMEOUT_US if timeout is None else timeout,
        )

    def _retention(self, table: Table) -> Retention:
        usable = {name: text for name, text in table.items() if self._duration(table, ("retention", name)) is not None}
        return Retention(**usable)

    def _alerts(self, table: Table) -> Alerts:
        channels = {name: self._channel(name, entry) for name, entry in table.get("channels", _NO_TABLE).items()}
        return Alerts(channels, tuple(_rule(entry) for entry in table.get("rules", ())))

    def _channel(self, name: str, table: Table) -> Channel:
        timeout = self._duration(table, ("alerts", "channels", name, "timeout"))
        return Channel(
            name=name,
            command=tuple(table.get("command", ())),
            webhook=table.get("webhook"),
            headers=table.get("headers", _NO_TABLE),
            apprise=tuple(table.get("apprise", ())),
            env=tuple(table.get("env", ())),
            timeout_us=DEFAULT_CHANNEL_TIMEOUT_US if timeout is None else timeout,
        )

    def _deadman(self, table: Table) -> Deadman:
        timeout = self._duration(table, ("deadman", "timeout"))
        return Deadman(
            start=table.get("start"),
            success=table.get("success"),
            failure=table.get("failure"),
            timeout_us=DEFAULT_PING_TIMEOUT_US if timeout is None else timeout,
        )

    def _telemetry(self, table: Table) -> Telemetry:
        wait = self._duration(table, ("telemetry", "wait"))
        return Telemetry(
            file=table.get("file"),
            wait_us=DEFAULT_TELEMETRY_WAIT_US if wait is None else wait,
            step_output=table.get("step_output", False),
        )

    def _dataset(self, name: str, table: Table) -> Dataset:
        where: Path = ("datasets", name)
        fresh = table.get("fresh_within")
        probe = tuple(table.get("probe", ()))
        return Dataset(
            name=name,
            path=table.get("path"),
            pattern=table.get("pattern", "**/*"),
            min_files=table.get("min_files", 0),
            min_rows=table.get("min_rows", 0),
            allow_empty=table.get("allow_empty", False),
            layer=table.get("layer"),
            owner=table.get("owner"),
            classification=table.get("classification"),
            retention_us=self._duration(table, (*where, "retention")),
            digest=table.get("digest", "probe" if probe else "content"),
            probe=probe,
            probe_timeout_us=self._duration(table, (*where, "probe_timeout")) or DEFAULT_PROBE_TIMEOUT_US,
            env=tuple(table.get("env", ())),
            fresh_within=None if fresh is None else self._freshness(fresh, (*where, "fresh_within")),
            formerly=tuple(table.get("formerly", ())),
        )

    def _freshness(self, table: Table, where: Path) -> Freshness:
        return Freshness(
            warn_us=self._duration(table, (*where, "warn")),
            error_us=self._duration(table, (*where, "error")),
            refuse=table.get("refuse", False),
        )

    def _step(self, name: str, table: Table, datasets: Mapping[str, Dataset]) -> Step:
        if len(table) == 1 and "command" in table:
            return Step(name, tuple(table["command"]), per_night=_mentions_night(table, datasets))
        where: Path = ("steps", name)
        retry = table.get("retry")
        grace = self._duration(table, (*where, "grace"), zero_allowed=True)
        limit = self._value(parse_size, table, (*where, "log_limit"))
        return Step(
            name=name,
            command=tuple(table.get("command", ())),
            shell=table.get("shell"),
            code=tuple(table.get("code", ())),
            reads=tuple(table.get("reads", ())),
            writes=tuple(table.get("writes", ())),
            needs=tuple(table.get("needs", ())),
            env=tuple(table.get("env", ())),
            cwd=table.get("cwd"),
            timeout_us=self._duration(table, (*where, "timeout")),
            grace_us=DEFAULT_GRACE_US if grace is None else grace,
            log_limit_bytes=DEFAULT_LOG_LIMIT_BYTES if limit is None else limit,
            retry=RetryPolicy() if retry is None else self._retry(retry, (*where, "retry")),
            exit_codes={int(code): meaning for code, meaning in table.get("exit_codes", _NO_TABLE).items()},
            uses=table.get("uses", _NO_TABLE),
            rerun=table.get("rerun", "safe"),
            when=table.get("when", "upstream_ok"),
            per_night=table.get("per_night", _mentions_night(table, datasets)),
            declassifies=table.get("declassifies"),
            formerly=tuple(table.get("formerly", ())),
        )

    def _retry(self, table: Table, where: Path) -> RetryPolicy:
        default = RetryPolicy()
        return RetryPolicy(
            attempts=table.get("attempts", default.attempts),
            delay_us=self._duration(table, (*where, "delay"), zero_allowed=True) or 0,
            factor=table.get("factor", default.factor),
            max_delay_us=self._duration(table, (*where, "max_delay")),
            jitter=table.get("jitter", default.jitter),
            on=tuple(table.get("on", default.on)),
        )

    def _duration(self, table: Table, path: Path, *, zero_allowed: bool = False) -> int | None:
        return self._value(lambda text: parse_duration(text, zero_allowed=zero_allowed), table, path)

    def _min_free(self, head: Table) -> int | None:
        value = head.get("min_free", "")
        return int(value) if isinstance(value, int | float) else self._value(parse_size, head, ("pipeline", "min_free"))

    def _value(self, parse: Callable[[str], Value], table: Table, path: Path) -> Value | None:
        text = table.get(str(path[-1]))
        if text is None:
            return None
        try:
            return parse(text)
        except OrchestratorError as error:
            kind = "bad_duration" if isinstance(error, InvalidDurationError) else "bad_size"
            self.problems.append(Problem(kind, f"{'.'.join(map(str, path))}: {error}", path))
            return None


def _redaction(table: Table) -> Redaction:
    return Redaction(patterns=tuple(table.get("patterns", ())), builtin=table.get("builtin", True))


def _rule(table: Table) -> AlertRule:
    default = AlertRule()
    return AlertRule(
        on=tuple(table.get("on", default.on)),
        to=tuple(table.get("to", ())),
        nights=table.get("nights", default.nights),
        at=table.get("at", default.at),
    )


def _variable(name: str, table: Table) -> Variable:
    return Variable(
        name=name,
        required=table.get("required", False),
        secret=table.get("secret", False),
        default=table.get("default"),
        pattern=table.get("pattern"),
        rekey=table.get("rekey", False),
    )


def _parameter(name: str, table: Table) -> Parameter:
    default = table.get("default")
    return Parameter(
        name=name,
        type=table.get("type", "string"),
        default=None if default is None else scalar_text(default),
        choices=tuple(scalar_text(choice) for choice in table.get("choices", ())),
    )


def _mentions_night(table: Table, datasets: Mapping[str, Dataset]) -> bool:
    """Whether `${NIGHT}` stands in what the step runs, where it runs, or where its datasets lie."""
    texts = [*table.get("command", ()), table.get("cwd", ""), *table.get("code", ())]
    for name in (*table.get("reads", ()), *table.get("writes", ())):
        dataset = datasets.get(name)
        if dataset is not None:
            texts += [dataset.path or "", dataset.pattern, *dataset.probe]
    return any("NIGHT" in references(text) for text in texts)
