"""Tests of `orchestrate explain`: why, with what it rests on."""

from __future__ import annotations

from pathlib import Path

from tests.nights import Nights
from tests.programs import program, value_of


class TestExplain:
    """Each kind of outcome with its evidence."""

    def test_failure(self, nights: Nights) -> None:
        """Given a failed step, then its exit code, why it ran, its key, its last lines, and what to type next."""
        lines = program("explain", nights.failed, "totals", cwd=nights.shop).stdout.splitlines()
        assert lines[0] == f"totals failed in run {nights.failed}, night 2026-01-04: exit code 3"
        assert "  it ran because: its command changed" in lines
        assert "  exit_code: 3" in lines
        assert "  no good" in lines
        assert "upstream: ingest succeeded" in lines
        assert lines[-2:] == [
            f"next: orchestrate logs {nights.failed} totals",
            "      orchestrate run --for 2026-01-04",
        ]

    def test_json(self, nights: Nights) -> None:
        """Given --json, then the key of each attempt and what it is made of stand there; secrets by name alone."""
        value = value_of(program("explain", nights.good, "ingest", "--json", cwd=nights.shop), "explain")
        (attempt,) = value["attempts"]
        assert attempt["components"]["variables"] == {"API_KEY": {"secret": True}, "REGION": {"value": "nyc"}}
        assert attempt["masked"] == {"API_KEY": 1}
        assert (value["upstream"], value["accepted"], value["next"]) == ({}, [], [])

    def test_skip(self, nights: Nights) -> None:
        """Given a skipped step, then the run that it rests on; there is nothing to type."""
        lines = program("explain", nights.idle, "ingest", cwd=nights.shop).stdout.splitlines()
        assert lines[0] == f"ingest skipped in run {nights.idle}, night 2026-01-02: no new data since {nights.good}/1"
        assert not [line for line in lines if line.startswith(("next:", "upstream:"))]
        text = program("explain", nights.failed, "mail", cwd=nights.shop).stdout
        assert text.splitlines()[0].endswith(": upstream totals failed")

    def test_first_difference_whatever_the_reason(self, tmp_path: Path) -> None:
        """Given attempts that ran for another reason, then the first component of the key that differs from the last success is named, or that none does."""
        definition = '[pipeline]\nname = "p"\n[steps.a]\nshell = "{}"\n'
        told = []
        renamed = definition.replace("steps.a]", 'steps.b]\nformerly = ["a"]').format("true # two")
        for text, step, options in (
            (definition.format("true"), "a", ()),
            (definition.format("true"), "a", ("--force",)),
            (definition.format("true # two"), "a", ("--force",)),
            (renamed, "b", ()),
        ):
            (tmp_path / "pipeline.toml").write_text(text, encoding="utf-8")
            program("run", "--quiet", *options, cwd=tmp_path)
            lines = program("explain", "latest", step, cwd=tmp_path).stdout.splitlines()
            told.append([line.rpartition(": ")[2] for line in lines if line.startswith("  since its last success, ")])
        assert told == [[], ["its key is the same"], ["its command changed"], ["its key is the same"]]
        value = value_of(program("explain", "latest", "b", "--json", cwd=tmp_path), "explain")
        assert value["attempts"][0]["last_success"]["difference"] is None
        assert value["attempts"][0]["start_reason"] == "no_inputs"

    def test_output_overwritten_and_evidence(self, tmp_path: Path) -> None:
        """Given an output that was changed by hand, then the attempt that overwrote it says so, with both digests."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.raw]\npath = "raw"\n[datasets.out]\npath = "out"\n'
            '[steps.a]\nshell = "mkdir -p out; cp raw/* out/"\nreads = ["raw"]\nwrites = ["out"]\n',
            encoding="utf-8",
        )
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "x").write_text("1")
        program("run", "--quiet", cwd=tmp_path)
        (tmp_path / "out" / "x").write_text("2")
        done = program("run", cwd=tmp_path)
        told = "output out was changed by hand: sha256:"
        assert f"note: a: {told}" in done.stderr
        assert f"note: step a: {told}" in done.stdout
        text = program("explain", "latest", "a", cwd=tmp_path).stdout
        assert text.count(told) == 2
        assert "it is overwritten\n" in text
        assert '  evidence: {"actual": "sha256:' in text

    def test_untrusted_input_names_what_to_type(self, tmp_path: Path) -> None:
        """Given an input that its writer did not leave, then the step says so with both digests, and what comes next."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.out]\npath = "out"\n'
            '[steps.a]\nshell = "mkdir -p out; echo 1 > out/x"\nwrites = ["out"]\n'
            '[steps.b]\ncommand = ["true"]\nreads = ["out"]\n',
            encoding="utf-8",
        )
        program("run", "--quiet", cwd=tmp_path)
        (tmp_path / "out" / "x").write_text("2")
        value = value_of(program("run", "--json", "--only", "b", cwd=tmp_path), "run", code=1)
        assert value["steps"][1]["reason"] == "input_untrusted"
        text = program("explain", "latest", "b", cwd=tmp_path).stdout
        assert "but its writer, which is not part of this run, left sha256:" in text
        assert f'next: orchestrate accept {value["run_id"]} a --reason "…"' in text
