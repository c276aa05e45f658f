"""
What a definition of the right shape may still have wrong: names that nobody defines, two writers, cycles, references to nothing.

Each check looks at the whole definition and returns problems with the path of what to change; places are found later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from ledger.errors import MissingExtraError
from orchestrator.core.cycles import find_cycles
from orchestrator.core.definition import (
    CHANNEL_TIMEOUT_MAX_US,
    PING_TIMEOUT_MAX_US,
    TELEMETRY_WAIT_MAX_US,
    Channel,
    Dataset,
    Pipeline,
    Step,
)
from orchestrator.core.durations import format_duration
from orchestrator.core.flow_checks import check_flows
from orchestrator.core.graph import step_edges
from orchestrator.core.names import case_twins, shown, suggest
from orchestrator.core.problems import Problem
from orchestrator.core.variable_checks import alert_texts, check_texts, check_variables

_LISTED_AT_MOST = 8
_PATTERNS_MAX = 100


def check_definition(pipeline: Pipeline, document: Mapping[str, object]) -> list[Problem]:
    """
    Return everything that is wrong with the meaning of *pipeline*; linear in its size.

    Args:
        document: The whole file: what stands there and was not usable is wrong already, but not unknown.
    """
    variables = _defined(pipeline.variables, document, "env", "vars")
    problems = [
        *_check_names(document),
        *_check_formerly(pipeline),
        *check_variables(pipeline),
        *_check_datasets(pipeline, document, variables),
        *_check_steps(pipeline, document, variables),
        *check_texts(pipeline, variables),
        *check_flows(pipeline, document),
        *_check_redaction(pipeline),
        *_check_schedule(pipeline),
        *_check_alerts(pipeline, document, variables),
        *_check_freshness(pipeline),
        *_check_clean_up(pipeline),
        *_check_patience(pipeline.telemetry.wait_us, TELEMETRY_WAIT_MAX_US, ("telemetry", "wait")),
    ]
    return [*problems, *_check_cycles(pipeline)]


def _check_redaction(pipeline: Pipeline) -> Iterator[Problem]:
    """Each pattern has to be one that can be searched for in linear time; nothing is loaded where there is none."""
    patterns = pipeline.redact.patterns
    if len(patterns) > _PATTERNS_MAX:
        message = (
            f"redact.patterns has {len(patterns)} entries, at most {_PATTERNS_MAX} are allowed: each is searched for"
        )
        yield Problem("out_of_range", message, ("redact", "patterns"), suggestion="join some with |")
    for place, pattern in enumerate(patterns[:_PATTERNS_MAX]):
        from orchestrator.core.pattern_automaton import Automaton
        from orchestrator.core.pattern_text import PatternError

        try:
            Automaton(pattern)
        except PatternError as error:
            message = f"redact.patterns[{place}] {shown(pattern)} is no pattern: {error}"
            hint = "docs/reference/redaction.md has what may stand in one"
            yield Problem("bad_pattern", message, ("redact", "patterns", place), suggestion=hint)


def _check_schedule(pipeline: Pipeline) -> Iterator[Problem]:
    """The schedule has to be one that fires; where the extra that knows cron is missing, whoever asks for nights says so."""
    if pipeline.schedule_cron is None:
        return
    from orchestrator.core.nights import CronError, check_cron

    try:
        check_cron(pipeline.schedule_cron)
    except CronError as error:
        message = f"schedule.cron {shown(pipeline.schedule_cron)} is no schedule: {error}"
        hint = "minute hour day month weekday, such as 30 2 * * * for half past two each night"
        yield Problem("bad_value", message, ("schedule", "cron"), suggestion=hint)
    except MissingExtraError:
        return


def _check_alerts(
    pipeline: Pipeline, document: Mapping[str, object], variables: Mapping[str, object]
) -> Iterator[Problem]:
    channels = _defined(pipeline.alerts.channels, document, "alerts", "channels")
    for channel in pipeline.alerts.channels.values():
        path = ("alerts", "channels", channel.name)
        written = _defined({}, document, *path)
        yield from _check_way(channel, [way for way in _WAYS if way in written], path)
        yield from _unknown(channel.env, variables, "variable", (*path, "env"))
        yield from _check_patience(channel.timeout_us, CHANNEL_TIMEOUT_MAX_US, (*path, "timeout"))
    yield from _check_patience(pipeline.deadman.timeout_us, PING_TIMEOUT_MAX_US, ("deadman", "timeout"))
    for place, rule in enumerate(pipeline.alerts.rules):
        yield from _unknown(rule.to, channels, "channel", ("alerts", "rules", place, "to"))
        if not channels:
            hint = 'write [alerts.channels.ops] with a command = ["…"] or a webhook = "https://…"'
            yield Problem("missing_key", "alerts has rules and no channel", ("alerts", "rules", place), suggestion=hint)
    for text_path, text, _ in alert_texts(pipeline):
        if text_path[-1] in ("webhook", "start", "success", "failure") and "headers" not in text_path:
            yield from _check_address(text, text_path)


_WAYS = ("command", "webhook", "apprise")


def _check_way(channel: Channel, ways: Sequence[str], path: tuple[str, ...]) -> Iterator[Problem]:
    if len(ways) != 1:
        what = f"has both {' and '.join(ways)}" if ways else "has no command, webhook or apprise"
        hint = "a channel is one of them" if ways else 'write command = ["…"] or webhook = "https://…"'
        yield Problem("one_of", f"{'.'.join(path)} {what}", path, suggestion=hint)
    elif "command" in ways and channel.command and not channel.command[0].strip():
        yield Problem("empty", f"{'.'.join(path)}.command names no program", (*path, "command"))


def _check_patience(timeout_us: int, most_us: int, path: tuple[str, ...]) -> Iterator[Problem]:
    if timeout_us > most_us:
        message = f"{'.'.join(path)} is {format_duration(timeout_us)}, at most {format_duration(most_us)} is allowed"
        yield Problem("out_of_range", message, path, suggestion="a run waits for it")


def _check_address(text: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
    where = ".".join(map(str, path))
    if not text.startswith(("https://", "http://", "${")):
        message = f"{where} is no address of the web: {shown(text)}"
        yield Problem("bad_value", message, path, suggestion="it begins with https:// or http://, or is ${NAME}")
    _, at, _ = text.partition("://")[2].partition("/")[0].partition("@")
    if at and "${" not in text.partition("@")[0]:
        message = f"{where} holds a user or password, and the definition is recorded and shown"
        yield Problem("holds_secret", message, path, suggestion="put it into a secret variable and write ${NAME}")


def _check_freshness(pipeline: Pipeline) -> Iterator[Problem]:
    """A limit that can never be passed, or whose age nobody can know, would be taken for one that holds."""
    sources = frozenset(pipeline.sources())
    for name, dataset in pipeline.datasets.items():
        fresh = dataset.fresh_within
        if fresh is None:
            continue
        if fresh.warn_us is not None and fresh.error_us is not None and fresh.warn_us >= fresh.error_us:
            message = f"datasets.{name}.fresh_within warns no earlier than it errs: warn has to be shorter than error"
            yield Problem("no_effect", message, ("datasets", name, "fresh_within", "warn"), severity="warning")
        if fresh.refuse and fresh.error_us is None:
            message = f"datasets.{name}.fresh_within never refuses: refuse needs error"
            yield Problem("no_effect", message, ("datasets", name, "fresh_within", "refuse"), severity="warning")
        if dataset.path is None and name in sources:
            message = f"datasets.{name} is no file and nobody writes it: how fresh it is cannot be told"
            yield Problem("no_effect", message, ("datasets", name, "fresh_within"), severity="warning")


def _check_clean_up(pipeline: Pipeline) -> Iterator[Problem]:
    """Whoever sets a deadline takes the run for one that ends, and clean-up runs after it."""
    for step in pipeline.steps.values() if pipeline.deadline_us is not None else ():
        if step.when != "upstream_ok" and step.timeout_us is None:
            message = f"steps.{step.name} runs after the deadline too, for as long as it takes"
            hint = 'give it a timeout = "…", which bounds clean-up'
            yield Problem("unbounded", message, ("steps", step.name, "when"), suggestion=hint, severity="warning")


def _check_names(document: Mapping[str, object]) -> Iterator[Problem]:
    for table, kind in (("steps", "steps"), ("datasets", "datasets"), ("pools", "pools")):
        entries = document.get(table)
        for first, second in case_twins(entries if isinstance(entries, dict) else ()):
            message = f"two {kind} differ only in case: {first} and {second}"
            yield Problem("duplicate_name", message, (table, second), suggestion="rename one of them")


def _check_formerly(pipeline: Pipeline) -> Iterator[Problem]:
    """A former name has one claimant, and nothing that exists still has it."""
    kinds: tuple[tuple[str, Mapping[str, Step] | Mapping[str, Dataset]], ...] = (
        ("steps", pipeline.steps),
        ("datasets", pipeline.datasets),
    )
    for table, entries in kinds:
        claimed: dict[str, str] = {}
        for entry in entries.values():
            for former in entry.formerly:
                path = (table, entry.name, "formerly")
                if former in entries:
                    message = f"{table}.{entry.name} was formerly {former}, but {table}.{former} still exists"
                    yield Problem("formerly_exists", message, path, suggestion=f"remove {former} from formerly")
                elif former in claimed:
                    message = f"both {table}.{claimed[former]} and {table}.{entry.name} were formerly {former}"
                    yield Problem("formerly_twice", message, path, suggestion="one of them keeps the history")
                claimed.setdefault(former, entry.name)
    if pipeline.name in pipeline.formerly:
        message = f"the pipeline is still called {pipeline.name}"
        yield Problem("formerly_exists", message, ("pipeline", "formerly"), suggestion="remove it from formerly")


def _check_datasets(
    pipeline: Pipeline, document: Mapping[str, object], variables: Mapping[str, object]
) -> Iterator[Problem]:
    written_by = pipeline.writers()
    for dataset in pipeline.datasets.values():
        written = _defined({}, document, "datasets", dataset.name)
        where = f"datasets.{dataset.name}"
        path = ("datasets", dataset.name)
        if not written.keys() & {"path", "probe"}:
            yield Problem("missing_key", f"{where} has no path", path, suggestion='write path = "data/…", or a probe')
        if dataset.digest == "probe" and "probe" not in written:
            yield Problem("missing_key", f'{where} has digest = "probe" but no probe', (*path, "digest"))
        yield from _unknown(dataset.env, variables, "variable", (*path, "env"))
        yield from _check_probe(dataset, path)
        yield from _check_contract(dataset, path, is_output=dataset.name in written_by)
        if dataset.pattern.startswith("/") or ".." in dataset.pattern.split("/"):
            message = f"{where}.pattern leaves the folder of the dataset: {shown(dataset.pattern)}"
            yield Problem("bad_pattern", message, (*path, "pattern"), suggestion="a pattern is relative to path")
    yield from _check_same_place(pipeline)
    yield from _check_overlaps(pipeline)


def _check_probe(dataset: Dataset, path: tuple[str, ...]) -> Iterator[Problem]:
    where = f"datasets.{dataset.name}"
    if dataset.probe and dataset.digest != "probe":
        message = f'{where} has a probe, which digest = "{dataset.digest}" does not ask'
        yield Problem("contradiction", message, (*path, "digest"), suggestion="remove one of the two")
    if dataset.probe and not dataset.probe[0].strip():
        yield Problem("empty", f"{where}.probe names no program", (*path, "probe"))
    if dataset.env and not dataset.probe:
        message = f"{where}.env is what its probe sees, and it has none"
        yield Problem("contradiction", message, (*path, "env"), suggestion="variables reach a step by its own env")


def _check_contract(dataset: Dataset, path: tuple[str, ...], *, is_output: bool) -> Iterator[Problem]:
    """What an output owes has to make sense, and a dataset that nobody writes owes nothing of it."""
    where = f"datasets.{dataset.name}"
    asked = {"min_files": dataset.min_files, "min_rows": dataset.min_rows, "allow_empty": dataset.allow_empty}
    for key in ("min_rows", "allow_empty"):
        if asked[key] and not is_output:
            message = f"{where}.{key} is for outputs, and no step writes {dataset.name}"
            hint = "a source is held to min_files" if key == "min_rows" else "a source may be empty: remove it"
            yield Problem("not_an_output", message, (*path, key), suggestion=hint)
    least = next((key for key in ("min_files", "min_rows") if asked[key]), None)
    if dataset.allow_empty and least is not None:
        message = f"{where} may be empty, and has {least} = {asked[least]}"
        yield Problem("contradiction", message, (*path, "allow_empty"), suggestion="remove one of the two")
    if dataset.min_files and dataset.path is None:
        message = f"{where}.min_files counts files, and {dataset.name} has no path"
        yield Problem("contradiction", message, (*path, "min_files"), suggestion="remove it")


def _check_same_place(pipeline: Pipeline) -> Iterator[Problem]:
    """Two names for one place would hide a second writer."""
    writers = pipeline.writers()
    known: dict[tuple[str, str], str] = {}
    for dataset in pipeline.datasets.values():
        if dataset.path is None:
            continue
        place = ("/".join(part for part in dataset.path.split("/") if part not in ("", ".")), dataset.pattern)
        other = known.setdefault(place, dataset.name)
        if other != dataset.name and (other in writers or dataset.name in writers):
            message = f"datasets.{other} and datasets.{dataset.name} are the same files: {shown(dataset.path)}"
            yield Problem(
                "same_place", message, ("datasets", dataset.name, "path"), suggestion="use one dataset for both"
            )


def _check_overlaps(pipeline: Pipeline) -> Iterator[Problem]:
    """What a step writes inside a folder that is read as a whole would count as a change of that folder in every run."""
    writers = pipeline.writers()
    read = {name for step in pipeline.steps.values() for name in step.reads}
    places = {
        name: "/".join(part for part in dataset.path.split("/") if part not in ("", "."))
        for name, dataset in pipeline.datasets.items()
        if dataset.path is not None
    }
    whole = {
        place: name
        for name, place in places.items()
        if name in read and pipeline.datasets[name].pattern.startswith("**")
    }
    for inner in writers.keys() & places.keys():
        parts = places[inner].split("/")
        outer = next((name for size in range(1, len(parts)) if (name := whole.get("/".join(parts[:size])))), None)
        if outer is not None:
            message = f"datasets.{inner} lies inside datasets.{outer}: each write to it changes what is read there"
            hint = f"put it elsewhere, or give {outer} a pattern that leaves it out"
            yield Problem("overlap", message, ("datasets", inner, "path"), suggestion=hint, severity="warning")


def _defined(entries: Mapping[str, object], document: Mapping[str, object], *tables: str) -> Mapping[str, object]:
    """Return *entries* and what else the file defines in *tables*."""
    found: object = document
    for table in tables:
        found = found.get(table) if isinstance(found, dict) else None
    return {**entries, **found} if isinstance(found, dict) else entries


def _check_steps(
    pipeline: Pipeline, document: Mapping[str, object], variables: Mapping[str, object]
) -> Iterator[Problem]:
    writers: dict[str, str] = {}
    datasets = _defined(pipeline.datasets, document, "datasets")
    steps = _defined(pipeline.steps, document, "steps")
    settable = {**variables, **_defined(pipeline.params, document, "params")}
    pools = _defined(pipeline.pools, document, "pools")
    for step in pipeline.steps.values():
        path = ("steps", step.name)
        yield from _unknown(step.reads, datasets, "dataset", (*path, "reads"))
        yield from _unknown(step.writes, datasets, "dataset", (*path, "writes"))
        yield from _unknown(step.needs, steps, "step", (*path, "needs"))
        yield from _unknown(step.env, settable, "variable", (*path, "env"))
        yield from _unknown(step.uses, pools, "pool", (*path, "uses"))
        yield from _check_shares(pipeline, step)
        for dataset in step.writes:
            if dataset in step.reads:
                message = f"step {step.name} both reads and writes {dataset}"
                yield Problem("reads_and_writes", message, (*path, "writes"), suggestion="write another dataset")
            writer = writers.setdefault(dataset, step.name)
            if writer != step.name:
                message = f"two steps write {dataset}: {writer} and {step.name}; a dataset has one writer"
                yield Problem("two_writers", message, (*path, "writes"), suggestion="give each step its own dataset")
        if step.command and not step.command[0].strip():
            yield Problem("empty", f"steps.{step.name}.command names no program", (*path, "command"))
        for pattern in step.code:
            if pattern.startswith("/") or ".." in pattern.split("/"):
                message = f"steps.{step.name}.code leaves the folder of pipeline.toml: {shown(pattern)}"
                yield Problem("bad_pattern", message, (*path, "code"), suggestion="code lies beside pipeline.toml")
        if step.rerun == "never" and step.when != "upstream_ok":
            message = f'step {step.name} has rerun = "never" and when = "{step.when}", which runs it however its last attempt ended'
            hint = 'take one of the two: "never" holds for what waits for its upstreams'
            yield Problem("rerun_when", message, (*path, "rerun"), suggestion=hint)
        if step.name in step.needs:
            yield Problem("cycle", f"step {step.name} needs itself", (*path, "needs"))


def _check_shares(pipeline: Pipeline, step: Step) -> Iterator[Problem]:
    for pool, shares in step.uses.items():
        size = pipeline.pools.get(pool)
        if size is not None and shares > size:
            message = f"steps.{step.name} uses {shares} shares of pool {pool}, which has {size}: it could never start"
            yield Problem("out_of_range", message, ("steps", step.name, "uses", pool))


def _unknown(
    names: Iterable[str], known: Mapping[str, object], kind: str, path: tuple[str | int, ...]
) -> Iterator[Problem]:
    for place, name in enumerate(names):
        if name not in known:
            near = suggest(name, known)
            hint = f"did you mean {near}?" if near else f"defined are: {_listed(list(known))}"
            key = name if path[-1] == "uses" else place
            yield Problem(f"unknown_{kind}", f"no such {kind}: {shown(name)}", (*path, key), suggestion=hint)


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:_LISTED_AT_MOST]) + (", …" if len(names) > _LISTED_AT_MOST else "")


def _check_cycles(pipeline: Pipeline) -> Iterator[Problem]:
    edges = {step: tuple(other for other in others if other != step) for step, others in step_edges(pipeline).items()}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError:
        for cycle in find_cycles(edges):
            # In the direction in which data flows, as people think of it.
            shown_path = " -> ".join(reversed(cycle))
            message = f"the steps wait for each other in a circle: {shown_path}"
            yield Problem("cycle", message, ("steps", cycle[0]), suggestion="remove one of these edges")
