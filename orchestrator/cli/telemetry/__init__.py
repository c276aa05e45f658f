"""
Telemetry: what was recorded of a run, sent to where the `OTEL_*` variables and `[telemetry]` say, and never waited for beyond a stated bound.

- `settings`: what the variables say; a pure function, with what was wrong with them.
- `outlet`: one signal on its way to one place, in a thread of its own that is given up at the end of the run.
- `http_place`, `file_place`: the places: a collector by OTLP over HTTP, a file of OTLP JSON lines.
- `encoding`: from the items of a signal to what goes out; `trace_encoding` for spans, `metric_encoding`, `log_encoding`; `resources` for what all are sent with.
- `feeds`: from recorded events to the items of a signal, by `trace_feed`, `metric_feed`, `log_feed`.
- `step_output`: what steps print, which is no event: heard while it goes into the log files, by an outlet of its own.
- `of_run`: the telemetry of one run: takes recorded events, hands out what comes of them, and says in the end what arrived.

A signal plugs in at two places. `encoding.encoder_of` names its encoder: `encode(items) -> bytes` (the OTLP request as protobuf) and
`document(items) -> dict` (the same as OTLP JSON); items are whatever the signal likes, the outlet only counts them. And `feeds.feed_of` names its
feed, see `feeds.Feed`: from recorded events to items, what is left when the run is sealed, and the same again from the ledger for a run of which
something did not arrive. The outlets, the bound, the files, the recorded outcome and `telemetry replay` are common to all signals.

Nothing here is loaded, and nothing of the SDK, where neither a variable nor the definition asks for it; see `settings.is_asked_for`.
"""
