"""A verdict on a run that was run again, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.core.events import RunReproduced

_SAID = {
    "identical": "identical",
    "equivalent": "equivalent: other bytes, the same content",
    "different": "different",
    "not_reproducible": "not reproducible",
}


def verdict_lines(event: RunReproduced) -> Iterator[str]:
    """Yield what people read of a verdict."""
    yield f"run {event.run_id} of {event.pipeline}: {_SAID[event.verdict]}"
    for cause in event.causes:
        hint = f" ({cause['suggestion']})" if cause["suggestion"] else ""
        yield f"  {cause['message']}{hint}"
    for verdict in ("different", "equivalent"):
        for step in event.steps:
            if step["verdict"] == verdict:
                yield from _step_lines(step)
    same = [str(step["step"]) for step in event.steps if step["verdict"] == "identical"]
    if same:
        yield f"  identical: {', '.join(same)}"
    for name, why in event.left_out.items():
        yield f"  not run again: {name}: {why}"
    for name in event.trusted:
        yield f"  taken as it is today: the secret {name}"


def _step_lines(step: Mapping[str, object]) -> Iterator[str]:
    behind = step.get("behind")
    after = f", behind {', '.join(behind)}" if isinstance(behind, list) else ""
    yield f"  {step['verdict']}: {step['step']}{after}"
    outcome = step.get("outcome")
    if isinstance(outcome, Mapping):
        yield f"    it ended as {outcome['expected']} then, as {outcome['actual']} now"
        if str(outcome["actual"]).startswith("failed") and not str(outcome["expected"]).startswith("failed"):
            yield "    its log says what it missed: a file that is not in the record: declare it in reads, or in code;"
            yield "    or an interpreter or a package: those are what PATH finds today"
    for dataset in _list(step.get("datasets")):
        for file in _list(dataset["files"]):
            if file["verdict"] == dataset["verdict"]:
                yield f"    {dataset['dataset']}{_named(file)}: {file_text(file)}"
        if "more_files" in dataset:
            yield f"    {dataset['dataset']}: and {dataset['more_files']} more files"
        if not dataset["files"]:
            yield f"    {dataset['dataset']}: another digest; a manifest is not kept, so that it cannot be said where"


def _named(file: Mapping[str, object]) -> str:
    return f"/{file['path']}" if file["path"] else ""


def file_text(file: Mapping[str, object]) -> str:
    """Say how one file differs, for people."""
    if "only" in file:
        return "it was there then, and is not now" if file["only"] == "then" else "it was not there then"
    if "not_compared" in file:
        return f"other bytes; {file['not_compared']}"
    if file["verdict"] == "equivalent":
        return "other bytes, the same rows"
    parts = []
    if file.get("reordered"):
        parts.append("the same rows in another order")
    else:
        parts.append(f"rows: {_counted(file.get('rows_removed'))} gone, {_counted(file.get('rows_added'))} new")
    columns = file.get("columns")
    if isinstance(columns, list):
        more = f" and {file['more_columns']} more" if "more_columns" in file else ""
        parts.append(f"columns: {', '.join(columns)}{more}")
    if "columns_withheld" in file:
        parts.append(f"{file['columns_withheld']} columns, whose names are withheld")
    return "; ".join(parts)


def _counted(count: object) -> str:
    return "an unknown number" if count is None else str(count)


def _list(value: object) -> list[Mapping[str, object]]:
    return value if isinstance(value, list) else []
