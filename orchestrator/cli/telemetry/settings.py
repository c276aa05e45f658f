"""
What the standard `OTEL_*` variables say, as the specification of OpenTelemetry reads them; a pure function of the environment.

Two things are ours. Without `OTEL_…_EXPORTER` a signal goes out by OTLP where an endpoint is set and nowhere else: a program that nobody has
configured connects to nothing. And a value that cannot be used is told with the name of its variable, never with the value, which may hold a credential.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from orchestrator.cli.telemetry.variables import Variables
from orchestrator.core.tracing import PROPAGATORS

Signal: TypeAlias = Literal["traces", "metrics", "logs", "step_output"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
"""Those that have variables; what steps print goes where logs go."""

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_TIMEOUT_MS = 10_000
DEFAULT_SAMPLER = "parentbased_always_on"
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)

_SECONDS_PERHAPS_MS = 100
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@attrs.frozen
class Endpoint:
    """
    Say how one signal is posted.

    Attributes:
        url: Where to, the whole of it; without a user and a password, which stand in *headers*.
        timeout_ms: For one request, in milliseconds, as the specification has it.
        certificate: A file with what vouches for the server, or None for what the system trusts.
        client_key: A file with the key of *client_certificate*.
    """

    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    compression: Literal["none", "gzip"] = "none"
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None


@attrs.frozen
class Limits:
    """State how much a span, or a record of a log, carries at most; None for no limit. What is cut off is counted in it."""

    attributes: int | None = 128
    value_length: int | None = None
    events: int | None = 128
    links: int | None = 128
    attributes_of_event: int | None = 128
    attributes_of_link: int | None = 128
    attributes_of_record: int | None = 128
    value_length_of_record: int | None = None


@attrs.frozen
class Batching:
    """State how items are gathered: *delay_ms* after the first, or when there are *size*; no more than *most* wait, enough for a large graph that is skipped at once."""

    delay_ms: int = 5_000
    size: int = 512
    most: int = 10_000


_OF_LOGS = Batching(delay_ms=1_000)
_OF_LINES = Batching(delay_ms=1_000, most=2_048)
"""Lines may be long, and are not sent again: a bound of memory is worth more than a few lines more."""


@attrs.frozen
class Settings:
    """
    Hold what the environment and the definition say about telemetry.

    Attributes:
        endpoints: Of each signal that is sent by OTLP.
        file: Where OTLP JSON lines of all signals are appended, or None.
        files: The signals that are written there.
        resource: Of `OTEL_RESOURCE_ATTRIBUTES`, with the name of the service.
        log_batching: How records are gathered, as *line_batching* for lines of steps; *batching* counts for the other signals.
        temporality: What the values of metrics are said to count from; see `metric_encoding`.
        problems: What could not be used, in words for people.
    """

    endpoints: Mapping[Signal, Endpoint] = attrs.field(factory=dict)
    file: str | None = None
    files: tuple[Signal, ...] = ()
    resource: Mapping[str, str] = attrs.field(factory=dict)
    sampler: str = DEFAULT_SAMPLER
    sampler_ratio: float = 1.0
    limits: Limits = Limits()
    batching: Batching = Batching()
    log_batching: Batching = _OF_LOGS
    line_batching: Batching = _OF_LINES
    temporality: Literal["cumulative", "delta"] = "cumulative"
    problems: tuple[str, ...] = ()

    def batching_of(self, signal: Signal) -> Batching:
        """Return how items of *signal* are gathered."""
        return {"logs": self.log_batching, "step_output": self.line_batching}.get(signal, self.batching)

    def masked(self, redact: Callable[[str], str]) -> Settings:
        """Return the same without secrets in the resource, which the environment may hold in clear."""
        return attrs.evolve(self, resource={redact(name): redact(value) for name, value in self.resource.items()})

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The signals that go anywhere."""
        return tuple(signal for signal in SIGNALS if signal in self.endpoints or signal in self.files)


def is_asked_for(environ: Mapping[str, str], file: str | None = None) -> bool:
    """Return whether anything asks for telemetry at all; costs next to nothing."""
    return file is not None or any(name.startswith("OTEL_") and value.strip() for name, value in environ.items())


def telemetry_settings(environ: Mapping[str, str], file: str | None = None) -> Settings:
    """
    Return what *environ* says.

    Args:
        file: That the definition asks for; it is independent of the exporters, but not of `OTEL_SDK_DISABLED`.
    """
    variables = Variables(environ)
    if variables.flag("OTEL_SDK_DISABLED"):
        return Settings()
    endpoints = {signal: found for signal in SIGNALS if (found := _endpoint(variables, signal)) is not None}
    _check_propagators(variables)
    sampler = variables.choice("OTEL_TRACES_SAMPLER", SAMPLERS) or DEFAULT_SAMPLER
    files: tuple[Signal, ...] = () if file is None else SIGNALS
    if sampler == "always_off":
        endpoints.pop("traces", None)
        files = tuple(signal for signal in files if signal != "traces")
    return Settings(
        endpoints=endpoints,
        file=file,
        files=files,
        resource=_resource(variables),
        sampler=sampler,
        sampler_ratio=_ratio(variables) if sampler.endswith("traceidratio") else 1.0,
        limits=_limits(variables),
        batching=_batching(variables, "BSP", Batching()),
        log_batching=_batching(variables, "BLRP", _OF_LOGS),
        line_batching=_batching(variables, "BLRP", _OF_LINES),
        temporality=_temporality(variables),
        problems=tuple(variables.problems),
    )


def _endpoint(variables: Variables, signal: Signal) -> Endpoint | None:
    """Return how *signal* is posted, or None where it is not."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_"

    def names(what: str) -> tuple[str, str]:
        return f"{own}{what}", f"OTEL_EXPORTER_OTLP_{what}"

    if not _is_exported(variables, signal, *names("ENDPOINT")):
        return None
    protocol = (variables.text(*names("PROTOCOL")) or "http/protobuf").lower()
    if protocol != "http/protobuf":
        what = "asks for a protocol that is not there, so that nothing is sent by it: set http/protobuf"
        variables.wrong(variables.name(*names("PROTOCOL")), what)
        return None
    place = _address(variables, signal, *names("ENDPOINT"))
    if place is None:
        return None
    url, headers = place
    timeout = variables.number(*names("TIMEOUT"), least=1, default=DEFAULT_TIMEOUT_MS)
    assert timeout is not None
    if timeout < _SECONDS_PERHAPS_MS:
        what = f"is {timeout} milliseconds, not seconds: hardly a collector answers in that time"
        variables.wrong(variables.name(*names("TIMEOUT")), what)
    return Endpoint(
        url=url,
        headers={**headers, **_headers(variables, *names("HEADERS"))},
        timeout_ms=timeout,
        compression=_compression(variables, *names("COMPRESSION")),
        certificate=variables.text(*names("CERTIFICATE")),
        client_key=variables.text(*names("CLIENT_KEY")),
        client_certificate=variables.text(*names("CLIENT_CERTIFICATE")),
    )


def _is_exported(variables: Variables, signal: Signal, *endpoints: str) -> bool:
    """Return whether *signal* goes out by OTLP: as `OTEL_…_EXPORTER` says, else where there is an endpoint."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    value = variables.text(name)
    if value is None:
        return variables.text(*endpoints) is not None
    chosen = {word.strip().lower() for word in value.split(",") if word.strip()}
    for word in sorted(chosen - {"otlp", "none"}):
        hint = "a file is asked for by [telemetry] file" if word in ("console", "otlp_json_file", "otlp/stdout") else ""
        known = "an exporter that is not there: otlp and none are"
        variables.wrong(name, f"names {known}; {hint}" if hint else f"names {known}")
    return "otlp" in chosen


def _address(variables: Variables, signal: Signal, own: str, common: str) -> tuple[str, dict[str, str]] | None:
    """Return the whole address, and the header that its user and password make; None where it cannot be used."""
    given = variables.text(own)
    base = variables.text(common) or DEFAULT_ENDPOINT
    text = given or f"{base.removesuffix('/')}/v1/{signal}"
    # With a path behind it, `http://` alone would name a host `v1`.
    parts = _parts(text) if given or _parts(base) is not None else None
    if parts is None:
        variables.wrong(
            variables.name(own, common), "is no address that begins with http:// or https://; nothing is sent"
        )
        return None
    headers = {}
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["authorization"] = f"Basic {base64.b64encode(known.encode()).decode()}"
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, path=parts.path or "/", fragment="").geturl(), headers


def _parts(address: str) -> SplitResult | None:
    """Return the parts of *address*, or None where it is none that can be posted to."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and address.isascii() and address.isprintable() and " " not in address else None


def _headers(variables: Variables, own: str, common: str) -> dict[str, str]:
    """Return the headers of `name=value,name=value`, whose values are percent-encoded."""
    headers = {}
    for number, entry in enumerate((variables.text(own, common) or "").split(","), start=1):
        name, equals, value = entry.partition("=")
        name, value = unquote(name.strip()).lower(), unquote(value.strip())
        if not entry.strip():
            continue
        if not equals or not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            variables.wrong(
                variables.name(own, common), f"has an entry {number} that is no name=value, which is left out"
            )
            continue
        headers[name] = value
    return headers


def _compression(variables: Variables, own: str, common: str) -> Literal["none", "gzip"]:
    chosen = variables.choice(variables.name(own, common), ("none", "gzip"))
    return "gzip" if chosen == "gzip" else "none"


def _resource(variables: Variables) -> dict[str, str]:
    """Return the attributes of the resource; one entry that cannot be read leaves all of them out, as the specification says."""
    attributes: dict[str, str] = {}
    for entry in (variables.text("OTEL_RESOURCE_ATTRIBUTES") or "").split(","):
        name, equals, value = entry.partition("=")
        if not entry.strip():
            continue
        if not equals or not name.strip():
            variables.wrong("OTEL_RESOURCE_ATTRIBUTES", "has an entry that is no name=value, and is ignored as a whole")
            attributes = {}
            break
        attributes[unquote(name.strip())] = unquote(value.strip())
    service = variables.text("OTEL_SERVICE_NAME") or attributes.get("service.name") or "orchestrate"
    return {**attributes, "service.name": service}


def _ratio(variables: Variables) -> float:
    value = variables.text("OTEL_TRACES_SAMPLER_ARG")
    if value is None:
        return 1.0
    if re.fullmatch(r"(0|1)(\.[0-9]{1,18})?|\.[0-9]{1,18}", value) and float(value) <= 1:
        return float(value)
    variables.wrong("OTEL_TRACES_SAMPLER_ARG", "is no number from 0 to 1, and is ignored")
    return 1.0


def _limits(variables: Variables) -> Limits:
    def count(*names: str) -> int | None:
        return variables.number(*names, default=128)

    def length(own: str) -> int | None:
        return variables.number(own, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", default=None)

    return Limits(
        attributes=count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
        value_length=length("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        events=count("OTEL_SPAN_EVENT_COUNT_LIMIT"),
        links=count("OTEL_SPAN_LINK_COUNT_LIMIT"),
        attributes_of_event=count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
        attributes_of_link=count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
        attributes_of_record=count("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
        value_length_of_record=length("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    )


def _check_propagators(variables: Variables) -> None:
    """Tell what `OTEL_PROPAGATORS` names in vain; who takes context and hands it on reads the variable himself, also where nothing is sent."""
    words = {word.strip().lower() for word in (variables.text("OTEL_PROPAGATORS") or "").split(",")}
    if words - {"", "none", *PROPAGATORS}:
        known = " and ".join((*PROPAGATORS, "none"))
        variables.wrong("OTEL_PROPAGATORS", f"names what is not there and is left out: {known} are")


def _batching(variables: Variables, processor: str, default: Batching) -> Batching:
    delay = variables.number(f"OTEL_{processor}_SCHEDULE_DELAY", default=default.delay_ms)
    size = variables.number(f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE", least=1, default=default.size)
    most = variables.number(f"OTEL_{processor}_MAX_QUEUE_SIZE", least=1, default=default.most)
    assert delay is not None
    assert size is not None
    assert most is not None
    return Batching(delay, min(size, most), most)


def _temporality(variables: Variables) -> Literal["cumulative", "delta"]:
    known = ("cumulative", "delta", "lowmemory")
    chosen = variables.choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", known)
    # Of counters and histograms, the third means the same as the second.
    return "delta" if chosen in ("delta", "lowmemory") else "cumulative"
