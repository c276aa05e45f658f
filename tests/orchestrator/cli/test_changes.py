"""Tests of `orchestrate changes`: every change of a definition."""

from __future__ import annotations

from pathlib import Path

from tests.nights import Nights
from tests.programs import program, value_of


class TestChanges:
    """Newest first, with what differs."""

    def test_json(self, nights: Nights) -> None:
        """Given a command that changed, then the change has its path and both values; the first entry has none."""
        value = value_of(program("changes", "--json", "--pipeline", ".", cwd=nights.shop), "changes")
        assert [(entry["before"] is None, len(entry["changes"])) for entry in value] == [(False, 1), (True, 0)]
        (change,) = value[0]["changes"]
        assert (change["path"], change["kind"]) == ("steps.totals.shell", "changed")
        assert value[0]["before"] == value[1]["after"]

    def test_text_has_a_sign_for_each_kind(self, tmp_path: Path) -> None:
        """Given a definition that gains, loses, changes and renames, then each difference has its sign and its values."""
        definition = tmp_path / "pipeline.toml"
        definition.write_text(
            '[pipeline]\nname = "p"\nmax_parallel = 1\n[steps.a]\ncommand = ["true"]\n[steps.b]\ncommand = ["true"]\n'
        )
        program("run", "--quiet", cwd=tmp_path)
        long = "x" * 200
        definition.write_text(
            '[pipeline]\nname = "p"\nfail_fast = true\n[steps.c]\nformerly = ["a"]\ncommand = ["true"]\n'
            f'[steps.b]\ncommand = ["true", "{long}"]\n'
        )
        program("run", "--quiet", cwd=tmp_path)
        lines = program("changes", cwd=tmp_path).stdout.splitlines()
        assert " -> sha256:" in lines[0]
        assert "  > steps.c (formerly a)" in lines
        assert "  - pipeline.max_parallel (was 1)" in lines
        assert "  + pipeline.fail_fast = true" in lines
        (changed,) = [line for line in lines if line.startswith("  ~ steps.b.command: ")]
        assert changed.endswith("x…")
        assert ": first seen, " in lines[-1]
        value_of(program("changes", "--json", cwd=tmp_path), "changes")
        assert "+0530" in program("changes", "--local", cwd=tmp_path, env={"TZ": "Asia/Kolkata"}).stdout
