"""The comparison of two runs for people: as lines for a terminal, and as one HTML file; both of what `run_diff` gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.explain import reason_text, short_digest
from orchestrator.core.printable import printable, printable_line
from orchestrator.projections.change_text import change_text
from orchestrator.projections.graph_svg import escaped
from orchestrator.projections.page_tables import HTML_END, Section, html_head, html_section

Diff = Mapping[str, Any]

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_WHY = {
    "not_kept": "its text is not kept on both sides",
    "not_text": "it is no text",
    "too_large": "it is too large to be compared line by line",
}
_STYLE = "<style>td:first-child{min-width:9rem}pre{margin:.3rem 0 .8rem;padding:.5rem .8rem;border:1px solid #d0d7de;overflow-x:auto;font-size:.85rem}</style>"


def headline(diff: Diff) -> str:
    """Say in a sentence where the runs part."""
    first = diff["first_divergence"]
    if first is not None:
        return f"first divergence: {_step_name(first)}: {difference_text(first)}"
    if diff["same"]:
        return "nothing differs but durations"
    return "no step differs; what it was made from, or where it ran, does"


def difference_text(entry: Mapping[str, Any]) -> str:
    """Return a difference of a step as a phrase."""
    before, after = entry["before"], entry["after"]
    match entry["part"]:
        case "graph":
            return "only in the second run" if before is None else "only in the first run"
        case "key":
            return reason_text("run", "code_changed", entry)
        case "outputs":
            name = str(entry["component"]).partition(":")[2]
            return f"output {name}: {short_digest(before)} -> {short_digest(after)}"
        case "decision":
            return f"decision: {_decision(before)} -> {_decision(after)}"
        case _:
            return f"{entry['component']}: {_word(before)} -> {_word(after)}"


def diff_lines(diff: Diff) -> Iterator[str]:
    """Yield the comparison as lines for a terminal."""
    for name in ("before", "after"):
        yield f"{name + ':':<8} {_run_text(diff[name])}"
    yield ""
    yield printable(headline(diff))
    for section in sections(diff):
        if section.rows:
            yield ""
            yield f"{section.title.lower()}:"
            yield from (f"  {line}" for line in _rows(section))
        if section.title in ("Definition", "Code"):
            for title, lines in texts(diff, section.title):
                yield printable(f"  {title}")
                yield from (f"    {printable_line(line)}" for line in lines)


def diff_html(diff: Diff) -> str:
    """Return the comparison as one self-contained HTML document."""
    return "\n".join([*_html(diff), HTML_END]) + "\n"


def _html(diff: Diff) -> Iterator[str]:
    yield from html_head(f"{diff['before']['run_id']} and {diff['after']['run_id']} compared")
    yield _STYLE
    yield f'<p class="warn">{escaped(headline(diff))}</p>'
    rows = [(name, _run_text(diff[name])) for name in ("before", "after")]
    yield from html_section(Section("Runs", ("", ""), rows))
    for section in sections(diff):
        yield from html_section(section)
        if section.title in ("Definition", "Code"):
            for title, lines in texts(diff, section.title):
                text = "\n".join(
                    "\t".join(escaped(part) for part in printable_line(line).split("\t")) for line in lines
                )
                yield f"<p>{escaped(title)}</p>\n<pre>{text}</pre>" if lines else f"<p>{escaped(title)}</p>"


def sections(diff: Diff) -> Iterator[Section]:
    """Yield each table of the comparison, the empty ones too."""
    steps = [
        (_step_name(step), "; ".join(difference_text(entry) for entry in step["differences"])) for step in diff["steps"]
    ]
    yield Section("Steps", ("", ""), steps)
    run = [(row["what"], f"{_word(row['before'])} -> {_word(row['after'])}") for row in diff["run"]]
    yield Section("Outcome of the run", ("", ""), run)
    yield Section("Definition", ("",), [(change_text(change),) for change in diff["definition"]["changes"]])
    yield Section("Code", ("", "", ""), [_file(row) for row in diff["code"]])
    yield Section("Environment", ("", ""), [_pair(row) for row in diff["environment"]])
    yield Section("Variables", ("", ""), [(row["name"], _variable(row)) for row in diff["variables"]])
    yield Section("Inputs", ("", "", ""), [_dataset(row) for row in diff["inputs"]])
    yield Section("Outputs", ("", "", ""), [_dataset(row) for row in diff["outputs"]])
    durations = [
        (row["step"], _seconds(row["before_seconds"]), _seconds(row["after_seconds"])) for row in diff["durations"]
    ]
    total = ("(the run)", *(_seconds(diff[name]["duration_seconds"]) for name in ("before", "after")))
    yield Section("Durations", ("step", "before", "after"), [*durations, total])


def texts(diff: Diff, title: str) -> Iterator[tuple[str, list[str]]]:
    """Yield for each text of the section *title* that was compared what it is, and the lines that differ."""
    if title == "Definition":
        found = [("pipeline.toml", diff["definition"]["text"])]
    else:
        found = [(str(row["path"]), row["text"]) for row in diff["code"] if "path" in row]
    for name, text in found:
        if text is None:
            continue
        if text["why"] is not None:
            yield f"{name}: {_WHY[text['why']]}", []
        elif text["lines"]:
            more = [f"… and {text['more']} more lines"] if text["more"] else []
            yield name, [*text["lines"], *more]
        else:
            yield f"{name}: only line ends differ", []


def _rows(section: Section) -> Iterator[str]:
    """Yield the rows of *section* with their cells below each other."""
    rows = [[printable("" if cell is None else str(cell)) for cell in row] for row in section.rows]
    if any(section.header):
        rows.insert(0, list(section.header))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _run_text(run: Mapping[str, Any]) -> str:
    status = str(run["status"]).replace("_", " ")
    return f"{run['run_id']} of {run['pipeline']}, night {run['night']}, {status}"


def _step_name(step: Mapping[str, Any]) -> str:
    return f"{step['step']} (formerly {step['formerly']})" if step["formerly"] else str(step["step"])


def _file(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if "more" in row:
        return "…", f"and {row['more']} more", ""
    return _SIGNS[row["kind"]], str(row["path"]), f"{short_digest(row['before'])} -> {short_digest(row['after'])}"


def _pair(row: Mapping[str, Any]) -> tuple[str, str]:
    if "more" in row:
        return "…", f"and {row['more']} more"
    if row["what"] == "recorded":
        return (
            "recorded",
            f"only of the {'first' if row['before'] else 'second'} run: an older program started the other one, or it was pruned",
        )
    return str(row["what"]), f"{_value(row['before'])} -> {_value(row['after'])}"


def _variable(row: Mapping[str, Any]) -> str:
    origins = [row["before_origin"], row["after_origin"]]
    moved = f" (from {_word(origins[0])}, then {_word(origins[1])})" if origins[0] != origins[1] else ""
    if not row["secret"]:
        return f"{_value(row['before'])} -> {_value(row['after'])}{moved}"
    if row["changed"] is None:
        return f"a secret; whether its value changed is not known: the key of its digest is another one, was lost, or there was none{moved}"
    if None in origins:
        return f"a secret; {f'it came with the second run, from {_word(origins[1])}' if origins[0] is None else 'it is gone in the second run'}"
    return f"a secret; {'it has another value' if row['changed'] else 'its value is the same'}{moved}"


def _dataset(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if "more" in row:
        return "…", f"and {row['more']} more", ""
    files, told = row["files"], ""
    if files is not None:
        counts = ", ".join(f"{files[kind]} {kind}" for kind in _SIGNS if files[kind])
        names = " ".join(f"{_SIGNS[file['change']]}{file['path']}" for file in files["first"])
        told = f"{counts}: {names}" if counts else ""
    return str(row["dataset"]), f"{short_digest(row['before'])} -> {short_digest(row['after'])}", told


def _value(value: object) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return short_digest(value)
    return "nothing" if value is None else str(value)


def _word(value: object) -> str:
    return "nothing" if value is None else str(value).replace("_", " ")


def _decision(value: object) -> str:
    return "not yet decided" if value is None else _word(value)


def _seconds(value: object) -> str:
    from orchestrator.core.durations import format_duration

    return format_duration(round(value * 1e6)) if isinstance(value, int | float) else "-"
