"""
The report of a run as one HTML file: what failed, why, what to type; then everything else.

The file asks nobody for anything: no script, no font, no image from elsewhere, and its policy forbids them even where some text of a step
were to get through. It reads on a phone, in the dark and on paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.explain import next_command
from orchestrator.core.printable import printable_line
from orchestrator.projections.graph_svg import colour_style, escaped, graph_svg, number
from orchestrator.projections.graph_text import LOOKS, look_name, words_of
from orchestrator.projections.manual_actions import manual_lines
from orchestrator.projections.report_markdown import (
    Detail,
    Tail,
    Tails,
    comparison,
    failed_tails,
    root_cause,
    run_facts,
    seconds_text,
    shown_steps,
    skip_groups,
    status_counts,
    status_line,
    step_reason,
    step_statuses,
    title,
)
from orchestrator.projections.timeline_svg import time_text, timeline_svg

_OPEN_AT_MOST = 30
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_EDGE = 88, 22, 3

_STYLE = (
    colour_style(":root")
    + """
:root{--card:color-mix(in srgb,var(--skipped-fill) 55%,var(--page))}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:68rem;margin:0 auto;padding:1.25rem 1.25rem 3rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem;overflow-wrap:anywhere}
h1 .night{display:block;font-size:1rem;font-weight:400;color:var(--quiet);margin-bottom:.15rem}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.1rem 0 .3rem;overflow-wrap:anywhere}
p{margin:.4rem 0;overflow-wrap:anywhere}
a{color:var(--running)}
.quiet{color:var(--quiet)}
.badge{display:inline-block;padding:.05rem .6rem;border:1px solid;border-radius:1rem;font-weight:600;white-space:nowrap}
.counts{display:flex;flex-wrap:wrap;gap:.4rem;list-style:none;margin:.7rem 0 0;padding:0;font-size:.9rem}
.card{border:1px solid var(--rule);border-left:6px solid var(--failed);border-radius:8px;background:var(--failed-fill);
 padding:.9rem 1.1rem;margin:1.4rem 0 0}
.card h2,.next h2{margin:0 0 .3rem}
.card .what{font-size:1.1rem}
.next{border:1px solid var(--rule);border-left:6px solid var(--running);border-radius:8px;padding:.9rem 1.1rem;margin:.9rem 0 0}
pre{margin:.5rem 0;padding:.7rem .9rem;border:1px solid var(--rule);border-radius:6px;background:var(--card);overflow-x:auto;
 font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;tab-size:4}
.card pre{background:var(--page);white-space:pre-wrap;overflow-wrap:anywhere}
.next pre{user-select:all;white-space:pre-wrap;overflow-wrap:anywhere}
.log{display:flex;flex-direction:column-reverse;max-height:28rem;overflow:auto;border:1px solid var(--rule);border-radius:6px;
 background:var(--card)}
.log pre{margin:0;border:0;background:none;overflow:visible}
.wide{overflow:auto;max-height:46rem;border:1px solid var(--rule);border-radius:8px}
.wide svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption,.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
thead th{color:var(--quiet);font-weight:600;font-size:.85rem;white-space:nowrap}
.steps th[scope=row]{min-width:10rem}
.steps td.reason{width:45%}
td.when{white-space:nowrap;font-variant-numeric:tabular-nums}
.slow{color:var(--retrying);font-weight:600}
.spark{display:inline-block;vertical-align:middle;overflow:visible}
.spark polyline{fill:none;stroke:var(--quiet);stroke-width:1.3}
.spark line{stroke:var(--rule);stroke-width:1;stroke-dasharray:2 2}
.names{columns:14rem;margin:.3rem 0;padding-left:1.2rem}
.names.told{columns:auto}
.names li{overflow-wrap:anywhere;break-inside:avoid}
summary{cursor:pointer;padding:.45rem 0;color:var(--running)}
.facts th{width:9rem;font-weight:600;color:var(--quiet)}
footer{margin-top:2.5rem;font-size:.85rem;color:var(--quiet)}
@media (max-width:640px){
 main{padding:1rem .9rem 2rem}
 .steps thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 .steps tr{display:grid;grid-template-columns:1fr auto;gap:.15rem .8rem;padding:.55rem 0;border-bottom:1px solid var(--rule)}
 .steps th[scope=row],.steps td{border:0;padding:0;min-width:0;width:auto}
 .steps td.reason{grid-column:1/-1;width:auto}
 .steps td:nth-child(even){justify-self:end}
 .wide svg{max-width:none}
 .steps td.reason:empty{display:none}
}
@media print{
 body{font-size:10.5pt}main{max-width:none;padding:0}
 .wide,.log{display:block;overflow:visible;max-height:none}
 .wide svg{min-width:0!important}
 pre{white-space:pre-wrap;overflow-wrap:anywhere}
 .spark{display:none}
 details::details-content{content-visibility:visible;height:auto}
 tr,.card,.next{break-inside:avoid}h2,h3{break-after:avoid}
}
"""
    + "".join(
        f".badge.{name}{{color:var(--{name});background:var(--{name}-fill)}}.spark .{name}{{fill:var(--{name})}}\n"
        for name in LOOKS
    )
)


def report_html(detail: Detail, tails: Tails) -> str:
    """
    Return the report of a run as a self-contained HTML document.

    Args:
        detail: The run as `queries.run_detail` gives it.
        tails: The last lines of the log of each step that has one; only those of failed steps are shown.
    """
    return "".join(report_parts(detail, tails))


def report_parts(detail: Detail, tails: Tails) -> Iterator[str]:
    """Yield the report of a run part by part, as `report_html` has it; the page of a large run need not be held twice."""
    for part in _parts(detail, tails):
        yield part
        yield "\n"


def _parts(detail: Detail, tails: Tails) -> Iterator[str]:
    logs = list(failed_tails(detail, tails))
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">'
    yield '<link rel="icon" href="data:,">'
    yield f"<title>{escaped(title(detail))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield from _header(detail)
    yield from _root_cause(detail, [log.step for log in logs])
    yield from _next(detail)
    yield from _by_hand(detail)
    yield '<section>\n<h2>Timeline</h2>\n<div class="wide" tabindex="0" role="region" aria-label="Timeline">'
    yield f"{timeline_svg(detail)}</div>\n</section>"
    yield from _steps(detail)
    yield from _skips(detail)
    yield from _logs(logs)
    yield from _graph(detail)
    yield from _facts(detail)
    yield "</main>\n</body>\n</html>"


def _badge(status: object, words: str) -> str:
    look = look_name(status)
    return f'<span class="badge {look}">{LOOKS[look].glyph} {escaped(words)}</span>'


def _header(detail: Detail) -> Iterator[str]:
    night = f'<span class="night">Night {escaped(detail["night"])}</span>'
    yield f"<header>\n<h1>{night} {escaped(detail['pipeline'])} {_badge(detail['status'], words_of(detail['status']))}</h1>"
    yield f'<p class="quiet">{escaped(status_line(detail))}</p>'
    counts = status_counts(detail)
    if counts:
        chips = "".join(f"<li>{_badge(name, f'{count} {name}')}</li>" for name, count in counts)
        yield f'<ul class="counts">{chips}</ul>'
    yield "</header>"


def _root_cause(detail: Detail, logged: Sequence[str]) -> Iterator[str]:
    cause = root_cause(detail)
    if cause is None:
        return
    step, words, message = cause
    yield f'<section class="card">\n<h2>{LOOKS["failed"].glyph} Root cause</h2>'
    yield f'<p class="what"><strong>{escaped(step)}</strong> failed{": " if words else ""}{escaped(words)}</p>'
    if message:
        yield _block(message)
    if step in logged:
        yield f'<p><a href="#log-{logged.index(step) + 1}">The end of its log</a></p>'
    yield "</section>"


def _next(detail: Detail) -> Iterator[str]:
    commands = next_command(detail)
    if commands:
        yield '<section class="next">\n<h2>What to type next</h2>'
        yield from (f"<pre><code>{escaped(command)}</code></pre>" for command in commands)
        yield "</section>"


def _by_hand(detail: Detail) -> Iterator[str]:
    lines = list(manual_lines(detail, time_text))
    if lines:
        yield '<section>\n<h2>By hand</h2>\n<table class="facts"><caption>What people did around this run</caption>\n<tbody>'
        for label, text in lines:
            yield f'<tr><th scope="row">{label}</th><td>{escaped(text)}</td></tr>'
        yield "</tbody></table>\n</section>"


def _steps(detail: Detail) -> Iterator[str]:
    steps = shown_steps(detail)
    if not steps:
        return
    yield "<section>\n<h2>Steps</h2>"
    good = [step for step in steps if step["status"] == "succeeded"]
    if len(good) > _OPEN_AT_MOST:
        others = [step for step in steps if step["status"] != "succeeded"]
        if others:
            yield _step_table(others, "Steps that did not succeed")
        yield f"<details><summary>{len(good)} steps succeeded</summary>"
        yield _step_table(good, "Steps that succeeded") + "</details>"
    else:
        yield _step_table(steps, "Steps that were not skipped")
    yield "</section>"


def _step_table(steps: Iterable[Detail], caption: str) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Step", "Status", "Duration", "Usually", "Reason"))
    rows = [
        f'<tr><th scope="row">{escaped(step["step"])}</th><td>{_badge(step["status"], words_of(step["status"]))}</td>'
        f'<td class="when">{escaped(seconds_text(step["duration_seconds"]))}</td><td class="when">{_usual(step)}</td>'
        f'<td class="reason">{escaped(step_reason(step))}</td></tr>'
        for step in steps
    ]
    head = f'<table class="steps"><caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>'
    return "\n".join([head, *rows, "</tbody></table>"])


def _usual(step: Detail) -> str:
    compared = comparison(step)
    if compared is None:
        return ""
    slow = ' class="slow"' if compared.change.endswith("times") else ""
    return f"{_sparkline(step)} {escaped(compared.usual)} <span{slow}>{escaped(compared.change)}</span>"


def _sparkline(step: Detail) -> str:
    """Draw the step's last durations, oldest first, and this one as a dot; the dashed line is what is usual."""
    history, took = list(step["history_seconds"]), step["duration_seconds"]
    values = history if took is None else [*history, took]
    top = max([*values, step["expected_seconds"]]) or 1

    def y(seconds: float) -> str:
        return number(_SPARK_HEIGHT - _SPARK_EDGE - (_SPARK_HEIGHT - 2 * _SPARK_EDGE) * seconds / top)

    between = (_SPARK_WIDTH - 2 * _SPARK_EDGE) / max(1, len(values) - 1)
    points = [(number(_SPARK_EDGE + index * between), y(value)) for index, value in enumerate(values)]
    label = f"{len(history)} earlier, oldest first: {', '.join(seconds_text(value) for value in history)}"
    usual = y(step["expected_seconds"])
    parts = [
        f'<svg class="spark" role="img" aria-label="{escaped(label)}" width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}">',
        f'<title>{escaped(label)}</title><line x1="0" y1="{usual}" x2="{_SPARK_WIDTH}" y2="{usual}"/>',
        f'<polyline points="{" ".join(",".join(point) for point in points)}"/>',
    ]
    if took is not None:
        x, last = points[-1]
        parts.append(f'<circle class="{look_name(step["status"])}" cx="{x}" cy="{last}" r="3"/>')
    return "".join([*parts, "</svg>"])


def _skips(detail: Detail) -> Iterator[str]:
    groups = skip_groups(detail)
    if not groups:
        return
    yield "<section>\n<h2>Skipped</h2>"
    for group in groups:
        yield f"<h3>{LOOKS['skipped'].glyph} {escaped(group.words)} ({len(group.members)})</h3>"
        items = [f"<li>{escaped(name)}{': ' if words else ''}{escaped(words)}</li>" for name, words in group.members]
        kind = "names told" if group.members[0][1] else "names"
        names = f'<ul class="{kind}">{"".join(items)}</ul>'
        many = len(items) > _OPEN_AT_MOST
        yield f"<details><summary>{len(items)} steps</summary>{names}</details>" if many else names
    yield "</section>"


def _logs(logs: Iterable[Tail]) -> Iterator[str]:
    for index, (step, caption, lines) in enumerate(logs, start=1):
        yield f'<section id="log-{index}">\n<h2>Log of {escaped(step)}</h2>'
        yield f'<p class="quiet">{escaped(caption)}</p>'
        if lines:
            yield f'<div class="log" tabindex="0" role="region" aria-label="Log">{_block(lines)}</div>'
        yield "</section>"


def _block(lines: Iterable[str]) -> str:
    text = "\n".join("\t".join(escaped(part) for part in printable_line(line).split("\t")) for line in lines)
    return f"<pre>{text}</pre>"


def _graph(detail: Detail) -> Iterator[str]:
    if detail["graph"]["steps"]:
        yield '<section>\n<h2>Graph</h2>\n<div class="wide" tabindex="0" role="region" aria-label="Graph">'
        yield graph_svg(detail["graph"], step_statuses(detail))
        yield "</div>\n</section>"


def _facts(detail: Detail) -> Iterator[str]:
    yield '<section>\n<h2>Run</h2>\n<table class="facts"><caption>What identifies this run</caption>\n<tbody>'
    for label, value in run_facts(detail):
        yield f'<tr><th scope="row">{label}</th><td>{escaped(value)}</td></tr>'
    yield "</tbody></table>\n</section>"
