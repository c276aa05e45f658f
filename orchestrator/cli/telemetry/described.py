"""What of OpenTelemetry's variables is read, and in which words it is told why something was not taken; `docs/reference/telemetry.md` is made from this."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "OTEL_SDK_DISABLED": "`true`: nothing goes anywhere, also into no file.",
    "OTEL_{SIGNAL}_EXPORTER": "`otlp` or `none`; without it a signal is sent where an endpoint is set. Others are told and left out.",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "Address of the collector; `/v1/traces` and so on is added. Default where `otlp` is asked for: `http://localhost:4318`.",
    "OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT": "Whole address for one signal. This and the following count before the common one of the same name.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_PROTOCOL": "`http/protobuf` is what there is; with another one nothing is sent, which is told.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_HEADERS": "`name=value,name=value`, values percent-encoded. They go to the collector and nowhere else.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_TIMEOUT": "For one request, in **milliseconds**. Default: 10000.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_COMPRESSION": "`none` or `gzip`.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_CERTIFICATE": "File with what vouches for the collector.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_CLIENT_CERTIFICATE": "File with a certificate of ours.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_CLIENT_KEY": "File with its key.",
    "OTEL_SERVICE_NAME": "`service.name`. Default: `orchestrate`.",
    "OTEL_RESOURCE_ATTRIBUTES": "`name=value,name=value`, percent-encoded; what is known of the run counts before them.",
    "OTEL_PROPAGATORS": "`tracecontext`: the caller's trace is taken, and each attempt gets its own `TRACEPARENT`; `baggage`: it gets `BAGGAGE`; `none`: neither. Default: both. Others are told and left out.",
    "OTEL_TRACES_SAMPLER": "`always_on`, `always_off`, `traceidratio`, and these with `parentbased_` before them. Default: `parentbased_always_on`.",
    "OTEL_TRACES_SAMPLER_ARG": "The ratio, from 0 to 1.",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "How many attributes there are at most. Default: 128.",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "How long a text is at most.",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "The same for spans alone.",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "The same for spans alone.",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "How many events a span has at most. Default: 128.",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "How many links a span has at most. Default: 128.",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "How many attributes an event has at most. Default: 128.",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "How many attributes a link has at most. Default: 128.",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "How many attributes a record or a line of a step has at most. Default: that of all.",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "How long a text in them is at most; the message itself is not cut. Default: that of all.",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "`cumulative`, `delta` or `lowmemory`, which means `delta` here. Default: `cumulative`.",
    "OTEL_BSP_SCHEDULE_DELAY": "So long, in milliseconds, items are gathered. Default: 5000.",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "So many go out in one request at most. Default: 512.",
    "OTEL_BSP_MAX_QUEUE_SIZE": "So many wait at most. Default: 10000, more than the specification has: a graph of thousands of steps may skip all of them at once.",
    "OTEL_BLRP_SCHEDULE_DELAY": "The same for records and for lines of steps. Default: 1000.",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "The same for records and for lines of steps. Default: 512.",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "The same for records, and apart from them for lines of steps. Default: 10000 records, 2048 lines.",
}
"""Each variable that is read with what it says; `{SIGNAL}` is TRACES, METRICS or LOGS, and what is in brackets may be left out."""

NOT_READ: Mapping[str, str] = {
    "OTEL_BSP_EXPORT_TIMEOUT`, `OTEL_BLRP_EXPORT_TIMEOUT": "How long a batch may take is what `OTEL_EXPORTER_OTLP[_{SIGNAL}]_TIMEOUT` says.",
    "OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_METRIC_EXPORT_TIMEOUT": "Metrics go out with the batches of a run, and are no readings of now and then.",
    "OTEL_METRICS_EXEMPLAR_FILTER": "There are no exemplars.",
    "OTEL_EXPORTER_OTLP[_{SIGNAL}]_INSECURE": "It is for gRPC; with HTTP the address says it.",
    "OTEL_LOG_LEVEL": "The SDK logs nothing here.",
    "OTEL_CONFIG_FILE`, `OTEL_EXPERIMENTAL_CONFIG_FILE": "There is no configuration by a file.",
}
"""Standard variables that change nothing, with the reason."""

ERRORS: Mapping[str, str] = {
    "connection_refused": "Nobody listens there.",
    "connection_dropped": "It hung up, or what it said is no HTTP.",
    "timeout": "It did not answer in the time of a request, or not before the run ended.",
    "name_resolution": "Its name means no address.",
    "network": "Another error of the network.",
    "tls": "No TLS with it, or none that is vouched for.",
    "certificate_file": "A file with a certificate or a key cannot be read.",
    "unreadable_answer": "It answered with a success that is no answer of OTLP, as a page to log in at is.",
    "http_NNN": "It answered with that status. A redirect is not followed.",
    "rejected": "It has taken a part, and says that it will not take the rest; that is not sent again.",
    "queue_full": "More was waiting than may.",
    "file_ERRNO": "The file cannot be written, for the reason that the system gives.",
    "file_written_in_part": "The file system is full.",
    "bug_CLASS": "A bug of ours; the run is what it is.",
}
"""Each word of `telemetry.failed`."""
