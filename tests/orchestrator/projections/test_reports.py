"""Tests of the reports: what they say, in which order, and that no text of a step becomes markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator.core.explain import next_command
from orchestrator.core.printable import printable
from orchestrator.projections.graph_text import mermaid
from orchestrator.projections.report_html import report_html
from orchestrator.projections.report_markdown import (
    comparison,
    failed_tails,
    report_markdown,
    root_cause,
    run_facts,
    skip_groups,
    step_reason,
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

Detail = dict[str, Any]

BEGIN = datetime.fromisoformat("2026-01-31T02:00:03.000000+00:00")

FLIGHTS: Mapping[str, Sequence[str]] = {
    "land_flights": (),
    "land_weather": (),
    "land_dimensions": (),
    "bronze_flights": ("land_flights",),
    "bronze_weather": ("land_weather",),
    "quality_gate": ("bronze_flights", "bronze_weather"),
    "silver_flights": ("quality_gate", "land_dimensions"),
    "silver_weather": ("bronze_weather",),
    "gold_carriers": ("silver_flights",),
    "gold_airports": ("silver_flights", "silver_weather"),
    "daily_report": ("gold_carriers", "gold_airports"),
    "mail_report": ("daily_report",),
}


def moment(seconds: float) -> str:
    """Return the time *seconds* after the sample runs began, as the ledger writes it."""
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def attempt_of(number: int, start: float, end: float | None, status: str = "succeeded", **more: object) -> Detail:
    """Return an attempt as `run_detail` gives it."""
    return {
        "attempt": number,
        "status": status,
        "reason": None,
        "error_class": None,
        "message": None,
        "started_at": moment(start),
        "finished_at": None if end is None else moment(end),
        "exit_code": 0,
        "signal": None,
        "duration_seconds": None if end is None else end - start,
        "log": None,
        "start_reason": "input_changed",
        "start_evidence": {"component": "input:raw", "added": 1},
        **more,
    }


def step_of(name: str, status: str = "succeeded", attempts: Sequence[Detail] = (), **more: object) -> Detail:
    """Return a step as `run_detail` gives it."""
    return {
        "step": name,
        "status": status,
        "reason": None,
        "evidence": {},
        "error_class": None,
        "duration_seconds": attempts[-1]["duration_seconds"] if attempts else None,
        "log": f"logs/R/{name}.{len(attempts)}.log" if attempts else None,
        "expected_seconds": None,
        "history_seconds": [],
        "metrics": None,
        "outputs": {},
        "attempts": list(attempts),
        **more,
    }


def graph_of(upstream: Mapping[str, Sequence[str]]) -> Detail:
    """Return a graph in which each step writes a dataset of its own name."""
    steps = [
        {"step": name, "upstream": list(others), "reads": list(others) or [f"raw_{name}"], "writes": [name]}
        for name, others in upstream.items()
    ]
    datasets = {name: {"path": f"data/{name}", "layer": "bronze", "classification": "internal"} for name in upstream}
    return {"steps": steps, "datasets": datasets}


def run_of(steps: Sequence[Detail], upstream: Mapping[str, Sequence[str]] | None = None, **more: object) -> Detail:
    """Return a run as `run_detail` gives it."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    return {
        "run_id": "20260131T020003Z-7f3a9c",
        "pipeline": "flights",
        "night": "2026-01-30",
        "status": "succeeded",
        "exit_code": 0,
        "started_at": moment(0),
        "finished_at": moment(900),
        "duration_seconds": 900.0,
        "notes": [],
        "moves": [],
        "acknowledged": None,
        "trigger": "systemd",
        "actor": {"user": "etl", "host": "node1", "claimed_by": "host", "login": "anna"},
        "git": {"commit": "9082ed3f0c", "dirty": True},
        "definition": "sha256:" + "ab" * 32,
        "selection": {"only": [], "from": [], "until": [], "omit": [], "force": False},
        "reason": None,
        "root_cause": None,
        "counts": counts,
        "classes": {},
        "graph": graph_of(upstream if upstream is not None else {step["step"]: () for step in steps}),
        "steps": list(steps),
        **more,
    }


def failed_run() -> Detail:
    """Return a night of twelve steps of which one failed at its third attempt."""
    usual: Detail = {"expected_seconds": 118.0, "history_seconds": [110.0, 118.0, 131.0, 112.0, 125.0, 119.5]}
    steps = [
        step_of("land_flights", attempts=[attempt_of(1, 0.5, 121)], **usual),
        step_of("land_weather", "skipped", reason="no_new_data", evidence={"since": "20260130T020003Z-11aa22/1"}),
        step_of("land_dimensions", attempts=[attempt_of(1, 0.6, 30, start_reason="no_inputs")], **usual),
        step_of("bronze_flights", attempts=[attempt_of(1, 121, 420)], **usual),
        step_of("bronze_weather", "skipped", reason="up_to_date", evidence={"since": "20260130T020003Z-11aa22/1"}),
    ]
    message = (
        "quality gate: 1,204 of 9,871 rows rejected (12.2 %), at most 5 % are allowed\nfirst: line 17, dep_time 2567"
    )
    failure: Detail = {"reason": "exit", "error_class": "transient", "message": message, "exit_code": 75}
    attempts = [
        attempt_of(1, 420, 520, "failed", **failure),
        attempt_of(2, 526, 640, "failed", **failure),
        attempt_of(3, 652, 770, "failed", **failure),
    ]
    steps.append(
        step_of(
            "quality_gate",
            "failed",
            attempts,
            reason="exit",
            evidence={"exit_code": 75},
            error_class="transient",
            **usual,
        )
    )
    for name in list(FLIGHTS)[6:]:
        if name == "silver_weather":
            steps.append(step_of(name, attempts=[attempt_of(1, 421, 540)], **usual))
        else:
            steps.append(step_of(name, "skipped", reason="upstream_failed", evidence={"root": "quality_gate"}))
    cause = {"step": "quality_gate", "reason": "exit", "error_class": "transient", "message": message}
    return run_of(steps, FLIGHTS, status="failed", exit_code=1, root_cause=cause)


def large_run(count: int = 60) -> Detail:
    """Return a night of *count* steps in a graph of several layers, a few of them failed or skipped."""
    upstream = {
        f"step_{number:03d}": [
            f"step_{other:03d}" for other in sorted({number // 3, number * 5 // 11}) if other < number
        ]
        for number in range(count)
    }
    steps, ends = [], dict[str, float]()
    for number, (name, others) in enumerate(upstream.items()):
        start = max((ends[other] for other in others), default=0.0) + 1
        took = 20 + (number * 37) % 90
        ends[name] = start + took
        history = [took * (0.8 + 0.05 * ((number + index) % 9)) for index in range(12)]
        known: Detail = {"expected_seconds": sorted(history)[5], "history_seconds": history}
        if number % 17 == 16:
            attempts = [attempt_of(1, start, ends[name], "failed", message="disk full", reason="signal", signal=9)]
            steps.append(step_of(name, "failed", attempts, reason="signal", evidence={"name": "SIGKILL"}, **known))
        elif number % 7 == 6:
            steps.append(step_of(name, "skipped", reason="up_to_date", evidence={"since": f"R{number}/1"}))
        else:
            steps.append(step_of(name, attempts=[attempt_of(1, start, ends[name])], **known))
    cause = {"step": "step_016", "reason": "signal", "error_class": "infrastructure", "message": "disk full"}
    last = max(ends.values())
    return run_of(
        steps, upstream, status="failed", exit_code=1, root_cause=cause, finished_at=moment(last), duration_seconds=last
    )


HOSTILE = "</pre><script>alert('1')</script>|`````[x](http://evil.test)<img src=x onerror=y>&amp; _a_ **b** \x1b[31m\u202e\x00"


def hostile_run() -> Detail:
    """Return a run in which every text that comes from outside is full of markup."""
    failure: Detail = {"reason": "reported", "error_class": "permanent", "message": HOSTILE + "\n" + HOSTILE}
    steps = [
        step_of(
            "gate" + HOSTILE,
            "failed",
            [attempt_of(1, 0, 9, "failed", **failure)],
            reason="reported",
            error_class=HOSTILE,
        ),
        step_of("below", "skipped", reason="upstream_failed", evidence={"root": HOSTILE}),
        step_of("odd", "skipped", reason="no_new_data", evidence={"since": HOSTILE}),
        step_of("odder", "skipped", reason="no_new_data", evidence={"since": "R1/1"}),
    ]
    cause = {"step": "gate" + HOSTILE, "reason": "reported", "error_class": HOSTILE, "message": failure["message"]}
    return run_of(
        steps,
        status="failed",
        exit_code=1,
        root_cause=cause,
        reason=HOSTILE,
        trigger=HOSTILE,
        actor={"user": HOSTILE, "host": HOSTILE, "sudo": HOSTILE, "unit": HOSTILE},
        git={"commit": HOSTILE, "dirty": False},
        selection={"only": [HOSTILE], "force": True},
        pipeline=HOSTILE,
        night=HOSTILE,
    )


class Page(HTMLParser):
    """An HTML report, read: its elements in order, and the text of each."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.declared = ""
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert not self._open, "an element is not closed"

    def handle_decl(self, decl: str) -> None:
        """Keep the document type."""
        self.declared = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        self.elements.append((tag, dict(attrs), []))
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an empty element of a picture."""
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        """End an element, which has to be the last one that began."""
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        """Give the text to everything around it."""
        for index in self._open:
            self.elements[index][2].append(data)

    def texts(self, tag: str) -> list[str]:
        """Return the text of each element *tag*."""
        return ["".join(text) for name, _, text in self.elements if name == tag]


def rows_of(page: Page) -> list[list[str]]:
    """Return the cells of the rows of the steps."""
    return [row for row in _table_rows(page) if len(row) == 5 and row[0] != "Step"]


def _table_rows(page: Page) -> list[list[str]]:
    rows: list[list[str]] = []
    for tag, _, text in page.elements:
        if tag == "tr":
            rows.append([])
        elif tag in ("td", "th"):
            rows[-1].append("".join(text))
    return rows


TAILS = {"quality_gate": ["reading\tpart-0001", "QualityError: 12.2 %"], "land_flights": ["all is well"]}


class TestHtml:
    """One file that a person opens after a bad night."""

    def test_what_failed_comes_first(self) -> None:
        """Given a failed night, then the headings stand in the order in which one asks, none of them nested deeper than the last."""
        page = Page(report_html(failed_run(), TAILS))
        headings = [(tag, "".join(text)) for tag, _, text in page.elements if tag in ("h1", "h2", "h3")]

        assert headings[0] == ("h1", "Night 2026-01-30 flights ✗ failed")
        assert [text for tag, text in headings if tag == "h2"] == [
            "✗ Root cause",
            "What to type next",
            "Timeline",
            "Steps",
            "Skipped",
            "Log of quality_gate",
            "Graph",
            "Run",
        ]
        assert all(int(after[0][1]) - int(before[0][1]) <= 1 for before, after in pairwise(headings))

    def test_root_cause_and_commands(self) -> None:
        """Given a failed night, then reason, message, log and the commands to type are there."""
        page = Page(report_html(failed_run(), TAILS))
        blocks = page.texts("pre")

        assert "quality_gate failed: exit code 75, transient" in page.texts("p")
        assert blocks[0].startswith(
            "quality gate: 1,204 of 9,871 rows rejected (12.2 %), at most 5 % are allowed\nfirst: line 17"
        )
        assert blocks[1:-1] == next_command(failed_run())
        assert blocks[-1] == "reading\tpart-0001\nQualityError: 12.2 %"
        assert [attributes["href"] for tag, attributes, _ in page.elements if tag == "a"] == ["#log-1"]
        assert [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes] == ["log-1"]

    def test_every_step_is_there(self) -> None:
        """Given any run, then each step stands in the table or in the list of what was skipped, failures first."""
        for detail in (failed_run(), large_run()):
            page = Page(report_html(detail, {}))
            rows = rows_of(page)
            listed = [item.partition(":")[0] for item in page.texts("li")]

            assert {row[0] for row in rows} == {s["step"] for s in detail["steps"] if s["status"] != "skipped"}
            assert {s["step"] for s in detail["steps"] if s["status"] == "skipped"} <= set(listed)
            assert rows[0][1] == "✗ failed"

    def test_durations_are_compared(self) -> None:
        """Given a history, then the usual duration, the change and a line of the earlier ones are shown; slow ones stand out."""
        page = Page(report_html(failed_run(), {}))
        cells = {row[0]: row[2:4] for row in rows_of(page)}
        sparks = [attributes for tag, attributes, _ in page.elements if tag == "svg" and attributes["class"] == "spark"]

        assert cells["bronze_flights"][0] == "4m59s"
        assert cells["bronze_flights"][1].endswith("1m58s 2.5 times")
        assert cells["silver_weather"][1].endswith("1m58s +1 %")
        assert ["".join(text) for _, attributes, text in page.elements if attributes.get("class") == "slow"] == [
            "2.5 times"
        ]
        assert len(sparks) == 5
        assert sparks[0]["aria-label"] == "6 earlier, oldest first: 1m50s, 1m58s, 2m11s, 1m52s, 2m5s, 2m"

    def test_long_lists_are_folded(self) -> None:
        """Given many steps that succeeded or were skipped alike, then they are folded away under their number."""
        many = [step_of(f"good{number}", attempts=[attempt_of(1, number, number + 1)]) for number in range(31)]
        many += [step_of(f"cut{number}", "skipped", reason="not_selected") for number in range(31)]
        page = Page(report_html(run_of(many), {}))

        assert page.texts("summary") == ["31 steps succeeded", "31 steps"]
        assert page.texts("caption") == ["Steps that succeeded", "What identifies this run"]

    def test_tables_can_be_read_aloud(self) -> None:
        """Given any run, then tables have captions, and headers say what they are of; pictures have labels."""
        page = Page(report_html(large_run(), {}))
        tags = [tag for tag, _, _ in page.elements]

        assert tags.count("table") == tags.count("caption") == 3
        assert {attributes.get("scope") for tag, attributes, _ in page.elements if tag == "th"} == {"col", "row"}
        for tag, attributes, _ in page.elements:
            if tag == "svg":
                assert attributes["role"] == "img"
                assert attributes["aria-label"]

    def test_it_asks_nobody_for_anything(self) -> None:
        """Given any run, then there is no script and no reference outside, and a policy forbids both."""
        for detail in (failed_run(), hostile_run()):
            text = report_html(detail, {"gate" + HOSTILE: [HOSTILE]})
            page = Page(text)
            metas = [attributes for tag, attributes, _ in page.elements if tag == "meta"]

            assert page.declared == "doctype html"
            assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in metas
            assert [attributes["lang"] for tag, attributes, _ in page.elements if tag == "html"] == ["en"]
            for tag, attributes, _ in page.elements:
                assert tag not in ("script", "img", "iframe", "object", "embed", "form", "base", "image", "use")
                assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")]
                assert attributes.get("href") in (None, "data:,", "#log-1")
            assert "@import" not in text
            assert "url(" not in text

    def test_hostile_text_is_text(self) -> None:
        """Given markup in every text from outside, then it can be read as what it is."""
        page = Page(report_html(hostile_run(), {"gate" + HOSTILE: [HOSTILE]}))
        shown = printable(HOSTILE)

        assert page.texts("pre")[0] == f"{shown}\n{shown}"
        assert page.texts("pre")[-1] == shown
        assert page.texts("title")[0] == f"{shown}, night {shown}: failed"
        assert rows_of(page)[0][0] == "gate" + shown
        assert "\x1b" not in report_html(hostile_run(), {})

    def test_a_quiet_night_is_short(self) -> None:
        """Given a run with nothing to do, then there is no root cause, no command, no table of steps."""
        detail = run_of([step_of("a", "skipped", reason="up_to_date")], status="nothing_to_do")
        page = Page(report_html(detail, {}))
        assert page.texts("h2") == ["Timeline", "Skipped", "Graph", "Run"]

    def test_a_run_that_is_still_on(self) -> None:
        """Given a run without an end, without steps and without provenance, then what is known is shown."""
        detail = run_of(
            [],
            status="running",
            exit_code=None,
            finished_at=None,
            duration_seconds=None,
            counts=None,
            actor=None,
            git=None,
            selection=None,
        )
        page = Page(report_html(detail, {}))

        assert page.texts("h2") == ["What to type next", "Timeline", "Run"]
        assert "2026-01-31 02:00:03Z, no end recorded" in page.texts("p")

    def test_it_is_deterministic(self) -> None:
        """Given the same run, then the same file comes out."""
        assert report_html(large_run(), TAILS) == report_html(large_run(), TAILS)


class TestMarkdown:
    """The same for mails, tickets and chats."""

    @staticmethod
    def tokens(text: str) -> list[Token]:
        """Read *text* as GitHub reads it, with HTML allowed, as the worst case."""
        return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)

    def test_what_failed_comes_first(self) -> None:
        """Given a failed night, then the headings stand in the order in which one asks."""
        tokens = self.tokens(report_markdown(failed_run(), TAILS))
        headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
        assert headings == [
            "✗ flights, night 2026-01-30: failed",
            "Root cause",
            "What to type next",
            "Steps",
            "Skipped",
            "Log of quality_gate",
            "Run",
            "Graph",
        ]

    def test_blocks_hold_message_commands_log_and_graph(self) -> None:
        """Given a failed night, then each of them is a block of code in its language."""
        detail = failed_run()
        fences = [
            (token.info, token.content)
            for token in self.tokens(report_markdown(detail, TAILS))
            if token.type == "fence"
        ]

        assert [info for info, _ in fences] == ["", "sh", "text", "mermaid"]
        assert fences[1][1].splitlines() == next_command(detail)
        assert fences[2][1] == "reading\tpart-0001\nQualityError: 12.2 %\n"
        assert fences[3][1] == mermaid(detail["graph"], {step["step"]: step["status"] for step in detail["steps"]})

    def test_steps_and_skips(self) -> None:
        """Given a failed night, then its steps are compared with history and its skips grouped by their reason."""
        text = report_markdown(failed_run(), {})

        assert "| bronze_flights | ✓ succeeded | 4m59s | 1m58s (2.5 times) | input raw changed (1 added) |" in text
        assert "| quality_gate | ✗ failed | 1m58s | 1m58s | exit code 75; transient; 3 attempts; quality gate: " in text
        assert (
            "- **upstream quality_gate failed** (5): silver_flights, gold_carriers, gold_airports, daily_report, mail_report"
        ) in text
        assert "✗ 1 failed · ✓ 4 succeeded · » 7 skipped" in text
        assert "Log of" not in text

    def test_reasons_that_differ_are_told_one_by_one(self) -> None:
        """Given steps skipped for one kind of reason with different evidence, then each has its own words."""
        groups = skip_groups(large_run())
        assert [(group.words, len(group.members)) for group in groups] == [("up to date", 8)]
        assert "- **up to date** (8):\n  - **step_006**: up to date since R6/1\n" in report_markdown(large_run(), {})

    def test_hostile_text_is_text(self) -> None:
        """Given markup in every text from outside, then no element comes of it and every row has its columns."""
        text = report_markdown(hostile_run(), {"gate" + HOSTILE: [HOSTILE, "`" * 9]})
        tokens = self.tokens(text)
        inline = [child for token in tokens for child in token.children or []]
        kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in [*tokens, *inline]}

        assert kinds == {
            *("heading", "paragraph", "inline", "text", "text_special", "strong", "fence", "list_item", "bullet_list"),
            *("table", "thead", "tbody", "tr", "th", "td"),
        } - ({"text_special"} - kinds)
        shown = printable(HOSTILE)
        fences = [token.content for token in tokens if token.type == "fence"]
        assert fences[0] == f"{shown}\n{shown}\n"
        assert fences[-2] == f"{shown}\n{'`' * 9}\n"
        tables = text.split("\n\n")
        for table in (part for part in tables if "\n|---" in part):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines() if row.startswith("|")}) == 1
        cells = ["".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"]
        assert f"gate{shown}" in cells

    @given(st.text())
    def test_any_text_stays_text(self, text: str) -> None:
        """For any reason that a person gave, its cell shows just that."""
        tokens = self.tokens(report_markdown(run_of([], reason="r" + text + "."), {}))
        cells = ["".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"]
        shown = printable("r" + text + ".")
        assert cells[cells.index("Given reason") + 1] == shown

    def test_facts(self) -> None:
        """Given a run, then what identifies it is there; what is not known is left out."""
        detail = run_of([], selection={"only": ["a", "b"], "force": True}, reason="late delivery")
        facts = dict(run_facts(detail))

        assert facts["Started by"] == "etl@node1 (login anna)"
        assert facts["Commit"] == "9082ed3f0c with uncommitted changes"
        assert facts["Selection"] == "--only a --only b --force"
        assert facts["Given reason"] == "late delivery"
        assert facts["Definition"] == detail["definition"]
        assert "Commit" not in dict(run_facts(run_of([], git=None)))

    def test_a_huge_graph_is_left_out(self) -> None:
        """Given more edges than Mermaid draws, then the command that draws them stands there instead."""
        names = [f"s{number}" for number in range(40)]
        upstream = {name: names[:number] for number, name in enumerate(names)}
        text = report_markdown(run_of([step_of(name) for name in names], upstream), {})
        assert "mermaid\n" not in text
        assert "`orchestrate graph 20260131T020003Z-7f3a9c --format svg`" in text

    def test_it_is_deterministic(self) -> None:
        """Given the same run, then the same text comes out."""
        assert report_markdown(large_run(), TAILS) == report_markdown(large_run(), TAILS)


class TestContent:
    """What both forms say."""

    def test_why_a_step_ended_as_it_did(self) -> None:
        """Given steps of every kind, then there are words where there is something to say."""
        cancelled = step_of("c", "cancelled", [attempt_of(1, 0, 1, "cancelled", start_reason=None, message="stopped")])
        assert step_reason(cancelled) == "stopped"
        assert step_reason(step_of("p", "pending")) == ""
        assert (
            step_reason(step_of("s", attempts=[attempt_of(1, 0, 1, start_reason="forced", start_evidence=None)]))
            == "forced"
        )
        assert step_reason(step_of("l", "failed", reason="lost", error_class="infrastructure")).endswith(
            "; infrastructure"
        )

    def test_without_anything_to_compare(self) -> None:
        """Given no history, one of nothing but zeros, or no duration, then no change is claimed."""
        run = attempt_of(1, 0, 1)
        assert comparison(step_of("a", attempts=[run])) is None
        assert comparison(step_of("a", attempts=[run], expected_seconds=0.0, history_seconds=[0.0])) == ("0s", "")
        assert comparison(step_of("a", "running", expected_seconds=2.0, history_seconds=[2.0])) == ("2s", "")
        zeros = step_of("z", attempts=[run | {"duration_seconds": 0.0}], expected_seconds=0.0, history_seconds=[0.0])
        pending = step_of("y", "pending", expected_seconds=2.0, history_seconds=[2.0])
        text = report_html(run_of([zeros, pending]), {})
        assert text.count('class="spark"') == 2
        assert text.count("<circle") == 1

    def test_a_cause_that_is_no_step_of_the_run(self) -> None:
        """Given a cause with nothing but a name, then that is what is said."""
        cause = {"step": "gone", "reason": None, "error_class": None, "message": None}
        detail = run_of([], status="failed", root_cause=cause)
        assert root_cause(detail) == ("gone", "", [])
        assert "**gone** failed\n" in report_markdown(detail, {})
        assert "<strong>gone</strong> failed</p>" in report_html(detail, {})

    def test_one_line_is_no_lines(self) -> None:
        """Given a log of one line, then its caption is in the singular."""
        (shown,) = failed_tails(run_of([step_of("a", "failed")]), {"a": ["x"]})
        assert shown == ("a", "The last line", ("x",))
        (shown,) = failed_tails(run_of([step_of("a", "failed", log="a.log")]), {"a": ["x", "y"]})
        assert shown.caption == "The last 2 lines of a.log"


class TestByHand:
    """What people did around a run: moves, acknowledgement, notes."""

    @staticmethod
    def by_hand(text: str = "looked | at <b>it</b>") -> Detail:
        """Return a failed night that was moved to, acknowledged and noted on."""
        row = {"recorded_at": moment(4000), "actor": {"user": "anna", "host": "node1"}, "reason": None}
        return failed_run() | {
            "moves": [row | {"seq": 1, "kind": "host", "before": "node0", "after": "node1"}],
            "acknowledged": row | {"seq": 8, "status": "failed", "reason": "ticket 4711"},
            "notes": [
                row | {"seq": 9, "step": "quality_gate", "text": text},
                row | {"seq": 10, "step": None, "text": "ok"},
            ],
        }

    def test_markdown_lists_them(self) -> None:
        """Given each of them, then a section says who did what, when and why; no text becomes markup."""
        text = report_markdown(self.by_hand(), {})
        section = text.partition("## By hand\n\n")[2].partition("\n##")[0].strip().splitlines()
        assert section == [
            "- **moved**: host node0 -\\> node1, by anna on node1, 2026-01-31 03:06:43Z",
            "- **acknowledged**: by anna on node1, 2026-01-31 03:06:43Z: ticket 4711",
            r"- **note**: quality_gate: looked \| at \<b\>it\</b\> (by anna on node1, 2026-01-31 03:06:43Z)",
            "- **note**: ok (by anna on node1, 2026-01-31 03:06:43Z)",
        ]

    def test_html_lists_them(self) -> None:
        """Given each of them, then the page has a table of them, escaped; without any, no section."""
        page = report_html(self.by_hand(), {})
        section = page.partition("<h2>By hand</h2>")[2].partition("</section>")[0]
        assert section.count('<tr><th scope="row">') == 4
        assert "quality_gate: looked | at &lt;b&gt;it&lt;/b&gt; (by anna on node1, " in section
        assert "By hand" not in report_html(failed_run(), {})
        assert "By hand" not in report_markdown(failed_run(), {})
