"""Tests of `orchestrate runs`: the history, and what was refused."""

from __future__ import annotations

from tests.nights import Nights
from tests.programs import program, refused, value_of


def ids(nights: Nights, *options: str) -> list[str]:
    """Return the ids of the runs that are listed."""
    return [run["run_id"] for run in value_of(program("runs", "--json", *options, cwd=nights.shop), "runs")]


class TestRuns:
    """Newest first, of all pipelines or of some."""

    def test_newest_first(self, nights: Nights) -> None:
        """Given four runs, then the newest stands first."""
        assert ids(nights) == [nights.other, nights.failed, nights.idle, nights.good]

    def test_filters(self, nights: Nights) -> None:
        """Given filters, then each leaves out what it should."""
        assert ids(nights, "--status", "failed") == [nights.failed]
        assert ids(nights, "--status", "failed", "--status", "nothing_to_do") == [nights.failed, nights.idle]
        assert ids(nights, "--status", "interrupted") == []
        assert ids(nights, "--night", "2026-01-01") == [nights.good]
        assert ids(nights, "--limit", "1") == [nights.other]
        assert ids(nights, "--limit", "1", "--all") == ids(nights)
        assert ids(nights, "--pipeline", ".") == [nights.failed, nights.idle, nights.good]

    def test_text(self, nights: Nights) -> None:
        """Given no --json, then a table, and a hint where it is cut."""
        done = program("runs", "--limit", "2", cwd=nights.shop)
        header, first, _ = done.stdout.splitlines()
        assert header.split() == ["run", "pipeline", "night", "status", "started", "took"]
        assert first.split()[:2] == [nights.other, "mart"]
        assert done.stderr == "the newest 2; --all lists every run\n"
        assert program("runs", "--all", cwd=nights.shop).stderr == ""

    def test_refused(self, nights: Nights) -> None:
        """Given a start that was refused, then it is listed with its problems, and is no run."""
        (row,) = value_of(program("runs", "--refused", "--json", cwd=nights.shop), "refusals")
        assert (row["pipeline"], row["exit_code"], row["holder"]) == ("shop", 2, None)
        lines = program("runs", "--refused", cwd=nights.shop).stdout.splitlines()
        assert "  shop, night " in lines[0]
        assert lines[0].endswith(", exit code 2")
        assert lines[1] == f"  {row['problems'][0]['kind']}: {row['problems'][0]['message']}"
        assert value_of(program("runs", "--refused", "--all", "--json", cwd=nights.shop), "refusals") == [row]

    def test_mistakes(self, nights: Nights) -> None:
        """Given a night that is none or a status that is none, then exit code 2."""
        (problem,) = refused(program("runs", "--night", "soon", "--json", cwd=nights.shop))
        assert problem["message"] == "--night takes a date such as 2026-01-31, not 'soon'"
        (problem,) = refused(program("runs", "--status", "done", "--json", cwd=nights.shop))
        assert problem["kind"] == "usage"
