"""Tests of `orchestrate show`: one run with its steps, attempts and reasons."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.nights import Nights
from tests.programs import program, value_of


class TestShow:
    """What is recorded of a run."""

    def test_json(self, nights: Nights) -> None:
        """Given a failed run, then each step has its reason, evidence and attempts; the reason of the start is masked."""
        value = value_of(program("show", nights.failed, "--json", cwd=nights.shop), "show")
        assert (value["status"], value["exit_code"], value["reason"]) == ("failed", 1, "late, ***")
        totals = value["steps"][1]
        assert (totals["status"], totals["reason"], totals["evidence"]) == ("failed", "exit", {"exit_code": 3})
        (attempt,) = totals["attempts"]
        assert (attempt["exit_code"], attempt["error_class"], attempt["start_reason"]) == (
            3,
            "permanent",
            "command_changed",
        )
        assert value["steps"][2]["evidence"] == {"root": "totals"}

    def test_text_of_a_failure(self, nights: Nights) -> None:
        """Given a failed run, then headline, facts, the table with its attempts, and what to type next."""
        text = program("show", nights.failed, cwd=nights.shop).stdout
        assert text.startswith(f"failed: shop, night 2026-01-04, run {nights.failed} in ")
        assert "\n  reason:        late, ***\n" in text
        assert "\n  first failure: totals: exit code 3 (permanent)\n" in text
        rows = [line.split() for line in text.splitlines()]
        assert ["failed", "attempt", "1"] in [row[:3] for row in rows]
        assert ["exit", "code", "3", "(permanent)"] in [row[-4:] for row in rows]
        assert text.endswith("orchestrate run --for 2026-01-04\n")

    def test_text_of_a_good_run(self, nights: Nights) -> None:
        """Given a good run, then neither failure nor next command, and times in the local zone where asked."""
        text = program("show", nights.good, "--local", cwd=nights.shop, env={"TZ": "Asia/Kolkata"}).stdout
        assert "first failure" not in text
        assert "next:" not in text
        assert "+0530" in text

    def test_message_of_a_step_and_commit(self, tmp_path: Path) -> None:
        """Given a step that says why it failed, in a repository, then message, class and commit are shown."""
        (tmp_path / "pipeline.toml").write_text(
            "[pipeline]\nname = 'p'\n[steps.a]\n"
            """shell = '''printf '{"status": "failed", "error_class": "transient", "message": "no luck"}' """
            """> "$ORCHESTRATE_RESULT"'''\n""",
            encoding="utf-8",
        )
        for command in (
            ["git", "init", "-q"],
            ["git", "add", "pipeline.toml"],
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"],
        ):
            subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        with (tmp_path / "pipeline.toml").open("a", encoding="utf-8") as file:
            file.write("# more\n")
        program("run", "--quiet", cwd=tmp_path)
        value = value_of(program("show", "latest", "--json", cwd=tmp_path), "show")
        assert value["git"]["dirty"] is True
        text = program("show", "latest", cwd=tmp_path).stdout
        assert f"  commit:        {value['git']['commit']} with changes\n" in text
        assert "it reported a failure (transient) no luck" in text
        assert "(reported): no luck" in program("status", cwd=tmp_path).stdout
        assert f"commit {value['git']['commit'][:12]} with changes" in program("changes", cwd=tmp_path).stdout
